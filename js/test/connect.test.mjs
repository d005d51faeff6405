// Connecting, staying connected, and the end.
import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { connect, escape, HotlineError } from "../hotline.js";
import { FakeWebSocket, listen, newWorld, read, settle } from "./lib/world.mjs";

test("it offers both subprotocols, and greets with the token as soon as it is open", async t => {
  const world = newWorld(t), hub = world.connect({ token: async () => "secret" });
  t.after(() => hub.close());
  await settle();
  const { ws } = world;
  assert.deepEqual([ws.url, ws.protocols, ws.binaryType], ["ws://hub.example/ws", ["hotline.v1", "hotline"], "arraybuffer"]);
  ws.open();
  assert.deepEqual(ws.sent, [{ op: "hello", token: "secret" }]);
  assert.equal(hub.state, "connecting");
  ws.receive({ op: "welcome", conn: "c" });
  assert.equal(hub.state, "open");
});

test("URLs", async t => {
  const world = newWorld(t);
  const dialled = async url => {
    const hub = connect(url, { WebSocket: FakeWebSocket });
    await settle();
    hub.close();
    return world.ws.url;
  };
  assert.equal(await dialled("/ws"), "wss://page.example/ws");
  assert.equal(await dialled("ws?room=1"), "wss://page.example/dir/ws?room=1");
  assert.equal(await dialled(new URL("http://localhost:8080/ws")), "ws://localhost:8080/ws");
  for (const url of ["ftp://x/ws", "http://", "wss://x/ws#y"]) {
    assert.throws(() => connect(url, { WebSocket: FakeWebSocket }), { name: "HotlineError", code: "invalid" }, url);
  }
  delete globalThis.document;
  assert.throws(() => connect("/ws", { WebSocket: FakeWebSocket }), { code: "invalid" }, "there is no page");
  const { WebSocket } = globalThis;
  globalThis.WebSocket = undefined;
  t.after(() => { globalThis.WebSocket = WebSocket; });
  assert.throws(() => connect("ws://x/ws"), { code: "invalid", message: /options.WebSocket/ });
});

test("escape makes one segment of any string", () => {
  for (const [s, want] of [
    ["", "%"], ["ada", "ada"], ["a.b", "a%2Eb"], ["100%", "100%25"], ["a b\t*>{}\x7f\0", "a%20b%09%2A%3E%7B%7D%7F%00"],
    ["Zoë 🦊", "Zoë%20🦊"], ["\ud800x", "%ED%A0%80x"], ["\udfff", "%ED%BF%BF"], ["$x", "$x"], [7, "7"],
  ]) assert.equal(escape(s), want);
});

describe("delays", () => {
  const limits = [2_000, 2_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000];

  test("grow to a cap, and are random as a whole", async t => {
    const world = newWorld(t);
    for (const random of [0, 0.25, 0.999]) {
      world.random = random;
      const hub = world.connect();
      await settle();
      for (const limit of limits) {
        world.delays.length = 0;
        const before = world.sockets.length;
        world.ws.end();
        assert.deepEqual(world.delays, [random * limit]);
        if (random > 0) await world.pass(random * limit - 1);
        assert.equal(world.sockets.length, before);
        await world.pass(1);
        assert.equal(world.sockets.length, before + 1);
      }
      hub.close();
    }
  });

  test("begin anew once a connection has lasted 5 s after welcome, not before", async t => {
    const world = newWorld(t, { random: 0.999 }), hub = world.connect();
    t.after(() => hub.close());
    await settle();
    const lost = async after => {
      world.ws.welcome();
      await world.pass(after);
      world.delays.length = 0;
      world.ws.end();
      const [delay] = world.delays;
      await world.pass(delay);
      return delay / 0.999;
    };
    for (const limit of [2_000, 2_000, 2_000, 4_000, 8_000]) assert.equal(Math.round(await lost(4_999)), limit);
    assert.equal(Math.round(await lost(5_000)), 2_000);
  });

  test("the hub's hint is taken as it is", async t => {
    for (const retry of [0, 1_730, 2 ** 40]) {
      const world = newWorld(t), { ws } = await world.open();
      ws.receive({ op: "bye", code: 1012, retry });
      world.delays.length = 0;
      ws.end(1012);
      assert.deepEqual(world.delays, [Math.min(retry, 2 ** 31 - 1)]);
    }
  });

  test("a thousand clients come back spread over the first two seconds", async t => {
    const world = newWorld(t), buckets = Array(20).fill(0);
    let seed = 1;
    Math.random = () => (seed = seed * 48271 % 2147483647) / 2147483647;
    for (let i = 0; i < 1000; i++) {
      const hub = world.connect();
      await Promise.resolve();
      await Promise.resolve();
      world.ws.welcome();
      world.delays.length = 0;
      world.ws.end();
      buckets[Math.floor(world.delays[0] / 100)]++;
      hub.close();
    }
    assert.ok(Math.max(...buckets) < 150, String(buckets));
    assert.ok(Math.min(...buckets) > 10, String(buckets));
  });
});

