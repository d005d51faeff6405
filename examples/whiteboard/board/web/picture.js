// How the board looks: a sheet that can be moved and magnified, what is on it, and above that what is on its way to it.

const dark = matchMedia("(prefers-color-scheme: dark)");
const margin = 24; // px around a sheet that is shown whole
const settle = 120; // ms after the last movement, until all is drawn anew

export class Picture {
  /** Strokes that are not in the model: our own that were not confirmed, and those that others are drawing. */
  unfinished = [];
  /** Called after the sheet was moved, for what stands on it beside the canvas. */
  onmove = () => {};
  /** Where the sheet is: page = board × scale + x, y. */
  view = { x: 0, y: 0, scale: 1 };

  #canvas; #g; #limits; #strokes;
  #base = document.createElement("canvas"); // the model
  #layer = document.createElement("canvas"); // with what is unfinished
  #drawn = null; // the view that base is of; null: it is to be drawn anew
  #ratio = 1; #width = 0; #height = 0; #fitted = true; #colours = []; #sheet = {};
  #frame = 0; #timer;

  /** strokes returns those of the model that are to be seen. */
  constructor(canvas, limits, strokes) {
    this.canvas = this.#canvas = canvas;
    this.#g = canvas.getContext("2d", { alpha: false });
    this.#limits = limits;
    this.#strokes = strokes;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    dark.addEventListener("change", () => this.#paint());
    this.#resize();
    this.#paint();
  }

