// The five rules of a client, gaps, parking and resync: what subscriptions do.
import assert from "node:assert/strict";
import test from "node:test";
import { listen, newWorld, read, settle } from "./lib/world.mjs";

const message = (id, data = id, more) => ({ topic: "a", id, data, ...more });
const subs = ws => ws.sent[0].subs ?? [];

/** Loses the connection and makes the next one, as far as its hello. */
async function reconnect(world, code) {
  world.random = 0;
  world.ws.end(code);
  await world.pass(0);
  world.ws.welcome();
  return world.ws;
}

test("① ② ③ ④ each subscription resumes from where it is", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const joined = listen(hub.subscribe("a")), wild = listen(hub.subscribe("*")), late = listen(hub.subscribe("b", { replay: 9 }));
  const none = listen(hub.subscribe("c"));
  ws.receive({ op: "ok", sub: 1, at: "1.a" }, { op: "ok", sub: 2, at: "1.a" }, message("2.a"));
  ws.receive({ sub: 3, topic: "b", id: "0.5", data: "old" }, message("3.a"), { topic: "b", id: "4.a", data: "not yet" });
  assert.deepEqual([joined, wild, late, none], [["2.a", "3.a"], ["2.a", "3.a", "not yet"], ["old"], []]);
  const next = await reconnect(world);
  assert.equal(next.sent[0].after, "4.a");
  assert.deepEqual(subs(next), [
    { sub: 1, topic: "a", after: "4.a" }, { sub: 2, topic: "*", after: "4.a" },
    { sub: 3, topic: "b", after: "0.5" }, // its own, and no replay: it has a position
    { sub: 4, topic: "c" }, // it is new
  ]);
  // What they presented is their own position now: the connection's says nothing about them.
  next.receive({ op: "ok", sub: 1, at: "9.a" }, message("10.a"));
  assert.deepEqual(subs(await reconnect(world)).map(s => s.after), ["10.a", "4.a", "0.5", undefined]);
});

test("① the position is that of an ok, an at, an untagged gap or message, and of no answer", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  hub.subscribe("a");
  const stored = hub.publish("x", 1);
  const [{ ref }] = ws.take("pub");
  for (const [frame, at] of [
    [{ op: "ok", sub: 1, at: "1" }, "1"], [{ op: "at", at: "2" }, "2"], [{ op: "ok", ref, id: "7" }, "2"], [message("3"), "3"],
    [{ op: "gap", subs: [1], at: "4", cause: "slow" }, "4"], [{ sub: 1, topic: "a", id: "8", data: 1 }, "4"],
    [{ op: "gap", sub: 1, subs: [1], at: "9", cause: "away" }, "4"], [{ op: "ok", sub: 99, at: "5" }, "5"],
    [{ topic: "s", rev: "11", data: 1 }, "5"], [{ topic: "s", data: 1 }, "5"], [{ op: "send", topic: "s", id: "12", data: 1 }, "5"],
  ]) {
    world.ws.receive(frame);
    const next = await reconnect(world);
    assert.equal(next.sent[0].after, at, JSON.stringify(frame));
    next.receive({ op: "ok", sub: 1, at });
  }
  assert.equal(await stored, "7");
});

test("replay is marked, what continues is not", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const seen = m => `${m.data}${m.replayed ? " replayed" : ""}`;
  const log = read(hub.subscribe("a", { replay: 5 }), seen), resumed = read(hub.subscribe("a", { after: "1.x", replay: 5 }), seen);
  assert.deepEqual(ws.take("sub").at(1), { op: "sub", sub: 2, topic: "a", after: "1.x", replay: 5 });
  ws.receive(message("1", "r", { sub: 1 }), message("1", "c", { sub: 2 }));
  ws.receive({ op: "gap", sub: 2, subs: [2], at: "2", cause: "restart" }, message("3", "n", { sub: 2 }));
  ws.receive({ op: "ok", sub: 1, at: "5" }, { op: "ok", sub: 2, at: "5" }, message("6", "live"));
  await settle();
  assert.deepEqual([log, resumed], [["r replayed", "live"], ["c", "n replayed", "live"]]);
});

test("a gap stands between the messages that it separates", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const heard = listen(hub.subscribe("a")), loop = read(hub.subscribe("b"), m => `${m.data} after ${m.missed}`);
  ws.receive({ op: "ok", sub: 1, at: "0" }, { op: "ok", sub: 2, at: "0" }, message("1"));
  ws.receive({ op: "gap", subs: [1, 2], at: "5", cause: "slow", missed: 3 }, { op: "gap", subs: [2], at: "6", cause: "away" });
  ws.receive(message("7"), { topic: "b", id: "8", data: "x" }, { topic: "b", id: "9", data: "y" });
  await settle();
  assert.deepEqual(heard, ["1", "gap 3", "7"]);
  assert.deepEqual(loop, ["x after 4", "y after 0"], "at least so many");
});