test("a bye stands for a Close frame that is lost, and only for that", async t => {
  for (const [bye, close, want] of [[1012, 1006, 1012], [1012, 3000, 3000], [3503, 1006, 3503], ["x", 1006, 1006]]) {
    const world = newWorld(t), { hub, ws } = await world.open();
    ws.receive({ op: "bye", code: bye, reason: "so long" });
    ws.end(close);
    assert.deepEqual([hub.error.closeCode, hub.state], [want, want === 3503 ? "closed" : "connecting"]);
  }
});

test("a token is fetched for each attempt; a failure is tried again, null gives up", async t => {
  const world = newWorld(t), tokens = ["one", new Error("503"), "two", null];
  const hub = world.connect({ token: async () => { const x = tokens.shift(); if (x instanceof Error) throw x; return x; } });
  const loop = read(hub.subscribe("a"));
  await settle();
  world.ws.welcome();
  world.ws.end(3000, "expired");
  await world.pass(2_000);
  assert.match(hub.error.message, /503/);
  assert.equal(hub.error.cause.message, "503");
  await world.pass(2_000);
  world.ws.welcome();
  assert.deepEqual(world.sockets.map(ws => ws.sent[0].token), ["one", "two"]);
  assert.equal(hub.error, null);
  world.ws.end();
  await world.pass(2_000);
  assert.deepEqual([hub.state, hub.error.code, hub.error instanceof HotlineError], ["closed", "denied", true]);
  assert.deepEqual(loop, ["end"], "the page shows the login");
  assert.equal(world.timers, 0);
});

test("state events tell what changes", async t => {
  const world = newWorld(t), hub = world.connect(), log = [];
  hub.addEventListener("state", () => log.push(hub.error ? `${hub.state} ${hub.error.closeCode}` : hub.state));
  await settle();
  world.ws.end();
  await world.pass(2_000);
  world.ws.welcome();
  world.ws.receive({ op: "welcome", conn: "again" });
  world.ws.end(1012);
  await world.pass(2_000);
  world.ws.welcome();
  hub.close();
  hub.close();
  assert.deepEqual(log, ["connecting 1006", "open", "connecting 1012", "open", "closed 0"]);
  assert.equal(world.ws.closedWith, 1000);
});

test("a handshake or a token that hangs is given up", async t => {
  const world = newWorld(t), hub = world.connect();
  await settle();
  const [first] = world.sockets;
  await world.pass(14_999);
  assert.equal(first.closedWith, undefined);
  await world.pass(1);
  assert.equal(first.closedWith, 1000);
  await world.pass(2_000);
  assert.equal(world.sockets.length, 2);
  first.open(); // too late
  assert.deepEqual(first.sent, []);
  hub.close();
  let asked = 0;
  const waiting = world.connect({ token: () => { asked++; return new Promise(() => {}); } });
  await world.pass(17_000);
  assert.equal(asked, 2);
  waiting.close();
});

