// How the dashboard looks: the wall of prices, the scores, the charts of the hub. All of it is drawn when the loop asks for
// it, and only what has changed.

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

/** A duration in milliseconds. */
export const age = ms => ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;

/** The colours of the stylesheet, for canvases. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["main", "edge", "ink", "soft", "up", "down", "raised", "accent", "focus"].map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
}

let palette = colours();
const whenRepainted = new Set();
dark.addEventListener("change", () => {
  palette = colours();
  for (const f of whenRepainted) f();
});

/** Sizes a canvas to its place, in the pixels of the screen, and says in which of those a unit is. */
function fit(canvas, height) {
  const scale = Math.min(devicePixelRatio, 2), width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const g = canvas.getContext("2d", { alpha: true });
  g.scale(scale, scale);
  return g;
}

const points = 60, pointEvery = 333; // of a course: 20 seconds
const tileHeight = 42, tileWidth = 96, gap = 4;
const budget = 5; // milliseconds of a frame for the wall: what doesn't fit is drawn in the next one, with what is newest then

/** Prices as tiles on one canvas: nothing is laid out anew when one of them changes. */
export class Wall {
  prices = new Map(); // by symbol
  #tiles = []; // in the order of their names
  #dirty = new Set(); // tiles, those first that have waited longest
  #fading = []; // tiles that are to be drawn again though nothing has changed
  #columns = 0; #width = 0;
  #followed = "";
  #g;

  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.#arrange()).observe(canvas.parentElement);
    for (const type of ["scroll", "resize"]) addEventListener(type, () => this.#all(), { passive: true });
    whenRepainted.add(() => this.#all());
  }

  /** Takes a price, and returns the step of the one before. */
  set(symbol, at, tick, cents, open) {
    let p = this.prices.get(symbol);
    if (!p) {
      p = { symbol, at, tick: 0, cents, open, flash: 0, course: new Float32Array(points), times: new Float64Array(points), n: 0, i: 0 };
      this.prices.set(symbol, p);
      this.#columns = 0; // to be arranged
    }
    const before = p.tick;
    if (before && Math.abs(cents / p.cents - 1) > 0.012) p.flash = performance.now();
    Object.assign(p, { at, tick, cents, open });
    const last = (p.n + points - 1) % points;
    if (p.n === 0 || at - p.times[last] >= pointEvery) {
      p.times[p.n % points] = at;
      p.course[p.n % points] = cents;
      p.n++;
      if (p.n === 2 * points) p.n = points;
    }
    this.#dirty.add(p);
    return before;
  }

  follow(symbol) {
    for (const name of [this.#followed, symbol]) if (this.prices.has(name)) this.#dirty.add(this.prices.get(name));
    this.#followed = symbol;
  }

  /** The symbol at a place. */
  at(x, y) {
    return this.#tiles[Math.floor(y / (tileHeight + gap)) * this.#columns + Math.floor(x / (this.#width + gap))]?.symbol;
  }

  #all() { for (const p of this.#tiles) this.#dirty.add(p); }

  #arrange() {
    const { canvas } = this, width = canvas.parentElement.clientWidth;
    if (width === 0) return;
    this.#tiles = Array.from(this.prices.values()).sort((a, b) => a.symbol < b.symbol ? -1 : 1);
    this.#columns = Math.max(1, Math.floor((width + gap) / (tileWidth + gap)));
    this.#width = (width + gap) / this.#columns - gap;
    this.#tiles.forEach((p, i) => { p.i = i; });
    this.#g = fit(canvas, Math.max(Math.ceil(this.#tiles.length / this.#columns) * (tileHeight + gap) - gap, tileHeight));
    this.#g.textBaseline = "alphabetic";
    this.#all();
  }

  /** Draws what has changed and can be seen, as far as time allows. */
  draw(now) {
    if (this.#columns === 0 && this.prices.size > 0) this.#arrange();
    if (!this.#g || this.#dirty.size === 0) return;
    const began = performance.now(), { top } = this.canvas.getBoundingClientRect();
    const from = -top - tileHeight, to = innerHeight - top;
    for (const p of this.#dirty) {
      this.#dirty.delete(p);
      const y = Math.floor(p.i / this.#columns) * (tileHeight + gap);
      if (y < from || y > to) continue; // drawn when it is scrolled to
      this.#tile(p, (p.i % this.#columns) * (this.#width + gap), y, now);
      if (performance.now() - began > budget) break;
    }
    for (const p of this.#fading) this.#dirty.add(p);
    this.#fading.length = 0;
  }

  #tile(p, x, y, now) {
    const g = this.#g, w = this.#width, h = tileHeight, trend = p.cents < p.open ? palette.down : palette.up;
    g.clearRect(x - 1, y - 1, w + 2, h + 2);
    g.fillStyle = palette.main;
    g.beginPath();
    g.roundRect(x, y, w, h, 6);
    g.fill();
    const flash = calm.matches ? 0 : Math.max(0, 1 - (now - p.flash) / 900);
    if (p.flash && flash > 0) { // somebody who looks elsewhere sees that it has moved
      g.globalAlpha = 0.28 * flash;
      g.fillStyle = trend;
      g.fill();
      g.globalAlpha = 1;
      this.#fading.push(p);
    }
    g.lineWidth = p.symbol === this.#followed ? 2 : 1;
    g.strokeStyle = p.symbol === this.#followed ? palette.focus : palette.edge;
    g.stroke();
    this.#course(g, p, x + 7, y + 22, w - 14, h - 27, trend);
    g.font = "500 10.5px system-ui, sans-serif";
    g.textAlign = "left";
    g.fillStyle = palette.soft;
    g.fillText(p.symbol, x + 7, y + 15);
    g.font = "600 12px system-ui, sans-serif";
    g.textAlign = "right";
    g.fillStyle = palette.ink;
    g.fillText((p.cents / 100).toFixed(2), x + w - 7, y + 15);
  }

  /** The line of a price's last 20 seconds, by time: where values were conflated it is straight. */
  #course(g, p, x, y, w, h, colour) {
    const n = Math.min(p.n, points), first = p.n - n;
    let low = p.cents, high = p.cents;
    for (let i = 0; i < n; i++) {
      low = Math.min(low, p.course[i]);
      high = Math.max(high, p.course[i]);
    }
    const span = Math.max(high - low, p.cents * 0.004), middle = (high + low) / 2;
    const across = at => x + w * (1 - (p.at - at) / (points * pointEvery));
    const up = cents => y + h / 2 - (cents - middle) / span * h;
    g.beginPath();
    for (let i = 0; i < n; i++) {
      const k = (first + i) % points;
      const left = across(p.times[k]);
      if (left >= x) g.lineTo(left, up(p.course[k]));
    }
    g.lineTo(x + w, up(p.cents));
    g.lineWidth = 1.25;
    g.lineJoin = "round";
    g.strokeStyle = colour;
    g.stroke();
  }
}

/** The scores: elements of a fixed size, of which only texts change. */
export class Scores {
  #games = new Map();
  #changed = new Map();

  constructor(list) { this.list = list; }

  set(topic, game) { this.#changed.set(topic, game); }

  draw() {
    for (const [topic, game] of this.#changed) {
      if (game === null) continue;
      let show = this.#games.get(topic);
      if (!show) {
        this.#games.set(topic, show = this.#make(topic));
        this.list.append(...[...this.#games].sort(([a], [b]) => a < b ? -1 : 1).map(([, { li }]) => li));
      }
      show(game);
    }
    this.#changed.clear();
  }

  #make(topic) {
    const li = document.createElement("li");
    const [home, homeScore, away, awayScore, clock] = ["b", "span", "b", "span", "small"].map(tag => li.appendChild(document.createElement(tag)));
    const write = (e, text) => { if (e.textContent !== text) e.textContent = text; };
    return Object.assign(game => {
      write(home, game.home);
      write(away, game.away);
      write(homeScore, String(game.score[0]));
      write(awayScore, String(game.score[1]));
      write(clock, /\d/.test(game.clock) ? `Q${game.period}  ${game.clock}` : game.clock);
      home.classList.toggle("scored", game.last === game.home);
      away.classList.toggle("scored", game.last === game.away);
    }, { li, topic });
  }
}

const short = n => n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n >= 1e4 ? `${Math.round(n / 1e3)}K` : n.toLocaleString();
const bytes = n => n >= 1 << 20 ? `${(n / (1 << 20)).toFixed(1)} MB` : `${Math.round(n / 1024)} KB`;

/** What the hub says of itself, a minute of it. */
export class Charts {
  #kinds = [
    ["delivered", "delivered /s", short], ["conflated", "conflated /s", short], ["bytes", "sent /s", bytes],
    ["behind", "behind", (n, l) => `${n} of ${l.conns}`], ["log", "log", bytes], ["heap", "heap", bytes],
  ];
  #loads = [];
  #changed = false;

  constructor(list) {
    this.rows = this.#kinds.map(([name, label]) => {
      const li = document.createElement("li"), text = document.createElement("span"), value = document.createElement("b");
      const canvas = document.createElement("canvas");
      li.dataset.kind = name;
      text.textContent = label;
      value.textContent = "–";
      canvas.ariaHidden = "true";
      li.append(text, value, canvas);
      list.append(li);
      return { value, canvas };
    });
    whenRepainted.add(() => { this.#changed = true; });
    new ResizeObserver(() => { this.#changed = true; this.g = undefined; }).observe(list);
  }

  add(load) {
    if (this.#loads.at(-1)?.at >= load.at) return; // sent again after a reconnect
    this.#loads.push(load);
    this.#loads = this.#loads.filter(l => l.at > load.at - 60_000);
    this.#changed = true;
  }

  draw() {
    if (!this.#changed || this.#loads.length === 0) return;
    this.#changed = false;
    this.g ??= this.rows.map(({ canvas }) => fit(canvas, 26));
    const last = this.#loads.at(-1);
    this.#kinds.forEach(([name, , format], i) => {
      const { value, canvas } = this.rows[i], g = this.g[i], w = canvas.clientWidth, h = 26;
      value.textContent = format(last[name], last);
      const most = Math.max(1, ...this.#loads.map(l => l[name])) * 1.1;
      const across = l => w - (last.at - l.at) / 60_000 * w, up = l => h - 1.5 - l[name] / most * (h - 3);
      g.clearRect(0, 0, w, h);
      g.beginPath();
      for (const l of this.#loads) g.lineTo(across(l), up(l));
      g.lineWidth = 1.5;
      g.lineJoin = "round";
      g.strokeStyle = palette.accent;
      g.stroke();
      g.lineTo(w, h);
      g.lineTo(across(this.#loads[0]), h);
      g.globalAlpha = 0.12;
      g.fillStyle = palette.accent;
      g.fill();
      g.globalAlpha = 1;
    });
  }
}
