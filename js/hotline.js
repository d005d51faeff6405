// hotline.v1 for browsers, workers and Node: a connection that keeps itself, as PROTOCOL.md has it. ①–⑤ mark the five
// rules of a client. Client, Subscription and Latest are what the application holds; behind them are Core, the connection,
// Feed, a subscription as the hub knows it, and Reader, what one subscription has received and not handed out.

/** Connects in the background, and stays connected until close() or a refusal for good. */
export function connect(url, options) {
  return new Client(url, options ?? {});
}

/** Makes any string one segment of a topic. Half a surrogate pair is written as the bytes that UTF-8 does not allow. */
export function escape(segment) {
  return String(segment).replace(/[\0- .*>%{}\x7f]|[\ud800-\udfff]/gu, s => {
    const c = s.charCodeAt(0);
    const bytes = c < 0x80 ? [c] : [0xe0 | c >> 12, 0x80 | c >> 6 & 0x3f, 0x80 | c & 0x3f];
    return bytes.map(b => "%" + hex(b).toUpperCase()).join("");
  }) || "%";
}

export class HotlineError extends Error {
  constructor(code, text, { closeCode = 0, cause } = {}) {
    super(text.startsWith("hotline: ") ? text : `hotline: ${code}: ${text}`, cause === undefined ? undefined : { cause });
    this.name = "HotlineError";
    this.code = code;
    this.closeCode = closeCode;
  }
}

const answerTimeout = 240_000; // the hub knows a key for five minutes
const handshakeTimeout = 15_000; // with the token: a socket can hang in CONNECTING for minutes
const firstPatience = 35_000; // until welcome says otherwise
const staleAfter = 3_000; // whoever looks at the page again does not wait for a handshake that is older
const settled = 5_000; // a connection that lasted so long was a good one
const maxCloses = 2; // of the connection by the hub, of which a publish in flight may be the reason
const maxUnanswered = 16 << 20; // bytes of publishes
const maxSignalBytes = 64 << 10; // that wait for the socket
const maxDepth = 1_000; // of data
const longest = 2 ** 31 - 1; // of a timer: beyond it they fire at once
const bufferMessages = 256, bufferBytes = 1 << 20, bufferSignals = 64; // of a subscription, not handed out

const hex = n => n.toString(16).padStart(2, "0");
const nothing = () => {};
const emit = (target, type, members) => target.dispatchEvent(Object.assign(new Event(type), members));

/** The delay before attempt n. The whole of it is random, also after the cap: else everybody comes back at once. */
const backoff = n => Math.random() * Math.min(20_000, Math.max(2_000, 500 * 2 ** n));

const isFinal = code => [1000, 1002, 1003, 1007, 1008, 1009].includes(code) || code >= 3000 && code % 1000 >= 500;

// Topics.

const segment = "(?:[^\\0- .*>%{}\\x7f]|%(?:[01][0-9A-F]|2[05AE]|3E|7[BDF]|[89A-F][0-9A-F]))+|%";
const topicRule = new RegExp(`^(?!\\$)(?:${segment})(?:\\.(?:${segment}))*$`);
const patternRule = new RegExp(`^(?!\\$)(?:(?:${segment}|\\*)\\.)*(?:${segment}|\\*|>)$`);
const half = /[\ud800-\udfff]/u; // of a surrogate pair

function checkTopic(topic, rule = topicRule) {
  const what = rule === topicRule ? "topic" : "topic or pattern";
  if (typeof topic !== "string") throw new HotlineError("invalid", `a topic is a string, not ${typeof topic}`);
  if (fits(topic, 255) && rule.test(topic) && !half.test(topic)) return;
  const shown = JSON.stringify(topic.slice(0, 64));
  throw new HotlineError("invalid", `${shown} is no ${what} of 1 to 255 bytes; use escape() for names`);
}

/** Returns a function that says whether a topic is covered by a valid pattern. */
function matcher(pattern) {
  if (!/[*>]/.test(pattern)) return topic => topic === pattern;
  const parts = pattern.split(".").map(s => s === "*" ? "[^.]+" : s === ">" ? ".+" : s.replace(/[\\^$+?()[\]|]/g, "\\$&"));
  const rule = new RegExp(`^${parts.join("\\.")}$`, "s");
  return topic => rule.test(topic);
}

// Frames.

const utf8 = new TextEncoder(), strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const fits = (frame, limit) => typeof frame !== "string" ? frame.byteLength <= limit
  : frame.length * 3 <= limit || utf8.encode(frame).length <= limit;

const isText = v => typeof v === "string", isFlag = v => typeof v === "boolean";
const isNatural = v => Number.isSafeInteger(v) && v >= 0;
const isLimits = v => typeof v === "object" && [v.in, v.out, v.subs].every(n => (n ?? undefined) === undefined || isNatural(n));
const ops = new Set(["welcome", "ok", "end", "gap", "at", "reset", "push", "send", "bye", "err", "ping"]);
const members = new Map(Object.entries({
  op: isText, topic: isText, id: isText, rev: isText, from: isText, gone: isFlag, sub: Number.isSafeInteger,
  at: isText, subs: v => Array.isArray(v) && v.every(Number.isSafeInteger), cause: isText, missed: isNatural,
  ref: isNatural, held: isFlag, code: v => isText(v) || isNatural(v), reason: isText, again: isFlag, retry: isNatural,
  conn: isText, ping: isNatural, grace: isNatural, max: isLimits,
}));