test("a server that is no hub, or selects no subprotocol, is final", async t => {
  const world = newWorld(t), hub = world.connect();
  await settle();
  world.ws.open("");
  assert.deepEqual([hub.state, hub.error.code], ["closed", "invalid"]);
  class Refuses { constructor() { throw Object.assign(new Error("mixed content"), { name: "SecurityError" }); } }
  const mixed = world.connect({ WebSocket: Refuses });
  await settle();
  assert.deepEqual([mixed.state, mixed.error.code], ["closed", "invalid"]);
  class Busy { constructor() { throw new Error("no sockets left"); } }
  const busy = world.connect({ WebSocket: Busy });
  await settle();
  assert.equal(busy.state, "connecting");
  busy.close();
});

describe("a dead link", () => {
  test("is given up after ping and grace without anything, not before", async t => {
    const world = newWorld(t), { hub, ws } = await world.open();
    await world.pass(34_999);
    ws.receive({ op: "ping" });
    await world.pass(34_999);
    assert.equal(hub.state, "open");
    await world.pass(1);
    assert.deepEqual([hub.state, ws.closedWith], ["connecting", 1000]);
    ws.receive({ op: "ping" }); // what comes over it now counts no more
    await world.pass(2_000);
    assert.equal(world.sockets.length, 2);
  });

  test("before welcome after 35 s; never, if the hub sends no pings", async t => {
    const world = newWorld(t), hub = world.connect();
    t.after(() => hub.close());
    await settle();
    world.ws.open();
    await world.pass(34_999);
    assert.equal(world.sockets.length, 1);
    await world.pass(1 + 2_000);
    assert.equal(world.sockets.length, 2);
    world.ws.welcome({});
    await world.pass(86_400_000);
    assert.equal(hub.state, "open");
  });
});

describe("a page", () => {
  test("online: the connection went over a network that is gone", async t => {
    const world = newWorld(t), { hub, ws } = await world.open();
    world.page("online");
    await settle();
    assert.deepEqual([world.sockets.length, ws.closedWith, hub.state], [2, 1000, "connecting"]);
    world.page("online"); // while it connects
    await settle();
    assert.deepEqual(world.sockets.map(s => s.closedWith), [1000, 1000, undefined]);
    world.ws.welcome();
    world.ws.end();
    world.page("online"); // while it waits to
    await settle();
    assert.equal(world.sockets.length, 4);
    await world.pass(14_000);
    assert.equal(world.sockets.length, 4, "the timer is gone");
  });

  test("visible: it connects at once, abandons a stale CONNECTING and a silent link, and leaves a good one", async t => {
    const world = newWorld(t), { hub, ws } = await world.open();
    world.show(false);
    world.sleep(34_000);
    world.show(true);
    await settle();
    assert.equal(world.sockets.length, 1);
    world.sleep(1_000);
    world.show(false);
    await settle();
    assert.equal(world.sockets.length, 1, "nobody looks");
    world.show(true);
    await settle();
    assert.deepEqual([world.sockets.length, ws.closedWith], [2, 1000]);
    await world.pass(2_999);
    world.show(true);
    await settle();
    assert.equal(world.sockets.length, 2);
    await world.pass(1);
    world.show(true);
    await settle();
    assert.deepEqual([world.sockets.length, world.sockets[1].closedWith], [3, 1000]);
    world.ws.end();
    world.show(true);
    await settle();
    assert.equal(world.sockets.length, 4);
    assert.equal(hub.state, "connecting");
  });

  test("pagehide closes, pageshow from the cache connects, and nothing is lost", async t => {
    const world = newWorld(t), { hub, ws } = await world.open();
    const log = listen(hub.subscribe("a"));
    ws.receive({ op: "ok", sub: 1, at: "1" }, { topic: "a", id: "2", data: "two" });
    world.page("pagehide");
    assert.deepEqual([ws.closedWith, hub.state, world.timers], [1000, "connecting", 0]);
    await world.pass(3_600_000);
    assert.equal(world.sockets.length, 1);
    world.show(true); // as Chromium does before
    await settle();
    world.page("pageshow", { persisted: true });
    await settle();
    assert.equal(world.sockets.length, 2);
    world.ws.welcome();
    assert.deepEqual(world.ws.sent[0].subs, [{ sub: 1, topic: "a", after: "2" }]);
    world.ws.receive({ sub: 1, topic: "a", id: "3", data: "three" }, { op: "ok", sub: 1, at: "3" });
    assert.deepEqual(log, ["two", "three"]);
    world.page("pageshow", { persisted: false }); // of the first load
    await settle();
    assert.equal(world.sockets.length, 2);
  });

  test("a client that is closed listens no more", async t => {
    const world = newWorld(t), { hub } = await world.open();
    hub.close();
    for (const type of ["online", "pagehide"]) world.page(type);
    world.page("pageshow", { persisted: true });
    world.show(true);
    await settle();
    assert.deepEqual([world.sockets.length, hub.state], [1, "closed"]);
  });

  test("without one, as in Node and workers, there is none of this", async t => {
    const world = newWorld(t, { page: false }), { hub } = await world.open();
    assert.equal(hub.state, "open");
  });
});

