// Publishing: once, in order, whatever happens to the connection.
import assert from "node:assert/strict";
import test, { describe } from "node:test";
import { newWorld, settle } from "./lib/world.mjs";

/** Notes how promises end. */
function outcomes(...promises) {
  const log = Array(promises.length).fill("pending");
  promises.forEach((p, i) => p.then(v => { log[i] = v; }, e => { log[i] = e.code ?? e; }));
  return log;
}

/** Takes the connection away, and makes the next one at once. */
async function reconnect(world, code, reason) {
  world.random = 0;
  if (world.ws.readyState < 3) world.ws.end(code, reason);
  else await world.pass(2_000); // it has been taken away
  await world.pass(0);
  world.ws.welcome();
  return world.ws;
}

/** A hub of one topic: it stores a message once a key, and answers. */
class Store {
  log = [];
  ids = new Map();
  take(ws, { ref, key, data }) {
    if (!this.ids.has(key)) {
      this.log.push(data);
      this.ids.set(key, `${this.log.length}.x`);
    }
    ws.receive({ op: "ok", ref, id: this.ids.get(key) });
  }
}

describe("a connection that is cut stores each message once, in order", () => {
  // Of three publishes the first n reach the hub, and of the answers m come back; then the connection ends.
  for (const code of [1006, 1001]) for (let arrive = 0; arrive <= 3; arrive++) for (let answered = 0; answered <= arrive; answered++) {
    test(`code ${code}, ${arrive} arrive, ${answered} are answered`, async t => {
      const world = newWorld(t), { hub, ws } = await world.open(), store = new Store();
      const log = outcomes(...["a", "b", "c"].map(data => hub.publish("x", data)));
      const deaf = { receive() {} };
      ws.take().slice(0, arrive).forEach((f, i) => store.take(i < answered ? ws : deaf, f));
      const next = await reconnect(world, code);
      for (const f of next.take()) store.take(next, f);
      await settle();
      assert.deepEqual(store.log, ["a", "b", "c"]);
      assert.deepEqual(log, ["1.x", "2.x", "3.x"]);
      assert.equal((await reconnect(world)).take().length, 0);
    });
  }
});

test("what is published while offline waits, in order, also before the first welcome", async t => {
  const world = newWorld(t), hub = world.connect();
  t.after(() => hub.close());
  outcomes(hub.publish("x", 1), hub.publish("x", 2));
  await settle();
  world.ws.open();
  assert.deepEqual(world.ws.take(), [], "what the hub takes is not known yet");
  world.ws.receive({ op: "welcome", conn: "c" });
  assert.deepEqual(world.ws.take().map(f => f.data), [1, 2]);
  world.ws.end();
  outcomes(hub.publish("x", 3));
  await world.pass(2_000);
  world.ws.welcome();
  assert.deepEqual(world.ws.take().map(f => f.data), [1, 2, 3]);
});

test("a temporary refusal is tried again with the same key, a final one is an error", async t => {
  const world = newWorld(t, { random: 1 }), { hub, ws } = await world.open();
  const log = outcomes(hub.publish("x", 1), hub.publish("x", 2));
  const [one, two] = ws.take();
  ws.receive({ op: "err", ref: one.ref, code: "unavailable", again: true }, { op: "err", ref: two.ref, code: "too_large", reason: "too much" });
  ws.receive({ op: "err", code: "unknown" }, { op: "err", ref: 99, code: "denied" }, { op: "ok", ref: 99 });
  await world.pass(1_999);
  assert.deepEqual([log, ws.take()], [["pending", "invalid"], []]);
  await world.pass(1);
  assert.deepEqual(ws.take(), [one]);
  ws.receive({ op: "err", ref: one.ref, code: "unavailable", again: true });
  const next = await reconnect(world);
  assert.deepEqual(next.take(), [one], "the next connection is not waited for");
  await world.pass(20_000);
  assert.deepEqual(next.take(), []);
  next.receive({ op: "ok", ref: one.ref, id: "5" });
  await settle();
  assert.deepEqual(log, ["5", "invalid"]);
});

test("two closes by the hub while a publish is in flight make it uncertain; cuts do not", async t => {
  const world = newWorld(t), { hub } = await world.open();
  const log = outcomes(hub.publish("x", "poison"));
  for (const code of [1006, 1011, 1006, 1006]) await reconnect(world, code);
  outcomes(hub.publish("x", "other"));
  world.ws.receive({ op: "bye", code: 1011 }); // the Close frame itself is lost
  const next = await reconnect(world, 1006);
  await settle();
  assert.equal(log[0], "uncertain");
  assert.deepEqual(next.take().map(f => f.data), ["other"]);
});