/** Makes a frame of a message, or throws. Of an op that it does not know it returns no more than that. */
function decode(message) {
  let text = message, data;
  if (typeof message !== "string") { // a head, a newline, and the payload
    const bytes = new Uint8Array(message), end = bytes.indexOf(10);
    if (end < 0) throw new Error("a binary message has no header");
    text = strict.decode(bytes.subarray(0, end));
    data = bytes.slice(end + 1);
  }
  const f = JSON.parse(text);
  if (typeof f !== "object" || f === null || Array.isArray(f)) throw new Error("a message is no JSON object");
  if (isText(f.op) && !ops.has(f.op)) return { op: f.op };
  for (const name in f) {
    const is = members.get(name);
    if (is && f[name] === null) f[name] = undefined;
    else if (is && !is(f[name])) throw new Error(`${JSON.stringify(name)} is of a wrong type`);
  }
  if (f.op === undefined && !f.topic) throw new Error("a message has no topic");
  return Object.assign(f, { size: message.length ?? message.byteLength }, data && { data });
}

/** A payload as it travels: bytes, or the text of JSON. */
function encode(data) {
  const kind = Object.prototype.toString.call(data); // instanceof does not know what comes from another frame
  if (kind === "[object Uint8Array]" || kind === "[object ArrayBuffer]") return new Uint8Array(data);
  let json;
  try {
    json = JSON.stringify(data);
  } catch (cause) { // a circle, a BigInt
    throw new HotlineError("invalid", `the data is no JSON: ${cause.message}`, { cause });
  }
  if (json === undefined) throw new HotlineError("invalid", `the data is ${typeof data}, which is no JSON`);
  if (isDeep(json)) throw new HotlineError("invalid", `the data is nested more than ${maxDepth} deep`);
  return json;
}

function isDeep(json) {
  if (json.length < 2 * maxDepth) return false;
  for (let i = 0, depth = 0, quoted = false; i < json.length; i++) {
    const c = json[i];
    if (quoted) {
      if (c === "\\") i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === "[" || c === "{") {
      if (++depth > maxDepth) return true;
    } else if (c === "]" || c === "}") depth--;
  }
  return false;
}

/** A publish as it travels. */
function publishFrame(ref, topic, payload, key) {
  if (typeof payload === "string") {
    const tail = key === undefined ? "}" : `,"key":${JSON.stringify(key)}}`;
    return `${JSON.stringify({ op: "pub", ref, topic }).slice(0, -1)},"data":${payload}${tail}`;
  }
  const head = utf8.encode(JSON.stringify({ op: "pub", ref, topic, key }) + "\n");
  const frame = new Uint8Array(head.length + payload.length);
  frame.set(head);
  frame.set(payload, head.length);
  return frame;
}

const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), hex).join(""); // randomUUID wants HTTPS

const refusals = { denied: "denied", invalid: "invalid", too_large: "invalid", unknown: "invalid", limit: "limit" };
const refusal = f => new HotlineError(refusals[f.code] ?? "denied", f.reason || `the hub refused it: ${f.code}`);

const messageOf = (f, replayed) =>
  ({ topic: f.topic, id: f.id ?? "", from: f.from ?? "", data: f.gone ? null : f.data ?? null, missed: 0, replayed });

/** The URL of the WebSocket; a page may name it relative to its own. */
function address(url) {
  const { document, location } = globalThis; // a worker made of a blob has no path
  let u;
  try {
    u = new URL(url, document?.baseURI ?? (location?.protocol === "blob:" ? location.origin : location?.href));
  } catch (cause) {
    throw new HotlineError("invalid", `${url} is no URL`, { cause });
  }
  if (u.protocol === "http:") u.protocol = "ws:";
  if (u.protocol === "https:") u.protocol = "wss:";
  if (!/^wss?:$/.test(u.protocol)) throw new HotlineError("invalid", `${url}: the scheme is none of ws, wss, http, https`);
  if (u.hash) throw new HotlineError("invalid", `${url}: a WebSocket URL has no fragment`);
  return u.href;
}

/** A subscription as the hub knows it. Subscriptions to the same topic share one once they have joined the stream. */
class Feed {
  num = 0; // on the present connection; 0: none
  joined = false; // it is part of the connection's stream, and at its position
  readers = new Set();
  tries = 0; // to subscribe, since it was last confirmed
  retry; // timer

  constructor(topic, own) {
    this.topic = topic;
    this.own = own; // its position while it has not joined; "": it is new
    this.matches = matcher(topic);
  }

  leave(pos) { // ④
    if (this.joined) this.own = pos;
    this.joined = false;
  }
}

