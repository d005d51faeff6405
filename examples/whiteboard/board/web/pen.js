// How one draws: with a mouse, a pen or a finger, or with the arrow keys. Two fingers, or the wheel, move the sheet.

const even = 128; // the pressure of what can't tell it
const step = 100; // of an arrow key, in units of the board

/**
 * Tells what is drawn on a picture's canvas: begin(x, y, pressure), draw(x, y, pressure) and end() of a stroke, drop() of one
 * that was not meant to be one, hover(x, y), in units of the board.
 */
export class Pen {
  /** Where the arrow keys are; null: they are not used. */
  keys = null;
  #picture; #limits; #tell;
  #down = new Map(); // pointers: where they are on the page
  #drawing = null; // the pointer that draws, or "keys"

  constructor(picture, limits, tell) {
    [this.#picture, this.#limits, this.#tell] = [picture, limits, tell];
    const { canvas } = picture, on = (type, f) => canvas.addEventListener(type, f.bind(this));
    on("pointerdown", this.#press);
    on("pointermove", this.#move);
    on("pointerup", this.#lift);
    on("pointercancel", this.#lift);
    on("keydown", this.#key);
    on("blur", () => { this.#stop(); this.keys = null; this.#picture.onmove(); });
    on("contextmenu", e => e.preventDefault());
    canvas.addEventListener("wheel", e => {
      e.preventDefault();
      const unit = e.deltaMode === 1 ? 16 : 1;
      if (e.ctrlKey || e.metaKey) picture.move(0, 0, Math.exp(-e.deltaY * unit / 300), e.clientX, e.clientY);
      else picture.move(-e.deltaX * unit, -e.deltaY * unit);
    }, { passive: false });
  }

  #at(x, y) {
    const [bx, by] = this.#picture.toBoard(x, y), { width, height } = this.#limits;
    return [Math.round(Math.min(Math.max(bx, 0), width)), Math.round(Math.min(Math.max(by, 0), height))];
  }

  #pressure = e => e.pointerType === "pen" ? Math.round(e.pressure * 255) : even;

  #press(e) {
    this.#picture.canvas.focus({ preventScroll: true });
    this.keys = null;
    this.#down.set(e.pointerId, [e.clientX, e.clientY]);
    this.#picture.canvas.setPointerCapture(e.pointerId);
    if (this.#down.size > 1) { // the first finger was the first of two
      if (this.#drawing !== null) this.#tell.drop();
      this.#drawing = null;
    } else if (e.button === 0) {
      this.#stop();
      this.#drawing = e.pointerId;
      this.#tell.begin(...this.#at(e.clientX, e.clientY), this.#pressure(e));
    }
  }

  #move(e) {
    const was = this.#down.get(e.pointerId);
    if (this.#drawing === e.pointerId) {
      const all = e.getCoalescedEvents?.() ?? [];
      for (const c of all.length > 0 ? all : [e]) this.#tell.draw(...this.#at(c.clientX, c.clientY), this.#pressure(c));
    } else if (!was) this.#tell.hover(...this.#at(e.clientX, e.clientY));
    else this.#shift(e, was);
    if (was) this.#down.set(e.pointerId, [e.clientX, e.clientY]);
  }

  /** One of several fingers has moved, or a mouse with another button. */
  #shift({ pointerId, clientX, clientY }, [x, y]) {
    const [other] = Array.from(this.#down).find(([id]) => id !== pointerId)?.slice(1) ?? [];
    if (!other) return this.#picture.move(clientX - x, clientY - y);
    const apart = (ax, ay) => Math.max(Math.hypot(ax - other[0], ay - other[1]), 10);
    const middle = [(x + other[0]) / 2, (y + other[1]) / 2];
    this.#picture.move((clientX - x) / 2, (clientY - y) / 2, apart(clientX, clientY) / apart(x, y), ...middle);
  }

  #lift(e) {
    this.#down.delete(e.pointerId);
    if (this.#drawing === e.pointerId) this.#stop();
  }

  #stop() {
    if (this.#drawing !== null) this.#tell.end();
    this.#drawing = null;
  }

  #key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (!way && e.key !== " " && e.key !== "Enter") return;
    e.preventDefault();
    const { width, height } = this.#limits, by = e.shiftKey ? step / 5 : step;
    const [x, y] = this.keys ?? [width / 2, height / 2];
    if (way) {
      this.keys = [Math.min(Math.max(x + way[0] * by, 0), width), Math.min(Math.max(y + way[1] * by, 0), height)];
      if (this.#drawing === "keys") this.#tell.draw(...this.keys, even);
      else this.#tell.hover(...this.keys);
    } else if (this.#drawing === "keys") {
      this.#stop();
    } else if (this.#drawing === null) {
      this.keys = [x, y];
      this.#drawing = "keys";
      this.#tell.begin(x, y, even);
    }
    this.#picture.onmove();
  }

  get writes() { return this.#drawing === "keys"; }
}
