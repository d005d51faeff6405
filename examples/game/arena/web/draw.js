// How the world looks. Colours are those of the stylesheet, so that it is dark where the rest is.
import { radius } from "./world.js";

export function hueOf(name) {
  let hash = 7;
  for (const c of name) hash = Math.imul(hash ^ c.codePointAt(), 0x9e3779b1) >>> 0;
  return hash % 24 * 15;
}

const still = matchMedia("(prefers-reduced-motion: reduce)"), dark = matchMedia("(prefers-color-scheme: dark)");
const tail = 260; // ms of a ship's way that are remembered
const turn = 2 * Math.PI;

export class View {
  #canvas; #g; #colours; #star;
  #ratio = 1; #width = 0; #height = 0;
  #camera = null; // where it looks, and how many pixels a unit has
  #tails = new Map(); // by ship
  #marks = []; // of what has just happened: rings, and sparks that fly off
  #sparks = []; // where they were
  #stuns = new Map();

  constructor(canvas, size) {
    this.#canvas = canvas;
    this.#g = canvas.getContext("2d", { alpha: false });
    this.size = size;
    new ResizeObserver(() => this.#fit()).observe(canvas);
    dark.addEventListener("change", () => this.#paint());
    this.#fit();
    this.#paint();
  }

  #fit() {
    this.#ratio = Math.min(devicePixelRatio || 1, 2);
    this.#width = this.#canvas.clientWidth;
    this.#height = this.#canvas.clientHeight;
    this.#canvas.width = Math.round(this.#width * this.#ratio);
    this.#canvas.height = Math.round(this.#height * this.#ratio);
  }

  #paint() {
    const css = getComputedStyle(document.documentElement);
    this.#colours = Object.fromEntries(["page", "main", "edge", "raised", "ink", "soft", "accent"].map(c => [c, css.getPropertyValue(`--${c}`)]));
    const [l, c] = dark.matches ? [74, 0.13] : [66, 0.15];
    this.#colours.ship = hue => `oklch(${l}% ${c} ${hue})`;
    this.#colours.tail = hue => `color-mix(in oklab, oklch(${l}% ${c} ${hue}) 24%, ${this.#colours.main})`;
    this.#colours.spark = dark.matches ? "oklch(86% .15 88)" : "oklch(76% .16 75)";
    const glow = dark.matches ? "86% .15 88" : "84% .16 80";
    // A star is drawn so often that it is made once.
    const star = this.#star = document.createElement("canvas"), g = star.getContext("2d");
    star.width = star.height = 96;
    g.translate(48, 48);
    const light = g.createRadialGradient(0, 0, 4, 0, 0, 46);
    light.addColorStop(0, `oklch(${glow} / .3)`);
    light.addColorStop(1, `oklch(${glow} / 0)`);
    g.fillStyle = light;
    g.fillRect(-48, -48, 96, 96);
    g.fillStyle = this.#colours.spark;
    g.beginPath();
    for (let i = 0; i < 8; i++) {
      const r = i % 2 ? 9 : 27, a = i * turn / 8;
      g.lineTo(Math.cos(a) * r, Math.sin(a) * r);
    }
    g.closePath();
    g.lineJoin = "round";
    g.lineWidth = 6;
    g.strokeStyle = this.#colours.spark;
    g.stroke();
    g.fill();
  }

