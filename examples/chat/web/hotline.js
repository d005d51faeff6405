// hotline.v1 for a browser: a connection that keeps itself, as PROTOCOL.md has it. ①–⑤ mark the five rules of a client.
// What this chat has no use for is left out: parking, publishing bytes, and topics that the server subscribes.

/** Makes any string one segment of a topic. */
export const escape = s => s.replace(/[\0- .*>%{}\x7f]/g, c => "%" + hex(c.charCodeAt()).toUpperCase()) || "%";

/** Connects in the background, and stays connected until close() or a refusal for good. */
export const connect = (url, options) => new Client(url, options);

export class HotlineError extends Error {
  constructor(code, reason, closeCode) {
    super(reason || code);
    Object.assign(this, { code, closeCode });
  }
}

// Full jitter, over the whole delay: else everybody comes back in the same second.
const backoff = n => Math.random() * Math.min(20_000, Math.max(2_000, 500 * 2 ** n));
const isFinal = code => [1000, 1002, 1003, 1007, 1008, 1009].includes(code) || code >= 3000 && code % 1000 >= 500;
const hex = n => n.toString(16).padStart(2, "0");
const event = (type, members) => Object.assign(new Event(type), members);

/** Makes a frame of a message. A binary one is its head, a newline, and the payload. */
function decode(data) {
  if (typeof data === "string") return JSON.parse(data);
  const bytes = new Uint8Array(data), end = bytes.indexOf(10);
  return { ...JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))), data: bytes.subarray(end + 1) };
}

class Client extends EventTarget {
  state = "connecting"; // then "open", and "closed" for good; each change is a "state" event
  error = null; // why it is closed
  #url; #token; #ws = null;
  #at; // ① the connection's position, which outlives it
  #subs = new Map(); #numbers = 0; // subscriptions by number, which ascend
  #pubs = new Map(); #refs = 0; // unanswered publishes by ref, in their order
  #held = new Map(); // Presence values that are ours, by topic
  #attempt = 0; #tries = 0; #retry; #redial; // dialling
  #over = new AbortController(); // once it is closed
  #welcomed = 0; #heard = 0; #patience; #silence; // is the other side alive?