/** The connection, and everything that outlives it. */
class Core {
  state = "connecting";
  error = null;
  pos = ""; // ① the stream was received up to here
  readers = new Set(); // those of the application
  feeds = new Set(); // what is to be subscribed
  pushed = new Map(); // what the server subscribes: feeds, by topic
  pubs = new Map(); // unanswered, by ref, in their order
  held = new Map(); // Presence values that are ours: payloads, by topic
  refs = 0;
  unanswered = 0; // bytes
  tries = 0; // to connect
  over = new AbortController(); // of listening to the page

  // Of one connection, or the attempt to make one.
  attempt = 0;
  ws = null;
  dialing = false; // until it is open
  greeted = false; // the hello is sent
  up = false; // welcome has come: publishes go out
  since = 0; // then
  nums = new Map(); // feeds by number
  last = 0; // the number that was given last
  bye = null;
  maxIn = 0; // bytes of a message that the hub takes; 0: not known, or no limit
  heard = 0; // when something was received last. Date.now: it goes on while a machine sleeps, and a jump costs a reconnect
  patience = 0; // how long nothing may be received; 0: the hub sends no pings
  timer; // of the handshake, then of silence, then of the next attempt

  constructor(url, options, face) {
    this.url = address(url);
    this.token = options.token;
    this.WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.face = face;
    if (!this.WebSocket) throw new HotlineError("invalid", "there is no WebSocket here: pass a constructor as options.WebSocket");
    this.watch();
    this.dial();
  }

  // Connecting.

  /** What a browser knows of the page and the network; elsewhere there is none of it. */
  watch() {
    const on = (target, type, f) => target?.addEventListener?.(type, f, { signal: this.over.signal });
    on(globalThis, "online", () => this.wake(true)); // the old connection went over a network that is gone
    on(globalThis, "pageshow", e => e.persisted && this.wake(false)); // it has become visible before, perhaps
    on(globalThis, "pagehide", () => this.hide()); // a page with an open connection can't be kept for the way back
    on(globalThis.document, "visibilitychange", () => document.visibilityState === "visible" && this.wake(false));
  }

  /** Connects at once, unless there is a connection that seems alive. */
  wake(anew) {
    const silent = Date.now() - this.heard;
    const alive = this.dialing ? silent < staleAfter : this.ws && (this.patience === 0 || silent < this.patience);
    if (alive && !anew || this.state === "closed") return;
    this.dial();
    this.become("connecting", this.error);
  }

  hide() {
    this.drop();
    this.become("connecting", this.error);
  }

  async dial() {
    this.drop();
    const attempt = this.attempt;
    this.dialing = true;
    this.heard = Date.now();
    this.timer = setTimeout(() => this.lost(1006, "the handshake took too long"), handshakeTimeout);
    const ask = this.token; // by itself: it is the application's
    let token;
    try {
      token = await ask?.();
    } catch (cause) {
      if (attempt === this.attempt) this.lost(1006, `token() failed: ${cause?.message ?? cause}`, cause);
      return;
    }
    if (attempt !== this.attempt) return;
    if (token === null) return this.end(new HotlineError("denied", "token() gave up"));
    let ws;
    try {
      ws = new this.WebSocket(this.url, ["hotline.v1", "hotline"]);
    } catch (cause) { // ws: in a page of https:, for one
      const why = `the WebSocket could not be made: ${cause?.message ?? cause}`;
      if (!["SecurityError", "SyntaxError"].includes(cause?.name)) return this.lost(1006, why, cause);
      return this.end(new HotlineError("invalid", why, { cause }));
    }
    this.ws = ws;
    ws.binaryType = "arraybuffer";
    ws.onopen = () => this.opened(token);
    ws.onmessage = e => this.receive(e.data);
    ws.onclose = e => this.lost(e.code, e.reason);
    ws.onerror = nothing; // close follows
  }

  /** Forgets the connection, and what belonged to it. Its events count no more. */
  drop() {
    const { ws } = this;
    clearTimeout(this.timer);
    this.attempt++;
    if (this.up) for (const [topic, feed] of this.pushed) if (!feed.num) this.pushed.delete(topic); // not subscribed again
    for (const feed of this.nums.values()) {
      feed.leave(this.pos);
      feed.num = 0;
    }
    this.nums.clear();
    for (const p of this.pubs.values()) {
      p.flying = false;
      clearTimeout(p.retry);
    }
    this.ws = this.bye = null;
    this.dialing = this.greeted = this.up = false;
    this.last = 0;
    if (!ws) return;
    ws.onopen = ws.onmessage = ws.onclose = null;
    ws.close(1000);
  }

  /** The connection has ended, or could not be made. 1006 says that the hub has not ended it. */
  lost(code, reason, cause) {
    const { bye, up, since } = this;
    if (code === 1006 && typeof bye?.code === "number") ({ code, reason } = bye); // the Close frame has been lost
    const why = reason || (up ? `the connection was closed with code ${code}` : "no connection could be made");
    const error = new HotlineError(code === 3500 ? "denied" : "closed", why, { closeCode: code, cause });
    if (isFinal(code)) return this.end(error);
    const flying = code === 1006 ? [] : Array.from(this.pubs.values()).filter(p => p.flying);
    this.drop();
    for (const p of flying) {
      if (++p.closes >= maxCloses) this.fail(p, uncertain("the hub closed the connection, again while this was in flight", error));
    }
    if (up && Date.now() - since >= settled) this.tries = 0;
    this.timer = setTimeout(() => this.dial(), Math.min(bye?.retry ?? backoff(this.tries++), longest));
    this.become("connecting", error);
  }

