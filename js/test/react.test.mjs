// The hooks, mounted as StrictMode does it: twice.
import assert from "node:assert/strict";
import test from "node:test";
import { createElement as h, StrictMode } from "react";
import { act, create } from "react-test-renderer";
import { useConnection, useLatest, useTopic } from "../react.js";
import { newWorld, settle } from "./lib/world.mjs";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const { error } = console;
console.error = (...what) => { if (!/react-test-renderer is deprecated/.test(what[0])) error(...what); };

/** Mounts a component in StrictMode, and notes what it shows. */
async function mount(t, component, props) {
  let root;
  await act(() => { root = create(h(StrictMode, null, h(component, props))); });
  const unmount = async () => { await act(() => root.unmount()); };
  t.after(unmount);
  return {
    unmount,
    text: () => JSON.stringify(root.toJSON()),
    update: props => act(() => root.update(h(StrictMode, null, h(component, props)))),
  };
}

test("useTopic shows the last messages, over one socket and one subscription", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const Lines = ({ id }) => useTopic(hub, "chat.lobby", { replay: 9, limit: 3 }).map(m => `${id}${m.data}`).join(" ");
  const Both = ({ room }) => [h(Lines, { key: 1, id: "a" }), h(Lines, { key: 2, id: room ?? "b" })];
  const page = await mount(t, Both);
  await world.pass(10);
  assert.deepEqual(ws.take(), [{ op: "sub", sub: 1, topic: "chat.lobby", replay: 9 }]);
  await act(() => ws.receive(...[1, 2, 3, 4].map(n => ({ sub: 1, topic: "chat.lobby", id: `${n}`, data: n })), { op: "ok", sub: 1, at: "4" }));
  assert.equal(page.text(), '["a2 a3 a4","b2 b3 b4"]');
  await page.update({ room: "c" });
  assert.equal(page.text(), '["a2 a3 a4","c2 c3 c4"]');
  await page.unmount();
  await world.pass(10);
  assert.deepEqual(ws.take(), [{ op: "unsub", sub: 1 }]);
  assert.equal(world.sockets.length, 1);
});

test("useTopic changes with its topic, and calls the resync of the last render", async t => {
  const world = newWorld(t), { hub, ws } = await world.open(), log = [];
  const Lines = ({ topic, n }) => useTopic(hub, topic, { resync: () => { log.push(n); } }).map(m => m.data).join(" ") || "nothing";
  const page = await mount(t, Lines, { topic: "a", n: 1 });
  await page.update({ topic: "a", n: 2 });
  await act(async () => {
    ws.receive({ op: "ok", sub: 1, at: "1" }, { topic: "a", id: "2", data: "x" });
    await settle();
  });
  assert.deepEqual([log, page.text()], [[2], '"x"']);
  await page.update({ topic: "b", n: 3 });
  assert.equal(page.text(), '"nothing"');
  await world.pass(10);
  assert.deepEqual(ws.take(), [{ op: "sub", sub: 1, topic: "a" }, { op: "sub", sub: 2, topic: "b" }, { op: "unsub", sub: 1 }]);
});

test("useLatest renders at most once a frame", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  let renders = 0;
  const Sum = () => {
    renders++;
    return String([...useLatest(hub, "p.*").values()].reduce((sum, m) => sum + m.data, 0));
  };
  const page = await mount(t, Sum);
  assert.deepEqual(ws.take(), [{ op: "sub", sub: 1, topic: "p.*" }]);
  ws.receive({ op: "ok", sub: 1, at: "1" });
  const before = renders;
  for (let i = 1; i <= 1000; i++) ws.receive({ topic: `p.${i % 10}`, rev: `${i}`, data: i });
  assert.equal(renders, before);
  await act(() => world.pass(16));
  assert.equal(page.text(), '"9955"');
  assert.ok(renders - before <= 2, `${renders - before} renders`); // StrictMode renders twice
  await page.unmount();
  ws.receive({ topic: "p.1", rev: "x", data: 1 });
  await world.pass(100);
  assert.equal(world.timers - 1, 0, "only the silence is waited for");
});

test("useConnection follows state and error", async t => {
  const world = newWorld(t), { hub, ws } = await world.open();
  const State = () => { const { state, error } = useConnection(hub); return `${state} ${error?.closeCode}`; };
  const page = await mount(t, State);
  assert.equal(page.text(), '"open undefined"');
  await act(() => ws.end(1012));
  assert.equal(page.text(), '"connecting 1012"');
  await act(() => hub.close());
  assert.equal(page.text(), '"closed 0"');
});
