// What the page knows of the world: how it travels, how it was between two snapshots, and where one's own ship will be.
// wire.go has the layout, and move in world.go is what foresee repeats.

export function decodeWorld(bytes) {
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (v.getUint8(0) !== 1) throw new Error(`a world of version ${v.getUint8(0)}: reload the page`);
  const world = { tick: v.getUint32(1, true), ships: new Map(), sparks: [] };
  let at = 9;
  for (let n = v.getUint16(5, true); n > 0; n--, at += 18) {
    const u16 = i => v.getUint16(at + i, true), flags = v.getUint8(at + 17);
    world.ships.set(u16(0), {
      id: u16(0), x: u16(2) / 16, y: u16(4) / 16, vx: v.getInt16(at + 6, true) / 8, vy: v.getInt16(at + 8, true) / 8,
      score: u16(10), ack: u16(12), dashes: v.getUint8(at + 14), rest: v.getUint8(at + 15), stun: v.getUint8(at + 16),
      bot: (flags & 1) !== 0, away: (flags & 2) !== 0,
    });
  }
  for (let n = v.getUint16(7, true); n > 0; n--, at += 4) {
    const x = v.getUint16(at, true), y = v.getUint16(at + 2, true);
    world.sparks.push(x === 0xffff && y === 0xffff ? null : { x: x / 16, y: y / 16 });
  }
  return world;
}

export function encodeInput({ seq, dx, dy, dashes }) {
  const v = new DataView(new ArrayBuffer(5));
  v.setUint16(0, seq, true);
  v.setInt8(2, Math.round(dx * 127));
  v.setInt8(3, Math.round(dy * 127));
  v.setUint8(4, dashes);
  return new Uint8Array(v.buffer);
}

/** A direction as it travels, so that the page foresees what the server will do. */
export function rounded(dx, dy) {
  const f = 127 / Math.max(1, Math.hypot(dx, dy));
  return { dx: Math.trunc(dx * f) / 127, dy: Math.trunc(dy * f) / 127 };
}

export const radius = score => 20 + 0.15 * Math.min(score, 120);

/** Moves a ship by one step, as the server does when nobody is in its way. */
export function foresee(s, { dx, dy, dashes }, rules) {
  const dt = 1 / rules.rate;
  if (s.stun > 0) {
    s.stun--;
    dx = dy = 0;
  }
  if (s.rest > 0) s.rest--;
  if (dashes !== s.dashes) {
    s.dashes = dashes;
    const l = Math.hypot(dx, dy);
    if (s.rest === 0 && l > 0) {
      s.vx += dx * rules.dash / l;
      s.vy += dy * rules.dash / l;
      s.rest = rules.restFor;
    }
  }
  s.vx += dx * rules.accel * dt;
  s.vy += dy * rules.accel * dt;
  s.vx -= s.vx * rules.drag * dt;
  s.vy -= s.vy * rules.drag * dt;
  s.x += s.vx * dt;
  s.y += s.vy * dt;
  const r = radius(s.score), far = rules.size - r;
  if (s.x < r || s.x > far) s.vx *= -rules.bounce;
  if (s.y < r || s.y > far) s.vy *= -rules.bounce;
  s.x = Math.min(Math.max(s.x, r), far);
  s.y = Math.min(Math.max(s.y, r), far);
  return s;
}

const delay = 100; // ms in the past that the others are shown, so that there is a snapshot on either side
const most = 24; // snapshots that are kept

/** The newest snapshots, and the world at any moment between them. */
export class Timeline {
  worlds = [];
  #step;
  #offset = 0; // of our clock from the server's, as the fastest snapshots tell it