  constructor(url, { token } = {}) {
    super();
    this.#url = Object.assign(new URL(url, location.href), { protocol: location.protocol.replace("http", "ws") });
    this.#token = token;
    const { signal } = this.#over;
    addEventListener("online", () => this.#wake(0), { signal }); // the old connection went over a network that is gone
    addEventListener("pageshow", e => e.persisted && this.#wake(0), { signal });
    addEventListener("pagehide", () => this.#drop(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake(this.#patience), { signal });
    this.#dial();
  }

  /** Messages come as "message" events, losses as "gap"; an "error" event says that it is refused. */
  subscribe(topic, options) { return this.#begin(new Subscription(topic, options), options?.signal); }

  /** The newest message of each topic that pattern matches: a live Map, with a "change" event. */
  latest(pattern, options) { return this.#begin(new Latest(pattern, options), options?.signal); }

  /** Resolves when the hub has stored the message, once; waits while offline. */
  publish(topic, data) {
    if (this.state === "closed") return Promise.reject(this.error);
    return new Promise((resolve, reject) => {
      const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), hex).join(""); // randomUUID wants HTTPS
      const p = { frame: { op: "pub", ref: ++this.#refs, topic, data, key }, resolve, reject, closes: 0, refusals: 0 };
      this.#pubs.set(p.frame.ref, p);
      this.#sendPublish(p);
    });
  }

  /** Sends what matters only now; false if it could not be sent. */
  signal(topic, data) { return this.state === "open" && this.#send({ op: "pub", topic, data }); }

  close() { this.#end(new HotlineError("closed")); }

  async #dial() {
    clearTimeout(this.#redial);
    const attempt = ++this.#attempt;
    this.#welcomed = 0;
    this.#retry = undefined;
    let token;
    try { token = await this.#token?.(); } catch { token = this; }
    if (attempt !== this.#attempt) return;
    if (token === this) return this.#dialLater(); // there is none to be had just now
    const ws = this.#ws = new WebSocket(this.#url, ["hotline.v1", "hotline"]);
    const on = f => e => { if (ws === this.#ws) f(e); }; // the events of an earlier connection don't count
    ws.onopen = on(() => this.#hello(token));
    ws.binaryType = "arraybuffer";
    ws.onmessage = on(e => { this.#hear(); this.#receive(decode(e.data)); });
    ws.onclose = on(e => this.#lost(e.code, e.reason));
    this.#patience = 10_000; // for the handshake: a socket can hang in it for minutes
    this.#hear();
  }

  #dialLater() {
    this.#redial = setTimeout(() => this.#dial(), this.#retry ?? backoff(this.#tries++));
  }

  #hello(token) {
    for (const s of this.#subs.values()) s.leave(this.#at); // ④
    this.#send({ op: "hello", token, subs: [...this.#subs].map(([sub, s]) => ({ sub, ...s.request() })) });
    for (const p of this.#pubs.values()) this.#sendPublish(p); // ⑤
    const fresh = new Set(Array.from(this.#pubs.values(), p => p.frame.topic));
    for (const [topic, data] of this.#held) if (!fresh.has(topic)) this.publish(topic, data).catch(() => {});
  }

  #send(frame) {
    if (this.#ws?.readyState !== WebSocket.OPEN) return false;
    this.#ws.send(JSON.stringify(frame));
    return true;
  }

  #sendPublish(p) { // a key is remembered for five minutes: up to four it is safe to send it again
    if (this.#send(p.frame)) p.timer ??= setTimeout(() => this.#fail(p, "uncertain", "no answer for 4 minutes"), 240_000);
  }

  #begin(s, signal) {
    this.#subs.set(++this.#numbers, s);
    this.#send({ op: "sub", sub: this.#numbers, ...s.request() });
    s.close = () => {
      s.closed = true;
      for (const [sub, other] of this.#subs) if (other === s) this.#subs.delete(sub), this.#send({ op: "unsub", sub });
    };
    signal?.addEventListener("abort", s.close);
    return s;
  }

  #receive(f) {
    const s = this.#subs.get(f.sub), p = this.#pubs.get(f.ref);
    switch (f.op) {
      case "welcome":
        this.#welcomed = Date.now();
        this.#patience = f.ping ? f.ping + f.grace : Infinity;
        this.#hear();
        return this.#become("open");
      case "ping": return this.#send({ op: "pong" });
      case "at": this.#at = f.at; return; // ①
      case "bye": this.#retry = f.retry; return;
      case "ok":
        if ("ref" in f) return this.#stored(p, f);
        this.#at = f.at; // ①
        return s?.join();
      case "err": {
        const ws = this.#ws; // on the next one it is sent again anyway
        if (p && f.again) setTimeout(() => ws === this.#ws && this.#pubs.has(f.ref) && this.#send(p.frame), backoff(p.refusals++));
        else if (p) this.#fail(p, f.code, f.reason);
        return;
      }
      case "end":
        this.#subs.delete(f.sub);
        s?.leave(this.#at);
        if (s && f.again) setTimeout(() => { if (!s.closed) this.#begin(s); }, backoff(s.refusals++));
        else s?.refuse(new HotlineError(f.code, f.reason));
        return;
      case "gap":
        if (!f.sub) this.#at = f.at; // ①
        else if (s) s.after = f.at; // ②
        for (const n of f.subs) this.#subs.get(n)?.dispatchEvent(event("gap", { missed: f.missed ?? 0, cause: f.cause }));
        return;
      case "reset": return s?.leave(this.#at);
      case undefined:
        if (f.sub) { // ②
          if (s) s.after = f.id ?? s.after;
          return s?.take(f);
        }
        this.#at = f.id ?? this.#at; // ①
        for (const s of this.#subs.values()) if (s.joined && s.matches(f.topic)) s.take(f); // ③
    }
  }

  #stored(p, { ref, id, held }) {
    if (!p) return;
    clearTimeout(p.timer);
    this.#pubs.delete(ref);
    if (held) this.#held.set(p.frame.topic, p.frame.data);
    else this.#held.delete(p.frame.topic);
    p.resolve(id);
  }

  #fail(p, code, reason) {
    clearTimeout(p.timer);
    if (this.#pubs.delete(p.frame.ref)) p.reject(new HotlineError(code, reason));
  }

  #hear() { // whatever arrives is a sign of life
    clearTimeout(this.#silence);
    this.#heard = Date.now();
    if (this.#patience < Infinity) this.#silence = setTimeout(() => this.#lost(1006), this.#patience);
  }

  #wake(patience) { // somebody looks at the page again, or the network is back: don't wait for a timer
    if (this.state === "closed" || this.#ws && Date.now() - this.#heard < patience) return;
    this.#drop();
    this.#dial();
  }

  #drop() {
    const ws = this.#ws;
    this.#ws = null;
    this.#attempt++;
    clearTimeout(this.#silence);
    clearTimeout(this.#redial);
    ws?.close(1000);
    if (this.state === "open") this.#become("connecting");
  }

  #lost(code, reason) {
    this.#drop();
    if (isFinal(code)) return this.#end(new HotlineError(code === 3500 ? "denied" : "closed", reason, code));
    for (const p of this.#pubs.values()) { // what was on its way when the hub closed twice may be the reason
      if (p.timer && code !== 1006 && ++p.closes > 1) this.#fail(p, "uncertain", "the connection was closed");
    }
    if (this.#welcomed && Date.now() - this.#welcomed > 5_000) this.#tries = 0;
    this.#dialLater();
  }

  #end(error) {
    if (this.state === "closed") return;
    this.#over.abort();
    this.#drop();
    this.error = error;
    this.#become("closed");
    for (const p of this.#pubs.values()) this.#fail(p, error.code, error.message);
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(event("state"));
  }
}

class Subscription extends EventTarget {
  after; // its own position, while it has not joined
  joined = false; // it has had its ok: now the connection's position counts
  closed = false;
  refusals = 0; // in a row
  ready; // resolves when it has joined for the first time, rejects when it is refused
  #parts; #isNew;

  constructor(topic, { replay } = {}) {
    super();
    this.ready = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.ready.catch(() => {}); // whoever awaits it gets it
    Object.assign(this, { topic, replay });
    this.#parts = topic.split(".");
  }

  request() { // ④
    this.#isNew = !this.after;
    return { topic: this.topic, ...(this.#isNew ? { replay: this.replay } : { after: this.after }) };
  }

  join() {
    this.joined = true;
    this.refusals = 0;
    this.resolve();
  }

  refuse(error) {
    this.reject(error);
    this.dispatchEvent(event("error", { error }));
  }

  leave(at) {
    if (this.joined) this.after = at;
    this.joined = false;
  }

  matches(topic) {
    const t = topic.split("."), p = this.#parts;
    return (p.at(-1) === ">" ? t.length >= p.length : t.length === p.length)
      && p.every((s, i) => s === t[i] || s === "*" || s === ">");
  }

  take({ topic, id, from, data, sub }) {
    this.dispatchEvent(event("message", { message: { topic, id, from, data, replayed: !!sub && this.#isNew } }));
  }
}

class Latest extends Subscription {
  #messages = new Map(); // by topic
  #seen = new Set(); // topics of which something came since it began

  get size() { return this.#messages.size; }
  get(topic) { return this.#messages.get(topic); }
  values() { return this.#messages.values(); }

  take({ topic, rev, from, data, gone }) {
    this.#seen.add(topic);
    if (gone) this.#set(topic, null);
    else if (this.get(topic)?.rev !== rev) this.#set(topic, { topic, rev, from, data });
  }

  join() {
    super.join();
    for (const topic of this.#messages.keys()) if (!this.#seen.has(topic)) this.#set(topic, null);
  }

  leave(at) {
    super.leave(at);
    this.#seen.clear();
  }

  #set(topic, message) {
    if (message) this.#messages.set(topic, message);
    else this.#messages.delete(topic);
    this.dispatchEvent(event("change", { message: message ?? { topic, data: null } }));
  }
}