  /** The end for good. Subscriptions end in silence but for a hub that can't be understood: error says why. */
  end(error) {
    if (this.state === "closed") return;
    this.over.abort();
    this.drop();
    this.state = "closed";
    this.error = error;
    for (const p of this.pubs.values()) this.fail(p, p.sent ? uncertain("the client has ended", error) : this.closed());
    for (const r of this.readers) r.end(error.code === "invalid" ? error : null);
    this.feeds.clear();
    this.pushed.clear();
    emit(this.face, "state");
  }

  /** Why something that belongs to the client can't be done any more. */
  closed(what = "the client") {
    const cause = this.state === "closed" ? this.error : undefined;
    return new HotlineError("closed", `${what} is closed`, { closeCode: cause?.closeCode, cause });
  }

  become(state, error) {
    if (this.state === "closed" || state === this.state && error === this.error) return;
    this.state = state;
    this.error = error;
    emit(this.face, "state");
  }

  /** Gives the connection up when nothing has been received for too long. */
  listen(left = this.patience) {
    clearTimeout(this.timer);
    if (this.patience === 0) return;
    this.timer = setTimeout(() => {
      const left = Math.min(this.patience, this.heard + this.patience - Date.now());
      if (left > 0) this.listen(left);
      else this.lost(1006, `nothing was received for ${this.patience} ms`);
    }, left);
  }

  /** The hello, with all subscriptions, is the first thing to be sent. */
  opened(token) {
    if (this.ws.protocol === "") return this.end(new HotlineError("invalid", "the server selected no subprotocol: is there a hub?"));
    this.dialing = false;
    this.heard = Date.now();
    this.patience = firstPatience;
    this.listen();
    const hello = { op: "hello", token, after: this.pos || undefined };
    let room = (this.maxIn || 64 << 10) - utf8.encode(JSON.stringify(hello)).length - 16;
    const subs = [], rest = []; // what does not fit into the hello follows it
    for (const feed of this.feeds) {
      clearTimeout(feed.retry);
      const request = this.number(feed);
      room -= utf8.encode(JSON.stringify(request)).length + 1;
      (room > 0 ? subs : rest).push(request);
    }
    if (subs.length > 0) hello.subs = subs;
    this.send(JSON.stringify(hello));
    for (const request of rest) this.send(JSON.stringify({ op: "sub", ...request }));
    this.greeted = true;
  }

  send(frame) {
    if (this.ws?.readyState !== 1) return false;
    this.ws.send(frame);
    return true;
  }

  receive(message) {
    this.heard = Date.now();
    let f;
    try {
      f = decode(message);
    } catch (cause) { // the same would come again
      return this.end(new HotlineError("invalid", `the hub breaks the protocol: ${cause.message}`, { cause }));
    }
    this.handle(f);
  }

  handle(f) {
    const feed = this.nums.get(f.sub);
    switch (f.op) {
      case undefined: return this.message(f, feed);
      case "send": return this.sent(f);
      case "welcome": return this.welcome(f);
      case "ping": return this.send('{"op":"pong"}');
      case "at": this.pos = f.at ?? this.pos; return; // ①
      case "ok":
        if (f.ref !== undefined) return this.accepted(f);
        this.pos = f.at ?? this.pos; // ①
        return feed && this.join(feed);
      case "err": return this.refused(f);
      case "gap": return this.gap(f, feed);
      case "reset":
        feed?.leave(this.pos);
        for (const r of feed?.readers ?? []) r.begin();
        return;
      case "end": return feed && this.ended(feed, f);
      case "push": return this.push(f);
      case "bye": this.bye = f; // others are of a later version
    }
  }

  welcome(f) {
    if (this.up) return;
    this.up = true;
    this.since = Date.now();
    this.patience = f.ping ? Math.min(f.ping + (f.grace ?? 0), longest) : 0;
    this.maxIn = f.max?.in ?? 0;
    this.listen();
    this.resend();
    this.become("open", null);
  }

  // Subscriptions.

  /** Gives a reader a feed of its own, that begins after a position. */
  follow(reader, after) {
    const feed = new Feed(reader.topic, after);
    feed.readers.add(reader);
    reader.feed = feed;
    this.feeds.add(feed);
    this.ask(feed);
  }

  unfollow(reader) {
    const { feed } = reader;
    reader.feed = null;
    feed?.readers.delete(reader);
    if (feed?.readers.size === 0) this.cancel(feed);
  }

  /** Ends a feed on the wire: what still arrives for its number is dropped. */
  cancel(feed) {
    clearTimeout(feed.retry);
    this.feeds.delete(feed);
    if (feed.num > 0) this.send(JSON.stringify({ op: "unsub", sub: feed.num }));
    this.nums.delete(feed.num);
    feed.num = 0;
  }

  ask(feed) {
    if (this.greeted && feed.num === 0) this.send(JSON.stringify({ op: "sub", ...this.number(feed) }));
  }