  constructor(rate) { this.#step = 1000 / rate; }

  get newest() { return this.worlds.at(-1); }

  /** Takes a snapshot that has come now. Returns false for one that is older than what is here. */
  push(world, now) {
    const last = this.newest, offset = now - world.tick * this.#step;
    const restarted = last && world.tick < last.tick - 10;
    if (last && !restarted && world.tick <= last.tick) return false;
    if (!last || restarted || offset - this.#offset > 1000) { // the first, or after a pause
      this.worlds = [];
      this.#offset = offset;
    } else {
      this.#offset += (offset - this.#offset) * (offset < this.#offset ? 0.2 : 0.01);
    }
    this.worlds.push(world);
    if (this.worlds.length > most) this.worlds.shift();
    return true;
  }

  /** The ships as they were a little while before now, by id, and the sparks. */
  at(now) {
    const { worlds } = this;
    if (worlds.length === 0) return { ships: [], sparks: [] };
    const tick = (now - this.#offset - delay) / this.#step;
    let i = worlds.length - 1;
    while (i > 0 && worlds[i - 1].tick > tick) i--;
    const b = worlds[i], a = worlds[Math.max(i - 1, 0)], ships = [];
    const ahead = Math.min(Math.max(tick - b.tick, 0), 4) * this.#step / 1000; // the next one is late: go on for a moment
    const f = a === b ? 1 : Math.min(Math.max((tick - a.tick) / (b.tick - a.tick), 0), 1);
    for (const s of b.ships.values()) {
      const p = a.ships.get(s.id) ?? s;
      ships.push({ ...s, x: p.x + (s.x - p.x) * f + s.vx * ahead, y: p.y + (s.y - p.y) * f + s.vy * ahead });
    }
    return { ships, sparks: b.sparks };
  }
}

const newer = (a, b) => ((a - b) & 0xffff) < 0x8000 && a !== b; // of numbers that go round

/** One's own ship, shown where it will be once the server has obeyed what was sent. */
export class Pilot {
  ship = null;
  #rules;
  #before = null; // one step ago
  #sent = []; // inputs that the server has not obeyed yet
  #ex = 0; // by how much it was foreseen wrongly, which is made good little by little
  #ey = 0;
  seq = 0;
  dashes = 0;

  constructor(rules) { this.#rules = rules; }

  leave() {
    this.ship = null;
    this.#sent = [];
  }

  /** Steers for one step, and returns the input that is to be sent. */
  press(dx, dy, now) {
    const input = { seq: this.seq = this.seq + 1 & 0xffff, ...rounded(dx, dy), dashes: this.dashes, at: now };
    this.#sent.push(input);
    if (this.#sent.length > 60) this.#sent.shift(); // offline
    this.#before = { ...this.ship };
    foresee(this.ship, input, this.#rules);
    return input;
  }

  dash() { this.dashes = this.dashes + 1 & 0xff; }

  /** Takes what the server says of the ship. Returns the time at which the newest input that it has obeyed was sent. */
  correct(ship) {
    let at;
    const next = { ...ship };
    if (!this.ship) [this.seq, this.dashes] = [ship.ack, ship.dashes]; // where an earlier page has left off
    const obeyed = this.#sent.findIndex(i => i.seq === ship.ack);
    if (obeyed >= 0) at = this.#sent[obeyed].at;
    this.#sent = this.#sent.filter(i => newer(i.seq, ship.ack));
    for (const i of this.#sent) foresee(next, i, this.#rules);
    if (this.ship) {
      const x = next.x - this.ship.x, y = next.y - this.ship.y;
      this.#before = { ...this.#before, x: (this.#before?.x ?? next.x) + x, y: (this.#before?.y ?? next.y) + y };
      this.#ex -= x;
      this.#ey -= y;
      if (Math.hypot(this.#ex, this.#ey) > 250) this.#ex = this.#ey = 0;
    }
    this.ship = next;
    return at;
  }

  /** The ship as it is to be drawn, part of a step after the last press; ms have passed since it was drawn. */
  shown(part, ms) {
    const f = Math.exp(-ms / 90);
    this.#ex *= f;
    this.#ey *= f;
    const a = this.#before ?? this.ship, b = this.ship;
    return { ...b, x: a.x + (b.x - a.x) * part + this.#ex, y: a.y + (b.y - a.y) * part + this.#ey };
  }
}