test("events of an earlier connection count no more", async t => {
  const world = newWorld(t, { random: 0 }), { hub, ws } = await world.open();
  const log = listen(hub.subscribe("a"));
  ws.receive({ op: "ok", sub: 1, at: "1" });
  world.page("online");
  await settle();
  world.ws.welcome();
  world.ws.receive({ op: "ok", sub: 1, at: "1" });
  ws.receive({ topic: "a", id: "2", data: "late" }, "nonsense", { op: "bye", code: 1000 });
  ws.end(1000);
  assert.deepEqual([log, hub.state], [[], "open"]);
});

test("more subscriptions than fit into the hello follow it, with ascending numbers", async t => {
  const world = newWorld(t), hub = world.connect();
  t.after(() => hub.close());
  for (let i = 0; i < 400; i++) hub.subscribe(`${i}.${"x".repeat(245)}`);
  await settle();
  world.ws.open();
  const [hello, ...rest] = world.ws.sent;
  assert.ok(world.ws.raw[0].length <= 65_536);
  assert.ok(hello.subs.length > 200 && rest.length > 100);
  assert.deepEqual([...hello.subs, ...rest].map(s => s.sub), Array.from({ length: 400 }, (_, i) => i + 1));
});

test("the end of the client ends its subscriptions in silence, after what was received", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const one = hub.subscribe("a"), never = hub.subscribe("b"), errors = listen(hub.subscribe("c"));
  ws.receive({ op: "ok", sub: 1, at: "1" }, { topic: "a", id: "2", data: "last words" });
  ws.end(1000);
  const log = read(one);
  await settle();
  assert.deepEqual([log, errors], [["last words", "end"], []]);
  await assert.rejects(never.ready, { code: "closed", closeCode: 1000 });
  const late = hub.subscribe("d");
  await assert.rejects(late.ready, { code: "closed" });
  assert.equal(hub.latest("x").size, 0);
  assert.deepEqual(await late[Symbol.asyncIterator]().next(), { value: undefined, done: true });
});

test("frames that make no sense here do no harm", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  hub.subscribe("a");
  ws.receive(
    { op: "theme", sub: "x" }, { op: "ok", sub: 77, at: "1" }, { op: "ok", ref: 9 }, { op: "ok" }, { op: "err", code: "x" }, { op: "end", sub: -5 },
    { op: "end" }, { op: "reset", sub: 8 }, { op: "reset" }, { op: "gap", at: "2" }, { op: "gap", sub: 9, at: "2" }, { op: "gap", subs: [9, 1] },
    { op: "push" }, { op: "push", sub: 5, topic: "x" }, { op: "push", sub: -1 }, { op: "send" }, { op: "bye" }, { op: "at" },
    { topic: "__proto__", rev: "1", data: { __proto__: null } }, '{"topic":"a","id":"1","data":1,"__proto__":{"op":"bye"}}',
    { sub: 1, topic: "a" }, { sub: 0, topic: "a" }, { sub: -7, topic: "a", gone: true },
  );
  assert.deepEqual([hub.state, hub.error], ["open", null]);
});