  /** Gives a feed its number on a connection, and returns what it asks for. ④ */
  number(feed) {
    feed.num = ++this.last;
    this.nums.set(feed.num, feed);
    for (const r of feed.readers) r.begin();
    const [r] = feed.readers; // one that is new has a feed of its own
    const replay = r.fresh && feed.own === r.after ? r.replay : undefined; // nothing was received: it asks as it was asked
    return { sub: feed.num, topic: feed.topic, after: feed.own || undefined, replay };
  }

  join(feed) {
    feed.joined = true;
    feed.own = "";
    feed.tries = 0;
    for (const r of feed.readers) r.join(this.pos);
    if (feed.num < 0) return;
    for (const twin of this.nums.values()) { // from now on both would be sent the same
      if (twin === feed || twin.num < 0 || !twin.joined || twin.topic !== feed.topic) continue;
      for (const r of feed.readers) {
        r.feed = twin;
        twin.readers.add(r);
      }
      return this.cancel(feed);
    }
  }

  ended(feed, f) {
    this.nums.delete(feed.num);
    feed.leave(this.pos);
    if (feed.num < 0) return this.pushed.delete(feed.topic);
    feed.num = 0;
    if (f.again || f.code === undefined) {
      feed.retry = setTimeout(() => this.ask(feed), backoff(feed.tries++));
      return;
    }
    this.feeds.delete(feed);
    for (const r of feed.readers) r.end(refusal(f));
  }

  message(f, feed) {
    if (f.sub) { // ②
      if (!feed) return; // it was unsubscribed
      const before = feed.own;
      feed.own = f.id || before;
      return this.hand(feed, f, feed.own, before);
    }
    const before = this.pos;
    this.pos = f.id || before; // ①
    this.deliver(f, before);
  }

  /** Hands a message to every feed that has joined and matches. ③ The stream stood at before. */
  deliver(f, before) {
    let found = false;
    for (const feed of this.nums.values()) {
      if (!feed.joined || !feed.matches(f.topic)) continue;
      found = true;
      this.hand(feed, f, this.pos, before);
    }
    return found;
  }

  hand(feed, f, pos, before) {
    for (const r of feed.readers) {
      const replayed = r.fresh && (f.rev !== undefined || r.replays);
      if (!r.take(messageOf(f, replayed), f.rev, pos, f.size)) r.park(before);
    }
  }

  /** A message to this connection alone. */
  sent(f) {
    if (!f.topic || this.deliver(f, this.pos) || this.covers(f.topic)) return;
    emit(this.face, "message", { message: messageOf(f, false) });
  }

  gap(f, feed) {
    const feeds = f.sub ? [feed] : (f.subs ?? []).map(n => this.nums.get(n)).filter(x => x?.joined);
    if (!f.sub) this.pos = f.at ?? this.pos; // ①
    else if (feed) feed.own = f.at ?? feed.own; // ②
    for (const x of feeds) for (const r of x?.readers ?? []) r.lost(f);
  }

  /** The server has subscribed us. What no subscription of the application covers becomes an event of the client. */
  push({ sub, topic }) {
    if (!(sub < 0) || !topic) return;
    let feed = this.pushed.get(topic);
    if (!feed) {
      feed = new Feed(topic, "");
      const reader = new Reader(this, topic, {}, (type, { message }) => {
        if (type === "message" && !this.covers(message.topic)) emit(this.face, "message", { message });
      });
      reader.listening = true;
      feed.readers.add(reader);
      this.pushed.set(topic, feed);
    }
    this.nums.delete(feed.num);
    feed.num = sub;
    this.nums.set(sub, feed);
    for (const r of feed.readers) r.begin();
  }

  covers(topic) {
    for (const r of this.readers) if (r.matches(topic)) return true;
    return false;
  }

  // Publishing.

  publish(topic, data, { key = newKey(), signal } = {}) {
    return new Promise((resolve, reject) => { // what is thrown here rejects it
      checkTopic(topic);
      if (typeof key !== "string" || key === "") throw new HotlineError("invalid", "a key is a string, and not empty");
      signal?.throwIfAborted();
      if (this.state === "closed") throw this.closed();
      const p = this.enqueue(topic, encode(data), key, { resolve, reject });
      const abort = () => this.fail(p, p.sent ? uncertain("it was aborted", signal.reason) : signal.reason);
      signal?.addEventListener("abort", abort);
      p.forget = () => signal?.removeEventListener("abort", abort);
      if (this.up) this.sendPublish(p);
    });
  }

  /** Makes a publish one that waits for its answer; again: it repeats a Presence value, and nobody waits for it. */
  enqueue(topic, payload, key, { resolve = nothing, reject = nothing, again = false }) {
    const frame = publishFrame(++this.refs, topic, payload, key), cost = frame.length + 1024;
    if (!again) this.checkSize(frame);
    if (!again && this.unanswered + cost > maxUnanswered) {
      throw new HotlineError("limit", `${this.unanswered} bytes of publishes are unanswered, the limit is ${maxUnanswered}`);
    }
    const p = {
      ref: this.refs, topic, payload, frame, cost, resolve, reject, again, forget: nothing,
      sent: false, // on some connection: it may have been stored
      flying: false, // on the present one
      closes: 0, tries: 0,
    };
    this.unanswered += cost;
    this.pubs.set(p.ref, p);
    return p;
  }