  #resize() {
    this.#ratio = Math.min(devicePixelRatio || 1, 3);
    const { clientWidth, clientHeight } = this.#canvas;
    if (this.#width > 0 && !this.#fitted) { // the middle stays in the middle
      this.view.x += (clientWidth - this.#width) / 2;
      this.view.y += (clientHeight - this.#height) / 2;
    }
    [this.#width, this.#height] = [clientWidth, clientHeight];
    for (const c of [this.#canvas, this.#base, this.#layer]) {
      c.width = Math.round(clientWidth * this.#ratio);
      c.height = Math.round(clientHeight * this.#ratio);
    }
    if (this.#fitted) this.fit(true);
    this.changed();
  }

  #paint() {
    const css = getComputedStyle(document.documentElement), colour = name => css.getPropertyValue(`--${name}`);
    this.#colours = Array.from({ length: this.#limits.pens - 1 }, (_, i) => colour(`pen-${i}`));
    this.#sheet = { page: colour("page"), main: colour("main"), edge: colour("edge"), raised: colour("raised") };
    this.changed();
  }

  // Where the sheet is.

  /** Shows the whole sheet or, at first and where it would be a strip, a good part of it. */
  fit(first = false) {
    const { width, height } = this.#limits, top = 64, bottom = this.#width < 700 ? 170 : 88; // the header, and the tools
    const w = this.#width - 2 * margin, h = this.#height - top - bottom, whole = Math.min(w / width, h / height);
    const scale = first && w < h ? Math.min(h / height, 3 * whole) : whole;
    this.view = { scale, x: (this.#width - width * scale) / 2, y: top + (h - height * scale) / 2 };
    this.#fitted = first || this.#fitted;
    this.#moved();
  }

  /** Moves the sheet by some px and magnifies it about a place of the page. */
  move(dx, dy, factor = 1, x = this.#width / 2, y = this.#height / 2) {
    const v = this.view, { width, height } = this.#limits;
    const least = Math.min(this.#width / width, this.#height / height) * 0.5;
    const scale = Math.min(Math.max(v.scale * factor, least), 2), f = scale / v.scale;
    const keep = (at, size, view) => Math.min(Math.max(at, 80 - size), view - 80); // some of it stays in sight
    this.view = {
      scale, x: keep(x + dx - (x - v.x) * f, width * scale, this.#width), y: keep(y + dy - (y - v.y) * f, height * scale, this.#height),
    };
    this.#fitted = false;
    this.#moved();
  }

  #moved() {
    this.onmove();
    this.update();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.changed(), settle);
  }

  toBoard(x, y) { return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale]; }
  toPage(x, y) { return [x * this.view.scale + this.view.x, y * this.view.scale + this.view.y]; }

  // What is on it.

  /** A stroke has come on top of the others. */
  add(stroke) {
    if (this.#drawn) this.#stroke(this.#base.getContext("2d"), stroke, this.#drawn);
    this.update();
  }

  /** Anything else has changed. */
  changed() {
    this.#drawn = null;
    this.update();
  }

  /** Draws with the next frame. */
  update() { this.#frame ||= requestAnimationFrame(() => this.#draw()); }

  #draw() {
    this.#frame = 0;
    if (!this.#drawn) this.#redraw();
    const g = this.#g, { x, y, scale } = this.view, { width, height } = this.#limits, c = this.#sheet, old = this.#drawn;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.fillStyle = c.page;
    g.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    g.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    g.fillStyle = c.main;
    g.strokeStyle = c.edge;
    g.lineWidth = 1;
    g.beginPath();
    g.roundRect(x, y, width * scale, height * scale, 14);
    g.fill();
    g.stroke();
    this.#dots();
    g.save();
    g.clip();
    // While it moves, base is shown as it was drawn, moved along.
    const f = scale / old.scale;
    g.setTransform(f, 0, 0, f, (x - old.x * f) * this.#ratio, (y - old.y * f) * this.#ratio);
    g.drawImage(this.#unfinished(old), 0, 0);
    g.restore();
  }

  #dots() {
    const g = this.#g, { x, y, scale } = this.view, { width, height } = this.#limits, gap = 250 * scale;
    if (gap < 14) return;
    g.save();
    g.fillStyle = this.#sheet.raised;
    for (let px = x + gap; px < Math.min(x + width * scale, this.#width) - 1; px += gap) {
      if (px < -2) continue;
      for (let py = y + gap; py < Math.min(y + height * scale, this.#height) - 1; py += gap) if (py > -2) g.fillRect(px - 1, py - 1, 2, 2);
    }
    g.restore();
    g.beginPath();
    g.roundRect(x, y, width * scale, height * scale, 14);
  }

  #redraw() {
    this.#drawn = { ...this.view };
    this.#base.getContext("2d").clearRect(0, 0, this.#base.width, this.#base.height);
    for (const s of this.#strokes()) this.#stroke(this.#base.getContext("2d"), s, this.#drawn);
  }

  /** Base, with what is unfinished above it: an eraser takes away of both. */
  #unfinished(view) {
    if (this.unfinished.length === 0) return this.#base;
    const g = this.#layer.getContext("2d");
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, this.#layer.width, this.#layer.height);
    g.drawImage(this.#base, 0, 0);
    for (const s of this.unfinished) this.#stroke(g, s, view);
    return this.#layer;
  }

  #stroke(g, { pen, width, points }, view) {
    if (points.length === 0) return;
    const k = this.#ratio * view.scale, at = i => [points[3 * i], points[3 * i + 1]], n = points.length / 3;
    const wide = i => Math.max(width * (0.4 + 1.2 * points[3 * i + 2] / 255), 0.8 / view.scale); // pressed by half: as it is
    g.save();
    g.setTransform(k, 0, 0, k, this.#ratio * view.x, this.#ratio * view.y);
    if (pen === this.#limits.pens - 1) g.globalCompositeOperation = "destination-out";
    g.strokeStyle = g.fillStyle = this.#colours[pen] ?? "#000";
    g.lineCap = g.lineJoin = "round";
    if (n === 1) {
      g.beginPath();
      g.arc(...at(0), wide(0) / 2, 0, 2 * Math.PI);
      g.fill();
    } else {
      this.#line(g, at, n, wide);
    }
    g.restore();
  }

  /** A line through the middles between points, in one go as long as it is equally wide. */
  #line(g, at, n, wide) {
    const middle = i => i < 0 ? at(0) : i >= n - 1 ? at(n - 1) : [(at(i)[0] + at(i + 1)[0]) / 2, (at(i)[1] + at(i + 1)[1]) / 2];
    g.lineWidth = wide(0);
    g.beginPath();
    g.moveTo(...at(0));
    for (let i = 0; i < n; i++) {
      if (Math.abs(wide(i) - g.lineWidth) > 0.5) {
        g.stroke();
        g.lineWidth = wide(i);
        g.beginPath();
        g.moveTo(...middle(i - 1));
      }
      g.quadraticCurveTo(...at(i), ...middle(i));
    }
    g.stroke();
  }

  /** A number for what is on the sheet, of the model: for tests. */
  pixels() {
    this.#redraw();
    const { data } = this.#base.getContext("2d").getImageData(0, 0, this.#base.width, this.#base.height);
    let h = 0x811c9dc5, inked = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] > 0) inked++;
      h = Math.imul(h ^ (data[i] | data[i + 1] << 8 | data[i + 2] << 16 | data[i + 3] << 24), 0x01000193) >>> 0;
    }
    return { hash: h.toString(16), inked };
  }
}
