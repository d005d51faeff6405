// The client and a real hub, over the npm package ws and through a proxy that cuts; with OWN_WEBSOCKET set over Node's own. The server is internal/itest/hubserver; its
// comment says what its topics are.
import assert from "node:assert/strict";
import test, { after, before, describe } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { itest, startProgram } from "../../internal/itest/browser/lib/program.mjs";
import { startProxy } from "../../internal/itest/browser/lib/proxy.mjs";
import { connect } from "../hotline.js";
import { listen, read } from "./lib/world.mjs";

const WebSocket = process.env.OWN_WEBSOCKET ? globalThis.WebSocket : (await import("ws")).default;
const hubserver = { dir: itest, pkg: "./hubserver", timeout: 120_000 };

/** Waits until something is true. */
async function until(what, ok) {
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(10)) if (ok()) return;
  assert.fail(`never: ${what}`);
}

const opened = hub => until("open", () => hub.state === "open");

describe("a hub", () => {
  let server, proxy;
  before(async () => {
    server = await startProgram(hubserver);
    proxy = await startProxy(server.url);
  });
  after(async () => {
    proxy?.close();
    await server?.stop();
  });

  function join(t, token, { url = server.url, ...options } = {}) {
    const hub = connect(new URL("ws", url), { token: () => token, WebSocket, ...options });
    t.after(() => hub.close());
    return hub;
  }

  test("what is published arrives, with its user, its id and its data", async t => {
    const ada = join(t, "ada"), bob = join(t, "bob"), log = [];
    const sub = bob.subscribe("test.*");
    sub.addEventListener("message", e => log.push(e.message));
    await sub.ready;
    const all = ["hé 🦊 \ud800", { a: [1, null] }, null, Uint8Array.of(0, 10, 255), new Uint8Array()], ids = [];
    for (const data of all) ids.push(await ada.publish("test.data", data));
    await until("all", () => log.length === all.length);
    assert.deepEqual(log.map(m => m.data), all);
    assert.deepEqual(log[0], { topic: "test.data", id: ids[0], from: "ada", data: all[0], missed: 0, replayed: false });
    assert.deepEqual(log.map(m => m.id), ids);
    assert.equal(await ada.publish("test.data", "again", { key: "k" }), await ada.publish("test.data", "again", { key: "k" }));
    const replay = read(join(t, "eve").subscribe("test.data", { replay: 2 }), m => [m.data, m.replayed]);
    await until("replay", () => replay.length === 2);
    assert.deepEqual(replay, [[all[4], true], ["again", true]]);
    await until("again", () => log.length === 6);
  });

  test("signals, State and what is gone, Presence that outlives a cut", async t => {
    const ada = join(t, "ada", { url: proxy.url }), bob = join(t, "bob", { url: proxy.url }), eve = join(t, "eve");
    t.after(() => proxy.heal());
    const signals = listen(bob.subscribe("signal.x")), state = bob.latest("state.*"), here = eve.latest("presence.*");
    await Promise.all([opened(ada), state.ready, here.ready]);
    await until("a signal", () => ada.signal("signal.x", 1) && signals.length > 0);
    for (const [name, data] of [["a", 1], ["b", 2], ["a", 3]]) await ada.publish(`state.${name}`, data);
    await ada.publish("presence.ada", { since: 1 });
    await until("State", () => state.get("state.a")?.data === 3 && state.size === 2);
    await until("Presence", () => here.size === 1);
    proxy.cut();
    await until("gone", () => here.size === 0);
    await eve.publish("state.a", null);
    await eve.publish("state.c", 4);
    assert.equal(state.size, 2, "nobody has told him yet");
    proxy.heal();
    await until("Presence again", () => here.get("presence.ada")?.data.since === 1);
    await until("State again", () => !state.has("state.a") && state.get("state.c")?.data === 4 && state.get("state.b")?.data === 2);
  });

  test("who may not is told so", async t => {
    const nobody = join(t, ""), ada = join(t, "ada");
    await assert.rejects(ada.subscribe("secret.x").ready, { code: "denied" });
    await assert.rejects(ada.publish("secret.x", 1), { code: "denied" });
    await until("closed", () => nobody.state === "closed");
    assert.deepEqual([nobody.error.code, nobody.error.closeCode], ["denied", 3500]);
    assert.match(nobody.error.message, /a name, please/);
    await assert.rejects(ada.publish("test.big", "x".repeat(70_000)), { code: "invalid" });
    assert.equal(ada.state, "open");
  });

  test("closed by the application it comes back", async t => {
    const ada = join(t, "ada"), states = [];
    await opened(ada);
    ada.addEventListener("state", () => states.push(ada.error?.closeCode));
    await ada.publish("close.me", 1).catch(() => {});
    await until("back", () => ada.state === "open" && states.includes(4000));
  });

  test("two subscriptions become one, and go on as one", async t => {
    const ada = join(t, "ada"), first = ada.subscribe("test.two"), second = ada.subscribe("test.two", { replay: 5 });
    const logs = [listen(first), listen(second)];
    await Promise.all([first.ready, second.ready]);
    await ada.publish("test.two", 1);
    first.close();
    await ada.publish("test.two", 2);
    await until("both", () => logs[1].length === 2);
    assert.deepEqual(logs, [[1], [1, 2]]);
  });

  test("a loop that stops is parked, also over a cut, and reads everything later", async t => {
    const frames = [];
    class Spy extends WebSocket {
      send(frame) {
        frames.push(JSON.parse(frame).op);
        super.send(frame);
      }
    }
    t.after(() => proxy.heal());
    const eve = join(t, "eve", { url: proxy.url, WebSocket: Spy }), sub = eve.subscribe("test.park"), loop = sub[Symbol.asyncIterator]();
    await sub.ready;
    const publishers = ["ada", "bob", "sue"].map(name => join(t, name)), ids = [];
    for (let i = 0; i < 150; i++) ids.push(...await Promise.all(publishers.map(hub => hub.publish("test.park", i))));
    await until("parked", () => frames.includes("unsub"));
    proxy.cut();
    await until("noticed", () => eve.state === "connecting");
    proxy.heal();
    await opened(eve);
    assert.equal(frames.includes("sub"), false, "it is parked");
    const got = [];
    while (got.length < 450) {
      const { value: m } = await loop.next();
      assert.equal(m.missed, 0);
      got.push(m.id);
    }
    await publishers[0].publish("test.park", "last");
    assert.equal((await loop.next()).value.data, "last");
    assert.deepEqual(got.toSorted(), ids.toSorted());
    assert.equal(frames.includes("sub"), true);
  });

  /**
   * Publishes from two clients while the network is cut again and again, and compares what each of three subscribers was handed
   * out with what a fourth has seen, which nobody cuts. It returns what is wrong.
   */
  async function storm(t, topic, seed, Socket = WebSocket) {
    const chance = () => (seed = seed * 48271 % 2147483647) / 2147483647, { random } = Math;
    Math.random = () => chance() / 20; // of the delays: nobody has the time
    t.after(() => { Math.random = random; });
    const publishers = ["ada", "bob"].map(name => join(t, name, { url: proxy.url }));
    const steady = [], heard = [], looped = [], slow = [], gaps = [];
    const witness = join(t, "witness").subscribe(topic);
    witness.addEventListener("message", e => steady.push(e.message));
    const reader = join(t, "eve", { url: proxy.url, WebSocket: Socket });
    const subs = [reader.subscribe(topic), reader.subscribe(topic), join(t, "sue", { url: proxy.url }).subscribe("test.*")];
    subs[0].addEventListener("message", e => heard.push(e.message));
    for (const s of [witness, ...subs]) s.addEventListener("gap", e => gaps.push(`gap of ${e.missed}, ${e.cause}`));
    void (async () => { for await (const m of subs[1]) looped.push(m); })();
    void (async () => { for await (const m of subs[2]) { if (m.topic === topic) slow.push(m); if (m.data % 50 === 0) await sleep(100); } })();
    await Promise.all([witness, ...subs].map(s => s.ready));

    const accepted = [], n = 120;
    for (let i = 1; i <= n; i++) {
      for (const [p, hub] of publishers.entries()) hub.publish(topic, p * 1000 + i).then(id => accepted.push(id), e => gaps.push(String(e)));
      if (i % 12 === 0) {
        proxy.cut();
        if (chance() < 0.5) await sleep(chance() * 30);
        proxy.heal();
      }
      await sleep(chance() * 20);
    }
    await until("all accepted", () => accepted.length + gaps.length >= 2 * n);
    await until("the witness", () => steady.length >= 2 * n);
    const last = steady.at(-1).id, wrong = [...gaps];
    for (const end = Date.now() + 20_000; Date.now() < end && [heard, looped, slow].some(log => log.at(-1)?.id !== last);) await sleep(20);
    for (const p of [0, 1]) {
      const own = steady.map(m => m.data).filter(d => Math.floor(d / 1000) === p);
      if (String(own) !== String(Array.from({ length: n }, (_, i) => p * 1000 + i + 1))) wrong.push(`publisher ${p} is stored as ${own}`);
    }
    if (String([...accepted].sort()) !== String(steady.map(m => m.id).sort())) wrong.push("the ids of the answers are others than those of the messages");
    const ids = steady.map(m => m.id).join(" ");
    for (const [name, log] of Object.entries({ heard, looped, slow })) {
      if (log.map(m => m.id).join(" ") !== ids) wrong.push(`${name} got ${log.map(m => m.data)} of ${steady.map(m => m.data)}`);
      if (log.some(m => m.missed)) wrong.push(`${name} was told of a loss`);
    }
    return wrong;
  }

  test("cuts lose nothing, repeat nothing and change no order", async t => {
    const seed = Number(process.env.SEED) || Date.now() % 2147483646 + 1;
    t.diagnostic(`SEED=${seed}`);
    assert.deepEqual(await storm(t, "test.storm", seed), []);
  });

  test("control: a message that is swallowed is noticed", async t => {
    let swallow = 100;
    class Swallows extends WebSocket {
      set onmessage(f) { super.onmessage = f && (e => { if (!/"test.control","id"/.test(e.data) || --swallow !== 0) f(e); }); }
      get onmessage() { return super.onmessage; }
    }
    const wrong = await storm(t, "test.control", 7, Swallows);
    assert.match(wrong.join("\n"), /heard got/);
  });
});

test("a hub that shuts down says when to come back", async t => {
  const server = await startProgram(hubserver);
  const hub = connect(new URL("ws", server.url), { token: () => "ada", WebSocket });
  t.after(() => hub.close());
  await opened(hub);
  const codes = [];
  hub.addEventListener("state", () => codes.push(hub.error?.closeCode));
  await server.stop();
  await until("told", () => codes.length > 0);
  assert.equal(codes[0], 1012);
  assert.equal(hub.state, "connecting");
});