  /** Throws for what the hub would close the connection for. */
  checkSize(frame) {
    if (this.maxIn === 0 || fits(frame, this.maxIn)) return;
    throw new HotlineError("invalid", `the message is too large: the limit is ${this.maxIn} bytes`);
  }

  sendPublish(p) {
    try {
      this.checkSize(p.frame); // the limit was not known before
    } catch (error) {
      return this.fail(p, p.sent ? uncertain("it fits no more", error) : error);
    }
    if (!this.send(p.frame)) return;
    p.sent = p.flying = true;
    p.timer ??= setTimeout(() => this.fail(p, uncertain("it was not answered for 4 minutes")), answerTimeout);
  }

  settle(p) {
    if (!this.pubs.delete(p.ref)) return false;
    this.unanswered -= p.cost;
    clearTimeout(p.timer);
    clearTimeout(p.retry);
    p.forget();
    return true;
  }

  fail(p, error) {
    if (this.settle(p)) p.reject(error);
  }

  accepted({ ref, id = "", held }) {
    const p = this.pubs.get(ref);
    if (!p) return;
    this.held.delete(p.topic);
    if (held) this.held.set(p.topic, p.payload);
    this.settle(p);
    p.resolve(id);
  }

  refused(f) {
    const p = this.pubs.get(f.ref);
    if (!p) return;
    if (f.again) {
      p.flying = false;
      p.retry = setTimeout(() => this.sendPublish(p), backoff(p.tries++)); // drop ends it: on the next connection it goes first
      return;
    }
    if (p.again) this.held.delete(p.topic);
    this.fail(p, refusal(f));
  }

  /** Sends what is unanswered, in its order, ⑤ and then what is held of Presence, which the hub forgot with the connection. */
  resend() {
    const topics = new Set();
    for (const p of this.pubs.values()) {
      if (p.again) { // it is made anew
        this.settle(p);
        continue;
      }
      topics.add(p.topic);
      this.sendPublish(p);
    }
    for (const [topic, payload] of this.held) {
      if (!topics.has(topic)) this.sendPublish(this.enqueue(topic, payload, newKey(), { again: true }));
    }
  }

  signal(topic, data) {
    checkTopic(topic);
    const frame = publishFrame(undefined, topic, encode(data));
    this.checkSize(frame);
    const waits = this.ws?.bufferedAmount ?? 0;
    return this.up && (waits === 0 || waits + frame.length <= maxSignalBytes) && this.send(frame);
  }
}

const uncertain = (why, cause) =>
  new HotlineError("uncertain", `${why}: it may have been stored`, { cause, closeCode: cause?.closeCode ?? 0 });

/**
 * What one subscription has received and not handed out: to a loop, at its pace, or to listeners, at once. Until there is
 * either it waits. Of State it holds the newest value of each topic; of Events so many, and then it is parked: it keeps its
 * position, and asks for what follows when there is room again.
 */
class Reader {
  feed = null;
  fresh = true; // it has not joined yet
  over = false;
  closed = false; // by the application: nothing is handed out any more
  error = null; // why it is over, until a loop was told
  watched = false; // somebody would notice an error

  events = []; // Events, and gaps, which have no message
  bytes = 0; // of events
  crowded = false; // an event was refused, and half of the buffer is not free yet
  parked = false;
  parkedAt = "";
  cells = new Map(); // what is known of State topics
  values = new Map(); // messages of those that have changed, in the order of their change
  signals = [];
  turn = false; // State is looked at first
  untold = false; // a gap was read, and no message since: pos stays before it
  beyond = ""; // then: the place after it
  herd = false; // the last gap is everybody's
  missed = 0; // not told yet

  listening = false;
  iterating = false;
  waiters = []; // of a loop
  flowing = false;

  loading = false; // resync is running
  tries = 0; // of it
  forget = nothing; // the signal

  constructor(core, topic, { replay, after = "", resync, signal }, emit) {
    Object.assign(this, { core, topic, replay, after, resync, emit });
    this.matches = matcher(topic);
    this.replays = after === ""; // what comes before ok is history that was asked for, not a continuation
    this.pos = after; // where the application stands
    this.stale = resync !== undefined && after === ""; // a snapshot is to be loaded before anything else
    this.ready = new Promise((resolve, reject) => Object.assign(this, { confirm: resolve, deny: reject }));
    this.ready.catch(nothing); // whoever awaits it gets it
    if (!signal) return;
    const close = () => this.close();
    signal.addEventListener("abort", close);
    this.forget = () => signal.removeEventListener("abort", close);
  }

  // What the hub says.

  /** All present values of State are about to be sent. */
  begin() {
    for (const cell of this.cells.values()) cell.shown = false;
  }

  /** It has joined the stream at pos. What was not among the present values is gone. */
  join(pos) {
    this.fresh = this.replays = false;
    for (const [topic, cell] of this.cells) {
      if (cell.shown || this.values.get(topic)?.data === null) continue;
      cell.rev = undefined;
      this.change(cell, messageOf({ topic, gone: true }, false));
    }
    this.pos ||= pos;
    this.confirm();
    this.flow();
  }

