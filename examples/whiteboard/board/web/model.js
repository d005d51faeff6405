// The picture: strokes in the order of the log. model.go does exactly the same, and so does every page, so that all have the
// same picture who have read equally far.

export class Model {
  strokes = []; // the later ones on top
  points = 0; // of all
  #limits;

  constructor(limits) { this.#limits = limits; }

  /** Begins with a snapshot. */
  replace(strokes) {
    this.strokes = strokes;
    this.points = strokes.reduce((n, s) => n + s.points.length / 3, 0);
  }

  /** Does what somebody did. Returns the stroke if it was added on top and nothing else has changed. */
  apply(by, { draw, undo, clear }) {
    if (draw) {
      if (this.find(by, draw.id)) return undefined;
      const stroke = { ...draw, by };
      this.strokes.push(stroke);
      this.points += stroke.points.length / 3;
      let full = false;
      while (this.strokes.length > this.#limits.maxStrokes || this.points > this.#limits.maxPoints) {
        this.#remove(0);
        full = true;
      }
      return full ? undefined : stroke;
    }
    if (undo) {
      const i = this.strokes.findIndex(s => s.id === undo && s.by === by);
      if (i >= 0) this.#remove(i);
    } else if (clear) {
      this.strokes = [];
      this.points = 0;
    }
    return undefined;
  }

  find(by, id) { return this.strokes.find(s => s.id === id && s.by === by); }

  #remove(i) {
    this.points -= this.strokes[i].points.length / 3;
    this.strokes.splice(i, 1);
  }

  /** Two models are the same if this is: FNV-1a. */
  hash() {
    let h = 0x811c9dc5;
    for (const { by = "", id, pen, width, points } of this.strokes) {
      for (const c of `${by} ${id} ${pen} ${width} ${points.join(",")}\n`) h = Math.imul(h ^ c.charCodeAt(0), 0x01000193) >>> 0;
    }
    return h.toString(16).padStart(8, "0");
  }
}
