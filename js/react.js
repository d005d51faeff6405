// Hooks for React. A subscription begins when a component that needs it is mounted, and is shared by all that want the same.
import { useCallback, useMemo, useRef, useSyncExternalStore } from "react";

const none = Object.freeze([]), noMap = new Map();

export function useTopic(client, topic, options = {}) {
  const { replay, after, resync, signal, limit = 100 } = options;
  const latest = useRef(resync); // a function that is written in a component is another one in each render
  latest.current = resync;
  const own = resync !== undefined || signal !== undefined; // what can't be compared is not shared
  const key = JSON.stringify(["topic", topic, replay, after, limit]);
  const make = () => new Store(changed => {
    let messages = none;
    const sub = client.subscribe(topic, { replay, after, signal, resync: resync && (() => latest.current?.()) });
    sub.addEventListener("message", e => {
      messages = [...messages, e.message].slice(-limit);
      changed();
    });
    return { snapshot: () => messages, close: () => sub.close() };
  }, none);
  const store = useMemo(() => own ? make() : shared(client, key, make), [client, key, own, signal]);
  return useSyncExternalStore(store.subscribe, store.snapshot, () => none);
}

export function useLatest(client, pattern) {
  const store = useMemo(() => shared(client, JSON.stringify(["latest", pattern]), () => new Store(changed => {
    let messages = noMap, frame;
    const latest = client.latest(pattern);
    latest.addEventListener("change", () => {
      frame ??= nextFrame(() => {
        frame = undefined;
        messages = new Map(latest);
        changed();
      });
    });
    return {
      snapshot: () => messages,
      close() {
        cancelFrame(frame);
        latest.close();
      },
    };
  }, noMap)), [client, pattern]);
  return useSyncExternalStore(store.subscribe, store.snapshot, () => noMap);
}

export function useConnection(client) {
  const seen = useRef(null);
  const subscribe = useCallback(changed => {
    client.addEventListener("state", changed);
    return () => client.removeEventListener("state", changed);
  }, [client]);
  const snapshot = () => {
    const { state, error } = client;
    if (seen.current?.state !== state || seen.current.error !== error) seen.current = { state, error };
    return seen.current;
  };
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

const nextFrame = f => globalThis.requestAnimationFrame?.(f) ?? setTimeout(f, 16);
const cancelFrame = frame => globalThis.cancelAnimationFrame?.(frame) ?? clearTimeout(frame);

/**
 * Something to show that is made for its first reader, and ends when the last one has left and none has come in the same
 * turn: StrictMode mounts everything twice.
 */
class Store {
  #make;
  #empty;
  #made = null;
  ended = () => {};
  #readers = new Set();
  #ending;

  constructor(make, empty) {
    this.#make = make;
    this.#empty = empty;
  }

  snapshot = () => this.#made?.snapshot() ?? this.#empty;

  subscribe = changed => {
    const reader = () => changed(); // one function may subscribe twice
    this.#readers.add(reader);
    clearTimeout(this.#ending);
    this.#made ??= this.#make(() => { for (const r of this.#readers) r(); });
    return () => {
      this.#readers.delete(reader);
      if (this.#readers.size > 0) return;
      this.#ending = setTimeout(() => {
        this.#made?.close();
        this.#made = null;
        this.ended();
      });
    };
  };
}

const stores = new WeakMap(); // of each client, by key

/** The store that all who want the same share. One that nobody reads holds nothing. */
function shared(client, key, make) {
  let byKey = stores.get(client);
  if (!byKey) stores.set(client, byKey = new Map());
  let store = byKey.get(key)?.deref();
  if (store) return store;
  byKey.set(key, new WeakRef(store = make())); // a render may be given up
  store.ended = () => { if (byKey.get(key)?.deref() === store) byKey.delete(key); };
  return store;
}