test("subscriptions to one topic become one when both have joined", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const first = hub.subscribe("a"), log = listen(first);
  ws.receive({ op: "ok", sub: 1, at: "1" });
  const second = hub.subscribe("a", { replay: 2 }), other = listen(second);
  ws.take();
  ws.receive(message("0", "old", { sub: 2 }), message("2"), { op: "ok", sub: 2, at: "2" });
  assert.deepEqual(ws.take(), [{ op: "unsub", sub: 2 }]);
  ws.receive(message("3"), { op: "end", sub: 2 });
  assert.deepEqual([log, other], [["2", "3"], ["old", "3"]]);
  assert.deepEqual(subs(await reconnect(world)), [{ sub: 1, topic: "a", after: "3" }], "one on the wire");
  world.ws.receive({ op: "ok", sub: 1, at: "3" });
  world.ws.take();
  first.close();
  assert.deepEqual(world.ws.take(), [], "one is left");
  world.ws.receive(message("4"));
  second.close();
  second.close();
  assert.deepEqual(world.ws.take(), [{ op: "unsub", sub: 1 }]);
  world.ws.receive(message("5"));
  assert.deepEqual([log, other], [["2", "3"], ["old", "3", "4"]]);
});

test("what is received before anybody listens waits for them", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const sub = hub.subscribe("a");
  ws.receive({ op: "ok", sub: 1, at: "0" }, message("1"), message("2"));
  await sub.ready;
  const log = listen(sub);
  ws.receive(message("3"));
  assert.deepEqual(log, ["1", "2", "3"]);
});

test("a loop that falls behind is parked, holds up nobody, and loses nothing", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const sub = hub.subscribe("a"), loop = sub[Symbol.asyncIterator](), quick = listen(hub.subscribe("a"));
  ws.receive({ op: "ok", sub: 1, at: "0.x" }, { op: "ok", sub: 2, at: "0.x" });
  ws.take();
  for (let i = 1; i <= 300; i++) ws.receive(message(`${i}.x`, i));
  assert.equal(quick.length, 300);
  assert.deepEqual(ws.take(), [], "the other subscription goes on with what they share");
  const read = async n => { for (const last = at + n; at < last; at++) assert.equal((await loop.next()).value.data, at + 1); };
  let at = 0;
  await read(127);
  assert.deepEqual(ws.take(), []);
  assert.equal(sub.position, "127.x");
  await read(1);
  assert.deepEqual(ws.take(), [{ op: "sub", sub: 3, topic: "a", after: "256.x" }], "half of it is free");
  for (let i = 257; i <= 300; i++) ws.receive(message(`${i}.x`, i, { sub: 3 }));
  ws.receive({ op: "ok", sub: 3, at: "300.x" }, message("301.x", 301));
  assert.deepEqual(ws.take(), [{ op: "unsub", sub: 3 }], "they are one again");
  await read(173);
  assert.equal(sub.position, "301.x");
  assert.equal(quick.length, 301);
});

test("alone it is unsubscribed while parked, also over a reconnect, and what still arrives is dropped", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const sub = hub.subscribe("a"), loop = sub[Symbol.asyncIterator]();
  ws.receive({ op: "ok", sub: 1, at: "0.x" });
  ws.take();
  const big = "x".repeat(600_000);
  ws.receive(message("1.x", big), message("2.x", big), message("3.x", big));
  assert.deepEqual(ws.take(), [{ op: "unsub", sub: 1 }], "a MiB is enough");
  const next = await reconnect(world);
  assert.deepEqual(subs(next), []);
  await loop.next();
  assert.deepEqual(next.take(), [{ op: "sub", sub: 1, topic: "a", after: "1.x" }]);
  next.receive(message("2.x", "second", { sub: 1 }));
  assert.equal((await loop.next()).value.data, "second");
});

test("a replay that is larger than the buffer goes on as one", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const sub = hub.subscribe("a", { replay: 1000 }), loop = sub[Symbol.asyncIterator]();
  for (let i = 1; i <= 257; i++) ws.receive(message(`${i}.x`, i, { sub: 1 }));
  await sub.ready; // messages have come
  for (let i = 0; i < 128; i++) await loop.next();
  assert.deepEqual(ws.take().at(-1), { op: "sub", sub: 2, topic: "a", after: "256.x" }, "and no replay");
  for (let i = 0; i < 128; i++) assert.equal((await loop.next()).value.replayed, true);
  ws.receive(message("257.x", 257, { sub: 2 }));
  assert.equal((await loop.next()).value.replayed, true);
});

