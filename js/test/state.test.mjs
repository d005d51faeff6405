// State and Presence: the newest value of each topic, its absence, and what the server subscribes.
import assert from "node:assert/strict";
import test from "node:test";
import { listen, newWorld, read, settle } from "./lib/world.mjs";

const value = (name, rev, data = rev, more) => ({ topic: `p.${name}`, rev, data, ...more });
const gone = (name, rev, more) => ({ topic: `p.${name}`, rev, gone: true, ...more });
const shown = latest => Object.fromEntries(Array.from(latest, ([topic, m]) => [topic.slice(2), m.data]));

async function reconnect(world) {
  world.random = 0;
  world.ws.end();
  await world.pass(0);
  world.ws.welcome();
  return world.ws;
}

test("latest is a live Map that drops what is gone", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const latest = hub.latest("p.*"), changes = [];
  latest.addEventListener("change", e => changes.push([e.message.topic, e.message.data]));
  ws.receive(value("a", "1", 1, { sub: 1 }), { op: "ok", sub: 1, at: "0" }, value("b", "2", 2), value("a", "3", 3), gone("b", "4"));
  assert.deepEqual(shown(latest), { a: 3 });
  assert.deepEqual(changes, [["p.a", 1], ["p.b", 2], ["p.a", 3], ["p.b", null]]);
  ws.receive(gone("never", "5"));
  assert.equal(changes.length, 4);
  await latest.ready;
  const map = new Map(latest);
  assert.deepEqual([latest.size, latest.has("p.a"), latest.get("p.a"), latest.get("p.b")], [1, true, map.get("p.a"), undefined]);
  assert.deepEqual([[...latest.keys()], [...latest.values()], [...latest.entries()]], [[...map.keys()], [...map.values()], [...map]]);
  const each = [];
  latest.forEach((m, topic, self) => each.push(m, topic, self));
  assert.deepEqual(each, [map.get("p.a"), "p.a", latest]);
  latest.close();
  ws.receive(value("a", "6"));
  assert.equal(latest.get("p.a").data, 3);
});

test("what no snapshot shows again is gone, and what it shows unchanged is no change", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const latest = hub.latest("p.*"), log = [];
  latest.addEventListener("change", ({ message: { topic, data } }) => log.push([topic.slice(2), data]));
  ws.receive({ op: "ok", sub: 1, at: "0" }, value("same", "1"), value("other", "2"), value("away", "3"));
  log.length = 0;
  let next = await reconnect(world);
  assert.deepEqual(shown(latest), { same: "1", other: "2", away: "3" }, "while it is down it stands");
  next.receive(value("same", "1", "1", { sub: 1 }), value("other", "4", "4", { sub: 1 }), { op: "ok", sub: 1, at: "0" });
  assert.deepEqual(log, [["other", "4"], ["away", null]]);
  log.length = 0;
  next.receive({ op: "reset", sub: 1 }, value("x", "9"), value("same", "1", "1", { sub: 1 }), { op: "ok", sub: 1, at: "0" });
  assert.deepEqual(log, [["other", null]], "reset begins again: what is untagged is not for it");
  // The first snapshot was cut: the second one counts.
  next = await reconnect(world);
  next.receive(value("new", "5", "5", { sub: 1 }));
  next = await reconnect(world);
  next.receive(value("same", "1", "1", { sub: 1 }), { op: "ok", sub: 1, at: "0" });
  assert.deepEqual(shown(latest), { same: "1" });
});

test("of Events latest keeps the newest, and no reconnect takes it away", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const latest = hub.latest("p.*");
  ws.receive({ op: "ok", sub: 1, at: "0" }, { topic: "p.a", id: "1", data: 1 }, { topic: "p.a", id: "2", data: 2 }, { topic: "p.s", data: 3 });
  (await reconnect(world)).receive({ op: "ok", sub: 1, at: "2" });
  assert.deepEqual(shown(latest), { a: 2, s: 3 });
});

test("a loop that is slow is given the newest value of each topic, in the order of the last change", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const sub = hub.subscribe("p.*"), loop = sub[Symbol.asyncIterator]();
  ws.receive(value("a", "1", 1, { sub: 1 }), { op: "ok", sub: 1, at: "0" });
  const first = (await loop.next()).value;
  assert.deepEqual([first.data, first.replayed, first.id], [1, true, ""]);
  for (let i = 0; i < 10_000; i++) ws.receive(value(["b", "a", "c"][i % 3], `r${i}`, i));
  ws.receive(gone("b", "x"), value("d", "y"), gone("d", "z"));
  assert.deepEqual(ws.take("unsub"), [], "State is never parked");
  ws.receive(gone("a", "q"), value("e", "w"), { topic: "p.sig", data: "signal" });
  const log = [];
  for (let i = 0; i < 4; i++) log.push((await loop.next()).value);
  assert.deepEqual(log.map(m => [m.topic, m.data]), [["p.sig", "signal"], ["p.c", 9_998], ["p.a", null], ["p.e", "w"]]);
});