  /** Where a place of the world is on the page. */
  onPage({ x, y }) {
    const c = this.#camera ?? { x, y, scale: 1 };
    return [(x - c.x) * c.scale + this.#width / 2, (y - c.y) * c.scale + this.#height / 2];
  }

  #look(me, ms) {
    const { size } = this, w = this.#width, h = this.#height;
    const scale = me ? Math.sqrt(w * h) / 900 : Math.max(w, h) / 1900;
    const near = (x, view) => view / scale > size + 120 ? size / 2 : Math.min(Math.max(x, view / scale / 2 - 60), size + 60 - view / scale / 2);
    const to = { x: near(me?.x ?? size / 2, w), y: near(me?.y ?? size / 2, h), scale };
    const from = this.#camera ?? to, f = me && this.#camera?.following && !still.matches ? 1 - Math.exp(-ms / 70) : 1;
    const zoom = still.matches ? 1 : 1 - Math.exp(-ms / 250);
    this.#camera = {
      x: from.x + (to.x - from.x) * f, y: from.y + (to.y - from.y) * f, scale: from.scale + (scale - from.scale) * zoom, following: Boolean(me),
    };
  }

  /** Draws ships and sparks; me is one of the ships, or null; stick is where a finger steers. */
  draw({ ships, sparks, me, names, stick, now, ms, rules }) {
    const g = this.#g, c = this.#colours;
    this.#look(me, ms);
    this.#happened(ships, sparks, now);
    const { x, y, scale } = this.#camera, k = this.#ratio * scale;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.fillStyle = c.page;
    g.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    g.setTransform(k, 0, 0, k, this.#canvas.width / 2 - x * k, this.#canvas.height / 2 - y * k);
    const halfW = this.#width / scale / 2 + 60, halfH = this.#height / scale / 2 + 60;
    const visible = p => Math.abs(p.x - x) < halfW && Math.abs(p.y - y) < halfH;
    this.#ground(x, y, halfW, halfH);
    for (const [i, s] of sparks.entries()) if (s && visible(s)) this.#spark(s, i, now);
    const shown = ships.filter(visible);
    for (const s of shown) this.#tail(s, names, rules);
    for (const s of shown) if (s !== me) this.#ship(s, names, false, rules);
    if (me) this.#ship(me, names, true, rules);
    this.#drawMarks(now);
    g.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    for (const s of shown) this.#name(s, names, s === me);
    if (me) this.#map(ships, me);
    if (stick) this.#stick(stick);
  }

  #ground(x, y, halfW, halfH) {
    const g = this.#g, c = this.#colours, gap = 75, { size } = this;
    g.fillStyle = c.main;
    g.strokeStyle = c.edge;
    g.lineWidth = 6;
    g.beginPath();
    g.roundRect(0, 0, size, size, 40);
    g.fill();
    g.stroke();
    g.fillStyle = c.raised;
    const first = (v, half) => Math.max(Math.ceil((v - half) / gap), 1) * gap, last = (v, half) => Math.min(v + half, size - 1);
    for (let px = first(x, halfW); px < last(x, halfW); px += gap) {
      for (let py = first(y, halfH); py < last(y, halfH); py += gap) g.fillRect(px - 2, py - 2, 4, 4);
    }
  }

  #spark({ x, y }, i, now) {
    const g = this.#g, size = still.matches ? 40 : 40 + 4 * Math.sin(now / 300 + i);
    g.drawImage(this.#star, x - size / 2, y - size / 2, size, size);
  }

  #tail(s, names, rules) {
    const g = this.#g, places = this.#tails.get(s.id);
    if (still.matches || !places || s.away) return;
    g.strokeStyle = this.#colours.tail(hueOf(names.get(s.id) ?? ""));
    g.lineCap = "round";
    const wide = radius(s.score) * (s.rest > rules.restFor - 12 ? 1.9 : 1.1);
    for (let i = 1; i < places.length; i++) {
      g.lineWidth = wide * i / places.length;
      g.beginPath();
      g.moveTo(places[i - 1].x, places[i - 1].y);
      g.lineTo(places[i].x, places[i].y);
      g.stroke();
    }
  }

  #ship(s, names, mine, rules) {
    const g = this.#g, c = this.#colours, r = radius(s.score), speed = Math.hypot(s.vx, s.vy);
    const angle = speed > 5 ? Math.atan2(s.vy, s.vx) : Math.PI / 2, stretch = still.matches ? 0 : Math.min(speed / 3800, 0.22);
    g.save();
    g.translate(s.x, s.y);
    if (s.away) g.globalAlpha = 0.35;
    g.rotate(angle);
    g.scale(1 + stretch, 1 - stretch);
    g.fillStyle = c.ship(hueOf(names.get(s.id) ?? ""));
    g.beginPath();
    g.arc(0, 0, r, 0, turn);
    g.fill();
    if (mine) {
      g.strokeStyle = c.ink;
      g.lineWidth = 3;
      g.stroke();
      if (s.rest > 0) { // until it may dash again
        g.strokeStyle = c.soft;
        g.beginPath();
        g.arc(0, 0, r + 7, -angle - Math.PI / 2, -angle - Math.PI / 2 + turn * (1 - s.rest / rules.restFor));
        g.stroke();
      }
    }
    g.scale(1 / (1 + stretch), 1 / (1 - stretch));
    g.rotate(-angle);
    this.#eyes(r, Math.cos(angle), Math.sin(angle), s);
    g.restore();
  }

  #eyes(r, ex, ey, s) {
    const g = this.#g, ink = "#1d1b19";
    for (const side of [-1, 1]) {
      const x = side * r * 0.36 + ex * r * 0.22, y = -r * 0.1 + ey * r * 0.22;
      if (s.stun > 0) { // crossed
        g.strokeStyle = ink;
        g.lineWidth = r * 0.12;
        g.lineCap = "round";
        g.beginPath();
        for (const d of [-1, 1]) {
          g.moveTo(x - r * 0.16, y - d * r * 0.16);
          g.lineTo(x + r * 0.16, y + d * r * 0.16);
        }
        g.stroke();
        continue;
      }
      g.fillStyle = "#fff";
      g.beginPath();
      g.ellipse(x, y, r * 0.25, r * (s.away ? 0.06 : 0.3), 0, 0, turn);
      g.fill();
      if (s.away) continue;
      g.fillStyle = ink;
      g.beginPath();
      g.arc(x + ex * r * 0.1, y + ey * r * 0.12, r * 0.14, 0, turn);
      g.fill();
    }
  }

  #name(s, names, mine) {
    const g = this.#g, c = this.#colours, [x, y] = this.onPage(s);
    g.font = `${mine ? 650 : 500} 12px system-ui, sans-serif`;
    g.textAlign = "center";
    g.lineJoin = "round";
    g.lineWidth = 3;
    g.strokeStyle = c.main;
    g.fillStyle = mine ? c.ink : c.soft;
    const text = s.away ? `${names.get(s.id) ?? ""} (away)` : names.get(s.id) ?? "", below = y + radius(s.score) * this.#camera.scale + 16;
    g.strokeText(text, x, below);
    g.fillText(text, x, below);
  }

  #map(ships, me) {
    const g = this.#g, c = this.#colours, side = this.#width < 700 ? 92 : 132, x = 14, y = this.#height - side - 14, k = side / this.size;
    g.globalAlpha = 0.9;
    g.fillStyle = c.page;
    g.strokeStyle = c.edge;
    g.lineWidth = 1;
    g.beginPath();
    g.roundRect(x, y, side, side, 12);
    g.fill();
    g.stroke();
    g.globalAlpha = 1;
    const dot = (s, r) => {
      g.beginPath();
      g.arc(x + s.x * k, y + s.y * k, r, 0, turn);
      g.fill();
    };
    g.fillStyle = c.soft;
    for (const s of ships) dot(s, s.bot ? 1.2 : 2);
    g.fillStyle = c.accent;
    dot(me, 3.5);
  }

  #stick({ x, y, dx, dy, reach }) {
    const g = this.#g;
    g.globalAlpha = 0.35;
    g.strokeStyle = g.fillStyle = this.#colours.soft;
    g.lineWidth = 2;
    g.beginPath();
    g.arc(x, y, reach, 0, turn);
    g.stroke();
    g.beginPath();
    g.arc(x + dx * reach, y + dy * reach, reach * 0.42, 0, turn);
    g.fill();
    g.globalAlpha = 1;
  }

  /** Remembers tails, and notices what has happened since the last time. */
  #happened(ships, sparks, now) {
    for (const s of ships) {
      const places = this.#tails.get(s.id) ?? [];
      places.push({ x: s.x, y: s.y, now });
      while (now - places[0].now > tail) places.shift();
      this.#tails.set(s.id, places);
      if (s.stun > 0 && !this.#stuns.get(s.id)) this.#mark(s, now, 70, 350);
      this.#stuns.set(s.id, s.stun);
    }
    if (this.#tails.size > ships.length) {
      const here = new Set(ships.map(s => s.id));
      for (const id of this.#tails.keys()) if (!here.has(id)) this.#tails.delete(id), this.#stuns.delete(id);
    }
    if (sparks === this.#sparks) return;
    for (const [i, was] of this.#sparks.entries()) {
      const is = sparks[i];
      if (was && (!is || is.x !== was.x || is.y !== was.y)) this.#mark(was, now, 34, 260);
    }
    this.#sparks = sparks;
  }

  #mark({ x, y }, now, reach, ms) {
    if (!still.matches) this.#marks.push({ x, y, now, reach, ms });
  }

  #drawMarks(now) {
    const g = this.#g;
    this.#marks = this.#marks.filter(m => now - m.now < m.ms).slice(-60);
    g.strokeStyle = this.#colours.spark;
    g.lineCap = "round";
    g.lineWidth = 4;
    for (const m of this.#marks) {
      const part = (now - m.now) / m.ms;
      g.globalAlpha = 1 - part;
      g.beginPath();
      for (let i = 0; i < 6; i++) { // rays
        const a = i * turn / 6 + m.x, far = m.reach * (0.45 + 0.55 * part), near = m.reach * (0.3 + 0.6 * part);
        g.moveTo(m.x + Math.cos(a) * near, m.y + Math.sin(a) * near);
        g.lineTo(m.x + Math.cos(a) * far, m.y + Math.sin(a) * far);
      }
      g.stroke();
    }
    g.globalAlpha = 1;
  }
}
