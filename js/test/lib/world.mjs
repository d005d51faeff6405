// A browser without a network: time that only passes when a test says so, sockets whose other end is the test.
import { setImmediate as turn } from "node:timers/promises";
import { connect } from "../../hotline.js";

/** Lets everything happen that waits for no timer. */
export const settle = async () => { for (let i = 0; i < 3; i++) await turn(); };

export class FakeWebSocket {
  static all = [];
  static get last() { return FakeWebSocket.all.at(-1); }

  readyState = 0;
  protocol = "";
  bufferedAmount = 0;
  sent = []; // objects; those of binary messages have their bytes as data
  raw = [];
  onopen = null;
  onmessage = null;
  onclose = null;
  closedWith = undefined; // the code with which the client has closed it

  constructor(url, protocols) {
    Object.assign(this, { url: String(url), protocols });
    FakeWebSocket.all.push(this);
  }

  send(message) {
    if (this.readyState !== 1) throw new Error(`send in state ${this.readyState}`);
    this.raw.push(message);
    if (typeof message === "string") return void this.sent.push(JSON.parse(message));
    const end = message.indexOf(10);
    this.sent.push({ ...JSON.parse(Buffer.from(message.subarray(0, end)).toString()), data: message.subarray(end + 1) });
  }

  close(code) {
    if (this.readyState > 1) return;
    this.closedWith = code;
    this.readyState = 2;
  }

  // The other end.

  open(protocol = "hotline.v1") {
    this.readyState = 1;
    this.protocol = protocol;
    this.onopen?.({});
  }

  /** Opens it and welcomes the client. */
  welcome(fields = { ping: 25_000, grace: 10_000, max: { in: 65_536 } }) {
    this.open();
    this.receive({ op: "welcome", conn: "c", ...fields });
  }

  receive(...frames) {
    for (const f of frames) this.onmessage?.({ data: typeof f === "string" || f instanceof ArrayBuffer ? f : JSON.stringify(f) });
  }

  end(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** Takes what was sent since the last call, without hello and pong. */
  take(op) {
    return this.sent.splice(0).filter(f => op ? f.op === op : f.op !== "hello" && f.op !== "pong");
  }
}

/** Replaces the clock, chance and the page until the test is over. */
export function newWorld(t, { random = 0.5, page = true } = {}) {
  const real = { setTimeout, clearTimeout, now: Date.now, random: Math.random };
  const timers = new Map();
  let now = 1_700_000_000_000, ids = 0;
  FakeWebSocket.all = [];
  const world = {
    random,
    sockets: FakeWebSocket.all,
    get ws() { return FakeWebSocket.last; },
    get timers() { return timers.size; },
    delays: [], // of all timers that were started

    connect: (options = {}) => connect("ws://hub.example/ws", { WebSocket: FakeWebSocket, ...options }),

    /** Connects, is welcomed, and gives the client and its socket. */
    async open(options, welcome) {
      const hub = world.connect(options);
      t.after(() => hub.close());
      await settle();
      world.ws.welcome(welcome);
      await settle();
      return { hub, ws: world.ws };
    },

    /** Lets time pass, timer by timer. */
    async pass(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const [id, due] = Array.from(timers).sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
        if (!due || due.at > end) break;
        timers.delete(id);
        now = Math.max(now, due.at);
        due.f();
        await settle();
      }
      now = end;
    },

    /** The machine sleeps: the time goes on, and nothing happens. */
    sleep(ms) { now += ms; },

    /** Something happens to the page. */
    page(type, members) { globalThis.dispatchEvent(Object.assign(new Event(type), members)); },
    show(visible) {
      document.visibilityState = visible ? "visible" : "hidden";
      document.dispatchEvent(new Event("visibilitychange"));
    },
  };
  globalThis.setTimeout = (f, ms = 0, ...args) => {
    world.delays.push(ms);
    timers.set(++ids, { at: now + ms, f: () => f(...args) });
    return ids;
  };
  globalThis.clearTimeout = id => timers.delete(id);
  Date.now = () => now;
  Math.random = () => world.random;
  if (page) {
    const target = new EventTarget();
    for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"]) globalThis[name] = target[name].bind(target);
    globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible", baseURI: "https://page.example/dir/" });
  }
  t.after(() => {
    Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
    Object.assign(Date, { now: real.now });
    Object.assign(Math, { random: real.random });
    for (const name of ["addEventListener", "removeEventListener", "dispatchEvent", "document"]) delete globalThis[name];
  });
  return world;
}

/** Notes what happens to a subscription: messages as their data, gaps as "gap n", its end. */
export function listen(sub, log = []) {
  sub.addEventListener("message", e => log.push(e.message.data));
  sub.addEventListener("gap", e => log.push(`gap ${e.missed}`));
  sub.addEventListener("error", e => log.push(`error ${e.error.code}`));
  return log;
}

/** Reads a subscription with a loop, as far as it comes. */
export function read(sub, each = m => m.data) {
  const log = [];
  const loop = async () => { for await (const m of sub) log.push(await each(m)); };
  loop().then(() => log.push("end"), e => log.push(`threw ${e.code ?? e}`));
  return log;
}