test("neither Events nor State keep the other waiting, and of signals 64 wait", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const log = [], sub = hub.subscribe("p.>"), loop = sub[Symbol.asyncIterator]();
  ws.receive({ op: "ok", sub: 1, at: "0" });
  for (let i = 0; i < 100; i++) ws.receive({ topic: "p.e", id: `${i}`, data: `e${i}` }, value(`${i}`, `${i}`, `v${i}`), { topic: "p.s", data: "s" });
  for (let i = 0; i < 64 + 6; i++) log.push((await loop.next()).value.data);
  assert.deepEqual(log.splice(0, 64), Array(64).fill("s"));
  assert.deepEqual(log, ["v0", "e0", "v1", "e1", "v2", "e2"]);
});

test("Presence values that are held are published again, behind the unanswered publishes", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const p = [hub.publish("here.ada", { n: 1 }), hub.publish("here.bob", Uint8Array.of(1)), hub.publish("here.eve", 3), hub.publish("here.sue", 4)];
  const refs = ws.take().map(f => f.ref);
  refs.forEach((ref, i) => ws.receive({ op: "ok", ref, id: `${i}`, held: true }));
  await Promise.all(p);
  const given = hub.publish("here.eve", null);
  ws.receive({ op: "ok", ref: ws.take()[0].ref, id: "9" });
  await given;
  const waits = [hub.publish("x", 1), hub.publish("here.sue", 5)];
  const [x, sue] = ws.take();
  let next = await reconnect(world);
  const again = next.take();
  assert.deepEqual(again.slice(0, 2), [x, sue], "⑤ the same, with their keys");
  assert.deepEqual(again.slice(2).map(f => [f.topic, f.data]), [["here.ada", { n: 1 }], ["here.bob", Uint8Array.of(1)]]);
  assert.equal(new Set([...again.map(f => f.key)]).size, 4, "with new keys");
  // They are made anew each time, and one that is refused is held no more.
  next = await reconnect(world);
  const third = next.take();
  assert.deepEqual(third.map(f => f.topic), ["x", "here.sue", "here.ada", "here.bob"]);
  assert.notEqual(third[2].key, again[2].key);
  next.receive({ op: "ok", ref: x.ref, id: "1" }, { op: "ok", ref: sue.ref, id: "2", held: true }, { op: "err", ref: third[2].ref, code: "denied" });
  next.receive({ op: "ok", ref: third[3].ref, id: "3", held: true });
  assert.deepEqual(await Promise.all(waits), ["1", "2"]);
  assert.deepEqual((await reconnect(world)).take().map(f => f.topic), ["here.sue", "here.bob"]);
});

test("what the server subscribes becomes events of the client, unless a subscription covers it", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const log = [], own = listen(hub.subscribe("user.ada.mine"));
  hub.addEventListener("message", ({ message: { topic, data, missed } }) => log.push(missed ? [topic, data, missed] : [topic, data]));
  ws.receive({ op: "push", sub: -1, topic: "user.ada.>" }, { op: "push", sub: -2, topic: "p.*" });
  ws.receive({ sub: -2, topic: "p.a", rev: "1", data: 1 }, { op: "ok", sub: -2, at: "1" }, { op: "ok", sub: -1, at: "1" }, { op: "ok", sub: 1, at: "1" });
  ws.receive({ topic: "user.ada.mine", id: "2", data: "own" }, { topic: "user.ada.notes", id: "3", data: "note" });
  ws.receive({ op: "gap", subs: [-1, 1], at: "4", cause: "slow", missed: 2 }, { topic: "user.ada.notes", id: "5", data: "next" });
  ws.receive({ op: "send", topic: "reply", data: [1] }, { op: "send", topic: "user.ada.mine", data: "sent" });
  assert.deepEqual(log.splice(0), [["p.a", 1], ["user.ada.notes", "note"], ["user.ada.notes", "next", 2], ["reply", [1]]]);
  assert.deepEqual(own, ["own", "gap 2", "sent"]);
  const next = await reconnect(world);
  assert.deepEqual(next.sent[0].subs, [{ sub: 1, topic: "user.ada.mine", after: "5" }], "it is the server that subscribes again");
  next.receive({ op: "push", sub: -1, topic: "p.*" }, { sub: -1, topic: "p.b", rev: "2", data: 2 }, { op: "ok", sub: -1, at: "6" });
  next.receive({ op: "end", sub: -1, code: "denied" }, { topic: "p.a", rev: "7", data: 3 });
  assert.deepEqual(log, [["p.b", 2], ["p.a", null]], "also there what is gone is told");
});

test("two loops of one State topic each get all", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const one = read(hub.subscribe("p.*"));
  ws.receive(value("a", "1", 1, { sub: 1 }), { op: "ok", sub: 1, at: "0" });
  const two = read(hub.subscribe("p.*"));
  ws.receive(value("a", "1", 1, { sub: 2 }), { op: "ok", sub: 2, at: "0" }, value("b", "2", 2));
  (await reconnect(world)).receive(value("b", "2", 2, { sub: 1 }), { op: "ok", sub: 1, at: "0" });
  await settle();
  assert.deepEqual([one, two], [[1, 2, null], [1, 2, null]]);
});
