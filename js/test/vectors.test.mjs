// The vectors of testdata/protocol, which every client can be tested with.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { describe } from "node:test";
import { newWorld, settle } from "./lib/world.mjs";

const load = name => JSON.parse(readFileSync(new URL(`../../testdata/protocol/${name}`, import.meta.url), "utf8"));
const ofServers = name => load(name).filter(v => v.from === undefined || v.from === "server");

/** What travels: text, or an ArrayBuffer. */
function message(v) {
  if (v.text !== undefined) return v.text;
  if (v.parts) return v.parts.map(([text, n]) => text.repeat(n)).join("");
  const bytes = v.hex !== undefined ? Buffer.from(v.hex, "hex") : Buffer.concat([Buffer.from(v.head + "\n"), Buffer.from(v.bytes, "hex")]);
  return Uint8Array.from(bytes).buffer;
}

describe("what a hub sends", () => {
  for (const v of [...ofServers("server.json"), ...ofServers("lenient.json")]) {
    test(v.name, async t => {
      const world = newWorld(t), { hub, ws } = await world.open();
      const got = [];
      hub.addEventListener("message", e => got.push(e.message));
      for (const [sub, topic] of [[-1, "*"], [-2, "*.>"]]) ws.receive({ op: "push", sub, topic }, { op: "ok", sub, at: "0.1" });
      ws.receive(message(v));
      await settle();
      assert.equal(hub.error, null);
      const { op, topic, sub } = v.fields;
      if (op === "ping") assert.equal(ws.sent.at(-1).op, "pong");
      if (op !== undefined && op !== "send" || sub > 0) return assert.deepEqual(got, []);
      if (v.fields.gone) return assert.deepEqual(got, [], "it had no value");
      const data = v.head === undefined ? v.fields.data : Uint8Array.from(Buffer.from(v.bytes, "hex"));
      const { id = "", from = "" } = v.fields;
      assert.deepEqual(got, [{ topic, id, from, data, missed: 0, replayed: false }]);
    });
  }
});

describe("what a hub must not send ends the client", () => {
  const text = v => v.hex === undefined || v.binary; // of text that is no UTF-8 a WebSocket makes 1007 itself
  for (const v of ofServers("malformed.json").filter(v => v.from === "server" && text(v))) {
    test(v.name, async t => {
      const world = newWorld(t), { hub, ws } = await world.open();
      const loop = hub.subscribe("a")[Symbol.asyncIterator]().next();
      ws.receive(message(v));
      assert.equal(hub.state, "closed");
      assert.equal(hub.error.code, "invalid");
      await assert.rejects(loop, { code: "invalid" });
      await world.pass(3_600_000);
      assert.equal(world.sockets.length, 1);
    });
  }
});

test("what a client sends", async t => {
  const wanted = Object.fromEntries(load("client.json").map(v => [v.name, v.text ?? v.head + "\n" + v.bytes]));
  const text = raw => typeof raw === "string" ? raw : raw.subarray(0, raw.indexOf(10) + 1).toString() && (() => {
    const end = raw.indexOf(10);
    return Buffer.from(raw.subarray(0, end)).toString() + "\n" + Buffer.from(raw.subarray(end + 1)).toString("hex");
  })();
  const world = newWorld(t);
  const sent = async (act, options, n = -1) => {
    const { hub, ws } = await world.open(options);
    await act(hub, ws);
    const raw = text(ws.raw.at(n));
    hub.close();
    return raw;
  };
  const quiet = p => p.catch(() => {});
  const is = (name, got, change = s => s) => assert.equal(got, change(wanted[name]), name);

  is("hello of an anonymous client that wants nothing yet", await sent(() => {}, {}, 0));
  is("hello with a token that needs escapes", await sent(() => {}, { token: () => "a\"b\\c\n\u0000<&>é😀" }, 0));
  is("sub", await sent(hub => hub.subscribe("orders.>")), s => s.replace("3", "1"));
  is("sub with replay", await sent(hub => hub.subscribe("chat.lobby", { replay: 50 })), s => s.replace("4", "1"));
  is("sub that continues", await sent(hub => hub.subscribe("chat.lobby", { after: "2s.1" })), s => s.replace("9007199254740991", "1"));
  is("unsub", await sent(hub => { for (let i = 0; i < 3; i++) hub.subscribe(`a${i}`); hub.subscribe("x").close(); }), s => s.replace("3", "4"));
  is("publish", await sent(hub => void quiet(hub.publish("chat.lobby", { text: "hi" }, { key: "5Qm0c2tV" }))), s => s.replace("4", "1"));
  is("publish null, which clears a State topic", await sent(hub => void quiet(hub.publish("here.lobby.ada", null, { key: "k" }))), s => s.replace("5", "1"));
  is("binary publish", await sent(hub => void quiet(hub.publish("blob", Uint8Array.of(0, 255, 10, 123, 125), { key: "k6" }))), s => s.replace("6", "1"));
  is("binary signal", await sent(hub => hub.signal("input", Uint8Array.of(1).buffer)));
  is("signal", await sent(hub => hub.signal("typing.lobby", true)));
  is("pong", await sent((_, ws) => ws.receive({ op: "ping" })));

  // The hello with subscriptions, and the one that resumes.
  const hub = world.connect({ token: () => "t0k3n" });
  hub.subscribe("chat.*");
  hub.subscribe("a.b", { replay: 50 });
  await settle();
  world.ws.welcome();
  is("first hello", world.ws.raw[0]);
  world.ws.receive({ op: "ok", sub: 1, at: "2u.9qz" });
  hub.subscribe("a.b", { after: "2t.4f", replay: 50 });
  world.ws.end();
  await world.pass(2_000);
  world.ws.open();
  const resumed = JSON.parse(wanted["hello that resumes"]);
  resumed.subs.splice(1, 0, { sub: 2, topic: "a.b", replay: 50 });
  assert.equal(world.ws.raw[0], JSON.stringify(resumed));
  hub.close();
});

describe("close codes", () => {
  const rows = load("closecodes.json").flatMap(({ code, from = code, to = code, final }) => [[from, final], [to, final]]);
  for (const [code, final] of rows) {
    test(String(code), async t => {
      const world = newWorld(t), { hub, ws } = await world.open();
      const states = [];
      hub.addEventListener("state", () => states.push(hub.state));
      ws.end(code, "a reason");
      assert.deepEqual([hub.state, hub.error.closeCode], [final ? "closed" : "connecting", code]);
      assert.match(hub.error.message, /a reason/);
      assert.equal(hub.error.code, code === 3500 ? "denied" : "closed");
      await world.pass(60_000);
      assert.equal(world.sockets.length > 1, !final);
      assert.equal(states[0], final ? "closed" : "connecting");
      assert.equal(final && world.timers, final && 0);
    });
  }
});
