// How one steers: keys, a held mouse button, or a finger. A second finger dashes.

const keys = {
  ArrowUp: [0, -1], KeyW: [0, -1], ArrowDown: [0, 1], KeyS: [0, 1], ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0],
};
const reach = 60; // px of the stick under a finger

export class Controls {
  /** The finger that steers: where it came down, and the direction. */
  stick = null;
  /** Where the ship is on the page: a mouse steers from there to where it is. */
  middle = [0, 0];
  #down = new Set(); // keys
  #mouse = null; // the direction, while the button is held

  /** dash is called for each; it returns false if nobody flies, and then keys belong to the page. */
  constructor(canvas, button, dash) {
    let finger;
    addEventListener("keydown", e => {
      if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input, button")) return;
      if (e.code in keys) this.#down.add(e.code);
      else if (e.code !== "Space" || e.repeat || dash() === false) return;
      e.preventDefault();
    });
    addEventListener("keyup", e => this.#down.delete(e.code));
    addEventListener("blur", () => this.release());
    button.addEventListener("pointerdown", e => {
      e.preventDefault();
      dash();
    });
    button.addEventListener("click", e => { if (e.detail === 0) dash(); }); // by the keyboard
    canvas.addEventListener("pointerdown", e => {
      if (e.button > 0 || e.pointerType !== "mouse" && finger !== undefined) return dash();
      canvas.setPointerCapture(e.pointerId);
      if (e.pointerType === "mouse") this.#mouse = this.#aim(e);
      else [finger, this.stick] = [e.pointerId, { x: e.clientX, y: e.clientY, dx: 0, dy: 0, reach }];
    });
    canvas.addEventListener("pointermove", e => {
      if (this.#mouse && e.pointerType === "mouse") this.#mouse = this.#aim(e);
      if (e.pointerId !== finger || !this.stick) return;
      const dx = (e.clientX - this.stick.x) / reach, dy = (e.clientY - this.stick.y) / reach, l = Math.max(1, Math.hypot(dx, dy));
      Object.assign(this.stick, { dx: dx / l, dy: dy / l });
    });
    for (const type of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(type, e => {
        if (e.pointerType === "mouse") this.#mouse = null;
        if (e.pointerId === finger) finger = this.stick = undefined;
      });
    }
    canvas.addEventListener("contextmenu", e => e.preventDefault());
  }

  #aim({ clientX, clientY }) {
    const dx = (clientX - this.middle[0]) / 80, dy = (clientY - this.middle[1]) / 80, l = Math.max(1, Math.hypot(dx, dy));
    return [dx / l, dy / l];
  }

  direction() {
    if (this.stick) return [this.stick.dx, this.stick.dy];
    if (this.#mouse) return this.#mouse;
    let x = 0, y = 0;
    for (const code of this.#down) [x, y] = [x + keys[code][0], y + keys[code][1]];
    const l = Math.max(1, Math.hypot(x, y));
    return [x / l, y / l];
  }

  /** Lets everything go. */
  release() {
    this.#down.clear();
    this.#mouse = this.stick = null;
  }
}