  /** Takes a message that leaves the subscription at pos; false: it is an event and there is no room. */
  take(m, rev, pos, size) {
    if (this.over) return true;
    if (rev !== undefined) this.value(m, rev);
    else if (m.id !== "") {
      if (this.events.length >= bufferMessages || this.events.length > 0 && this.bytes + size > bufferBytes) {
        this.crowded = true;
        return false;
      }
      this.events.push({ message: m, pos, size });
      this.bytes += size;
    } else if (this.signals.length < bufferSignals) this.signals.push(m);
    this.flow();
    return true;
  }

  value(m, rev) {
    let cell = this.cells.get(m.topic);
    if (!cell) {
      if (m.data === null) return;
      this.cells.set(m.topic, cell = { rev: undefined, shown: true, told: false });
    }
    cell.shown = true;
    if (cell.rev === rev) return;
    cell.rev = rev;
    this.change(cell, m);
  }

  change(cell, m) {
    this.values.delete(m.topic); // the newest goes last
    if (m.data === null && !cell.told) this.cells.delete(m.topic); // it came and went unseen
    else this.values.set(m.topic, m);
  }

  lost({ missed, cause = "", at = "" }) {
    if (this.over) return;
    if (cause === "restart") this.replays = this.fresh; // what it continued from is unknown: what was to be replayed comes
    const known = this.events.at(-1), gap = known && !known.message ? known : { missed: 0, herd: false, size: 0 };
    if (gap !== known) this.events.push(gap);
    gap.missed += missed || 1; // so many at least
    gap.herd ||= cause === "restart";
    gap.pos = at;
    this.emit("gap", { missed: missed ?? 0, cause });
    this.flow();
  }

  // Handing out.

  flow() {
    if (this.flowing) return; // a listener does something
    this.flowing = true;
    while (!this.loading && (this.iterating ? this.waiters.length > 0 : this.listening)) {
      const message = this.next();
      if (!message) break;
      const waiter = this.waiters.shift();
      this.emit("message", { message });
      waiter?.resolve({ value: message, done: false });
    }
    this.flowing = false;
    if (!this.over) return;
    for (const { resolve, reject } of this.waiters.splice(0)) {
      if (this.error) reject(this.error);
      else resolve({ value: undefined, done: true });
      this.error = null;
    }
  }

  /** Returns the next message, if there is one and no snapshot has to be loaded before. */
  next() {
    while (!this.closed) {
      if (this.stale) {
        if (!this.over) this.load();
        return undefined;
      }
      const x = this.read();
      if (!x) return undefined;
      if (x.message) {
        x.message.missed = this.missed;
        this.missed = this.tries = 0;
        return x.message;
      }
      if (this.resync) this.stale = true; // the snapshot covers it
      else this.missed += x.missed;
    }
  }

  /** Neither Events nor State may keep the other waiting. */
  read() {
    if (this.signals.length > 0) {
      this.told();
      return { message: this.signals.shift() };
    }
    this.turn = !this.turn;
    return this.turn ? this.readValue() ?? this.readEvent() : this.readEvent() ?? this.readValue();
  }

  readValue() {
    for (const [topic, message] of this.values) {
      this.values.delete(topic);
      if (message.data === null) this.cells.delete(topic);
      else this.cells.get(topic).told = true;
      this.told();
      return { message };
    }
  }

  readEvent() {
    const x = this.events.shift();
    if (!x) return undefined;
    this.bytes -= x.size;
    if (x.message) [this.pos, this.untold] = [x.pos, false];
    else [this.herd, this.untold, this.beyond] = [x.herd, true, x.pos]; // it is told with the next message
    if (this.crowded && this.events.length <= bufferMessages / 2 && this.bytes <= bufferBytes / 2) {
      this.crowded = false;
      this.unpark();
    }
    return x;
  }

  /** The application knows of what was lost, or has made it good. */
  told() {
    if (this.untold) [this.pos, this.untold] = [this.beyond, false];
  }

  get position() {
    const at = this.parked ? this.parkedAt : this.feed?.joined ? this.core.pos : this.feed?.own;
    if (this.events.length === 0 && !this.crowded && !this.untold && at) this.pos = at;
    return this.pos;
  }

  listened(type) {
    if (type === "error") this.watched = true;
    if (type !== "message") return;
    this.listening = true;
    this.flow();
  }

  pull() {
    return new Promise((resolve, reject) => {
      this.waiters.push({ resolve, reject });
      this.flow();
    });
  }

  // Parking, resync, the end.

  /** Keeps the place, and asks the hub for nothing more until half of the buffer is free. */
  park(at) {
    this.core.unfollow(this);
    this.parked = true;
    this.parkedAt = at;
    this.confirm(); // messages have come, and somebody has to read them
  }

  unpark() {
    if (!this.parked || this.over) return;
    this.parked = false;
    this.core.follow(this, this.parkedAt);
  }