test("4 minutes without an answer make it uncertain, counted from when it was first sent", async t => {
  const world = newWorld(t), hub = world.connect();
  t.after(() => hub.close());
  const log = outcomes(hub.publish("x", 1));
  world.random = 0;
  await world.pass(400_000);
  assert.deepEqual(log, ["pending"], "it was not sent");
  world.ws.welcome({});
  await world.pass(120_000);
  world.ws.end();
  await world.pass(0);
  world.ws.welcome({});
  await world.pass(119_999);
  assert.deepEqual(log, ["pending"]);
  await world.pass(1);
  assert.deepEqual(log, ["uncertain"]);
  world.ws.receive({ op: "ok", ref: 1, id: "1" });
});

test("an AbortSignal gives it up: certainly not stored if it was not sent", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const [a, b] = [new AbortController(), new AbortController()];
  const sent = hub.publish("x", 1, { signal: a.signal });
  a.abort("why");
  await assert.rejects(sent, e => e.code === "uncertain" && e.cause === "why");
  ws.end();
  const waits = hub.publish("x", 2, { signal: b.signal });
  b.abort("why");
  assert.equal(await waits.catch(e => e), "why");
  assert.equal(await hub.publish("x", 3, { signal: b.signal }).catch(e => e), "why");
  assert.equal((await reconnect(world)).take().length, 0);
});

test("the end of the client tells each publish what is known of it", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const sent = hub.publish("x", 1);
  ws.end();
  const log = outcomes(sent, hub.publish("x", 2));
  hub.close();
  await settle();
  assert.deepEqual(log, ["uncertain", "closed"]);
  await assert.rejects(hub.publish("x", 3), { code: "closed" });
  assert.equal(hub.signal("x", 1), false);
  assert.equal(world.timers, 0);
});

test("what the hub would close the connection for is not sent", async t => {
  const world = newWorld(t), { hub, ws } = await world.open({}, { ping: 1000, max: { in: 1000 } });
  const deep = n => { let v = 0; for (let i = 0; i < n; i++) v = [v]; return v; }, circle = {};
  circle.circle = circle;
  for (const data of ["x".repeat(1000), "é".repeat(490), new Uint8Array(990), deep(1001), deep(20_000), circle, 1n, undefined, () => {}, Symbol("x")]) {
    await assert.rejects(hub.publish("x", data), { code: "invalid" });
    assert.throws(() => hub.signal("x", data), { code: "invalid" });
  }
  await assert.rejects(hub.publish("x", 1, { key: "" }), { code: "invalid" });
  assert.deepEqual(ws.take(), []);
  const ok = [hub.publish("x", "é".repeat(400)), hub.publish("x", '"[{'.repeat(90)), hub.publish("x", "\ud800")];
  outcomes(...ok);
  assert.equal(ws.take().length, 3);
  assert.match(ws.raw.at(-1), /"\\ud800"/, "half a pair is escaped");
  // The next connection has another limit.
  const log = outcomes(hub.publish("x", "y".repeat(600)));
  world.random = 0;
  ws.end();
  const unsent = outcomes(hub.publish("x", "z".repeat(600)));
  await world.pass(0);
  world.ws.welcome({ max: { in: 500 } });
  await settle();
  assert.deepEqual([log, unsent], [["uncertain"], ["invalid"]], "the first may have been stored");
  const roomy = await reconnect(world);
  outcomes(hub.publish("x", deep(1000)));
  assert.equal(roomy.take().length, 3);
});

test("publishes that are unanswered have a limit", async t => {
  const world = newWorld(t), hub = world.connect();
  t.after(() => hub.close());
  const big = "x".repeat(1 << 20), log = outcomes(...Array.from({ length: 17 }, () => hub.publish("x", big)));
  await settle();
  assert.deepEqual(log, [...Array(15).fill("pending"), "limit", "limit"]);
});

test("a publish says what it was called with, not what became of that", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  ws.end();
  const data = { n: 1 }, bytes = Uint8Array.of(1, 2, 3, 4);
  outcomes(hub.publish("x", data), hub.publish("x", bytes.subarray(1, 3)), hub.publish("x", bytes.buffer.slice(0, 1)), hub.publish("x", Buffer.from([9])));
  data.n = 2;
  bytes.fill(0);
  assert.deepEqual((await reconnect(world)).take().map(f => f.data), [{ n: 1 }, Uint8Array.of(2, 3), Uint8Array.of(1), Uint8Array.of(9)]);
});

test("a signal is sent now or not at all", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  assert.equal(hub.signal("x", 1), true);
  ws.bufferedAmount = 70_000;
  assert.equal(hub.signal("x", 2), false);
  ws.end();
  assert.equal(hub.signal("x", 3), false);
  const next = await reconnect(world);
  assert.deepEqual([ws.take().map(f => f.data), next.take()], [[1], []]);
});

test("keys are random", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  outcomes(...Array.from({ length: 100 }, () => hub.publish("x", 1)));
  const keys = ws.take().map(f => f.key);
  assert.equal(new Set(keys).size, 100);
  for (const key of keys) assert.match(key, /^[0-9a-f]{32}$/);
});