test("leaving a loop closes the subscription", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  setImmediate(() => ws.receive({ op: "ok", sub: 1, at: "1" }, message("2")));
  for await (const m of hub.subscribe("a")) {
    assert.equal(m.id, "2");
    break;
  }
  assert.deepEqual(ws.take("unsub"), [{ op: "unsub", sub: 1 }]);
});

test("close and an AbortSignal end loops without an error", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const [by, gone] = [new AbortController(), new AbortController()];
  gone.abort();
  const closed = hub.subscribe("a"), aborted = hub.subscribe("b", { signal: by.signal }), never = hub.subscribe("c", { signal: gone.signal });
  const logs = [closed, aborted, never].map(s => read(s));
  ws.receive({ op: "ok", sub: 1, at: "1" });
  closed.close();
  by.abort();
  await settle();
  assert.deepEqual(logs, [["end"], ["end"], ["end"]]);
  await closed.ready;
  await assert.rejects(aborted.ready, { code: "closed" });
  assert.deepEqual(ws.take().map(f => [f.op, f.sub]), [["sub", 1], ["sub", 2], ["unsub", 1], ["unsub", 2]]);
});

test("a refusal ends it with an error, after what was received; one that is temporary is tried again", async t => {
  const world = newWorld(t, { random: 1 }), { hub, ws } = await world.open();
  const sub = hub.subscribe("a"), loop = sub[Symbol.asyncIterator](), heard = listen(hub.subscribe("b"));
  ws.receive({ op: "ok", sub: 1, at: "1" }, message("2"), { op: "end", sub: 1, code: "denied", reason: "hotline: denied: not you" });
  assert.equal((await loop.next()).value.id, "2");
  await assert.rejects(loop.next(), { name: "HotlineError", code: "denied", message: "hotline: denied: not you" });
  assert.deepEqual(await loop.next(), { value: undefined, done: true });
  ws.take();
  ws.receive({ op: "end", sub: 2 }); // though it was not unsubscribed
  await world.pass(2_000);
  assert.deepEqual(ws.take(), [{ op: "sub", sub: 3, topic: "b" }], "under a new number");
  let number = 3;
  for (const delay of [2_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]) {
    ws.receive({ op: "ping" }, { op: "end", sub: number, code: "unavailable", again: true });
    await world.pass(delay - 1);
    assert.deepEqual(ws.take(), [], `not before ${delay}`);
    ws.receive({ op: "ping" });
    await world.pass(1);
    assert.deepEqual(ws.take(), [{ op: "sub", sub: ++number, topic: "b" }]);
  }
  for (const [code, want] of [["limit", "limit"], ["too_large", "invalid"], ["something new", "denied"]]) {
    const { ready } = hub.subscribe("x");
    ws.receive({ op: "end", sub: ws.take().at(-1).sub, code });
    await assert.rejects(ready, { code: want });
  }
  ws.receive({ op: "ok", sub: number, at: "3" }, { op: "end", sub: number, code: "denied" });
  assert.deepEqual(heard, ["error denied"]);
});

test("a topic or option that can't be is refused at once", async t => {
  const world = newWorld(t), { hub } = await world.open();
  for (const topic of ["", ".", "a.", "a..b", "a b", "a*", "*a", ">.a", "a{b}", "%41", "%2e", "$sys", "\ud800", "é".repeat(128), "x".repeat(5_000_000), 7, undefined]) {
    assert.throws(() => hub.subscribe(topic), { code: "invalid" }, String(topic));
    await assert.rejects(hub.publish(topic, 1), { code: "invalid" });
  }
  for (const topic of ["*", ">", "a.>", "*.b"]) await assert.rejects(hub.publish(topic, 1), { code: "invalid" });
  for (const topic of ["a", "a.*.c", ">", "%", "a.%.b", "%2A%7F", "%ED%A0%80", "é".repeat(127)]) hub.subscribe(topic).close();
  for (const options of [{ replay: -1 }, { replay: 1.5 }, { after: 7 }, { resync: true }]) {
    assert.throws(() => hub.subscribe("a", options), { code: "invalid" });
  }
});

// Resync.