  /** Loads a snapshot until it succeeds. After a restart of the hub, when everybody does the same, none begins at once. */
  async load() {
    this.loading = true;
    await this.ready.catch(nothing);
    while (this.stale && !this.over) {
      if (this.tries > 0 || this.herd) await this.pause(backoff(Math.max(this.tries - 1, 0)));
      if (this.over) break;
      this.tries++;
      const { resync } = this;
      try {
        const after = (await resync()) ?? "";
        if (typeof after !== "string") throw new TypeError(`resync returned ${typeof after} and no position`);
        if (this.over) break;
        if (after) this.seek(after);
        else this.told();
        this.stale = false;
        this.missed = 0;
      } catch (error) {
        if (error instanceof HotlineError && error.code === "denied") this.end(error);
        else console.warn(`hotline: resync of ${this.topic} failed and is tried again:`, error);
      }
    }
    this.loading = false;
    this.flow();
  }

  pause(ms) {
    return new Promise(resolve => {
      this.wake = resolve;
      this.nap = setTimeout(resolve, ms);
    });
  }

  /** Forgets the events: reading goes on after a position. */
  seek(after) {
    this.core.unfollow(this);
    Object.assign(this, { events: [], bytes: 0, crowded: false, parked: false, untold: false, pos: after });
    this.core.follow(this, after);
  }

  close() {
    this.closed = true;
    this.error = null;
    this.end(null);
    this.flow();
  }

  /** The end; a loop reads first what was received. */
  end(error) {
    if (this.over) return;
    this.position; // is kept
    this.core.unfollow(this);
    this.core.readers.delete(this);
    this.over = true;
    this.parked = false;
    this.error = error;
    this.forget();
    clearTimeout(this.nap);
    this.wake?.();
    this.deny(error ?? this.core.closed("the subscription"));
    if (error) {
      if (!this.watched) console.warn(`hotline: ${this.topic}:`, error); // else nobody would know
      this.emit("error", { error });
    }
    this.flow();
  }
}

// What the application holds.

/** An EventTarget that notices when somebody begins to listen. */
class Listened extends EventTarget {
  #listened;

  constructor(listened) {
    super();
    this.#listened = listened;
  }

  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    if (listener) this.#listened(type);
  }
}

class Subscription extends Listened {
  #reader;

  constructor(open) {
    super(type => this.#reader.listened(type));
    this.#reader = open((type, members) => emit(this, type, members));
  }

  get topic() { return this.#reader.topic; }
  get position() { return this.#reader.position; }
  get ready() {
    this.#reader.watched = true;
    return this.#reader.ready;
  }

  close() { this.#reader.close(); }

  /** Leaving a loop closes the subscription, which a loop may be the only one to hold. */
  [Symbol.asyncIterator]() {
    const reader = this.#reader;
    reader.iterating = reader.watched = true;
    return {
      next: () => reader.pull(),
      return: async value => {
        reader.close();
        return { value, done: true };
      },
      [Symbol.asyncIterator]() { return this; },
    };
  }
}

class Latest extends Listened {
  #reader;
  #messages = new Map(); // by topic

  constructor(open) {
    super(type => this.#reader.listened(type));
    this.#reader = open((type, members) => type === "message" ? this.#take(members.message) : emit(this, type, members));
    this.#reader.listened("message");
  }

  #take(message) {
    if (message.data === null) this.#messages.delete(message.topic);
    else this.#messages.set(message.topic, message);
    emit(this, "change", { message });
  }

  get ready() {
    this.#reader.watched = true;
    return this.#reader.ready;
  }

  close() { this.#reader.close(); }

  get size() { return this.#messages.size; }
  get(topic) { return this.#messages.get(topic); }
  has(topic) { return this.#messages.has(topic); }
  keys() { return this.#messages.keys(); }
  values() { return this.#messages.values(); }
  entries() { return this.#messages.entries(); }
  forEach(f, self) { for (const [topic, message] of this.#messages) f.call(self, message, topic, this); }
  [Symbol.iterator]() { return this.#messages.entries(); }
}

class Client extends EventTarget {
  #core;

  constructor(url, options) {
    super();
    this.#core = new Core(url, options, this);
  }

  get state() { return this.#core.state; }
  get error() { return this.#core.error; }

  subscribe(topic, options) { return new Subscription(this.#opener(topic, options ?? {})); }
  latest(pattern, options) { return new Latest(this.#opener(pattern, options ?? {})); }
  publish(topic, data, options) { return this.#core.publish(topic, data, options ?? {}); }
  signal(topic, data) { return this.#core.signal(topic, data); }
  close() { this.#core.end(new HotlineError("closed", "the client was closed")); }

  /** Checks what is wanted, and returns what makes the reader of it. */
  #opener(topic, options) {
    const core = this.#core, { replay, after = "", resync, signal } = options;
    checkTopic(topic, patternRule);
    const is = (name, ok) => { if (!ok) throw new HotlineError("invalid", `options.${name} is ${String(options[name])}`); };
    is("replay", replay === undefined || isNatural(replay));
    is("after", typeof after === "string");
    is("resync", resync === undefined || typeof resync === "function");
    return emit => {
      const reader = new Reader(core, topic, options, emit);
      if (core.state === "closed" || signal?.aborted) reader.close();
      else {
        core.readers.add(reader);
        core.follow(reader, after);
      }
      return reader;
    };
  }
}