test("resync loads a snapshot after ok and before messages, and reading goes on from its position", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const log = [];
  const sub = hub.subscribe("a", { resync: async () => { log.push("snapshot"); await settle(); return "7.x"; } });
  listen(sub, log);
  await settle();
  assert.deepEqual(log, [], "not before ok");
  ws.receive({ op: "ok", sub: 1, at: "1.x" }, message("8.x"));
  await settle();
  assert.deepEqual(log, ["snapshot"]);
  await settle();
  assert.deepEqual(ws.take().slice(1), [{ op: "unsub", sub: 1 }, { op: "sub", sub: 2, topic: "a", after: "7.x" }]);
  ws.receive(message("8.x", "8", { sub: 2 }), { op: "ok", sub: 2, at: "8.x" });
  assert.deepEqual(log, ["snapshot", "8"]);
  assert.equal(sub.position, "8.x");
});

test("resync without a position goes on with what came since ok", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const log = read(hub.subscribe("a", { resync: () => {} }));
  ws.receive({ op: "ok", sub: 1, at: "1.x" }, message("2.x"));
  await world.pass(0);
  assert.deepEqual(log, ["2.x"]);
  assert.deepEqual(ws.take("unsub"), []);
});

test("after each gap it loads one again; one that fails is tried again, and spaced", async t => {
  const world = newWorld(t, { random: 1 }), { hub, ws } = await world.open();
  t.mock.method(console, "warn", () => {});
  const log = [], outcome = [() => {}, () => { throw new Error("503"); }, () => {}, () => {}];
  const sub = hub.subscribe("a", { after: "1.x", resync: () => { log.push("snapshot"); return outcome.shift()(); } });
  read(sub, m => log.push(m.missed ? `${m.data} missed ${m.missed}` : m.data));
  ws.receive({ op: "ok", sub: 1, at: "1.x" }, message("2.x"));
  await world.pass(0);
  assert.deepEqual(log, ["2.x"], "after could be honoured");
  ws.receive({ op: "gap", subs: [1], at: "5.x", cause: "slow", missed: 3 }, message("6.x"));
  await world.pass(0);
  assert.deepEqual(log, ["2.x", "snapshot", "6.x"], "what it covers is not missed");
  log.length = 0;
  ws.receive({ op: "gap", subs: [1], at: "7.x", cause: "restart" });
  assert.equal(sub.position, "6.x", "before a loss that is not made good");
  await world.pass(1_999);
  assert.deepEqual(log, [], "after a restart everybody does it: not at once");
  await world.pass(1);
  assert.deepEqual(log, ["snapshot"]);
  assert.equal(console.warn.mock.callCount(), 1);
  ws.receive({ op: "gap", subs: [1], at: "8.x", cause: "slow" }, message("9.x"), { op: "ping" });
  await world.pass(2_000); // the failure's delay: the snapshot covers the first gap, and the second wants one more
  assert.deepEqual(log, ["snapshot", "snapshot"]);
  await world.pass(2_000);
  assert.deepEqual(log, ["snapshot", "snapshot", "snapshot", "9.x"]);
  assert.equal(sub.position, "9.x");
});

test("a loss that a snapshot has made good is behind the position, one that no message has told yet is not", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const good = hub.subscribe("a", { after: "1.x", resync: () => {} }), untold = hub.subscribe("b", { after: "1.x" });
  read(good);
  read(untold);
  ws.receive({ op: "ok", sub: 1, at: "1.x" }, { op: "ok", sub: 2, at: "1.x" });
  ws.receive({ op: "gap", subs: [1, 2], at: "5.x", cause: "slow" });
  await settle();
  assert.deepEqual([good.position, untold.position], ["5.x", "1.x"]);
  ws.receive({ topic: "b", data: "signal" });
  ws.receive({ op: "at", at: "6.x" });
  await settle();
  assert.deepEqual([good.position, untold.position], ["6.x", "6.x"], "it moves on while nothing is published");
});

test("resync that is denied ends the subscription; one that runs when it is closed counts no more", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const { HotlineError } = await import("../hotline.js");
  const log = read(hub.subscribe("a", { resync() { throw new HotlineError("denied", "log in"); } }));
  let finish;
  const sub = hub.subscribe("b", { resync: () => new Promise(resolve => { finish = resolve; }) }), closed = read(sub);
  ws.receive({ op: "ok", sub: 1, at: "1" }, { op: "ok", sub: 2, at: "1" });
  await settle();
  sub.close();
  finish("5.x");
  ws.take();
  await settle();
  assert.deepEqual([log, closed], [["threw denied"], ["end"]]);
  assert.deepEqual(ws.take(), []);
});
