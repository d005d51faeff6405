// The page of the whiteboard. What it wants of the hub is in connectAs() and do_(); what the picture is, in model.js.
import { connect, HotlineError } from "/hotline.js";
import { Model } from "./model.js";
import { Pen } from "./pen.js";
import { Picture } from "./picture.js";

const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), e => [e.id, e]));
const limits = await (await fetch("limits.json")).json();
const reasonOf = error => error.message.replace(/^hotline: [a-z ]+: /, "");

let hub;
let me = ""; // as the hub calls us

const model = new Model(limits);
const pending = new Map(); // our strokes that have not come back from the hub, by id: { stroke, stored, loads }
const undoing = new Set(); // our strokes that are as good as gone, by id
const others = new Map(); // by user: where their pen is, and what they are drawing
const names = new Map(); // by user
const picture = new Picture(ui.board, limits, () => model.strokes.filter(s => s.by !== me || !undoing.has(s.id)));

// What we draw is ours again after a reload.
sessionStorage.secret ??= Array.from(crypto.getRandomValues(new Uint8Array(16)), n => n.toString(16).padStart(2, "0")).join("");

/** Connects to draw under a name, or, without one, to look. */
function connectAs(name) {
  const before = hub, h = hub = connect(new URL("ws", location), { token: () => name && `${sessionStorage.secret} ${name}` });
  before?.close();
  h.addEventListener("state", () => h === hub && connected(name));
  h.addEventListener("message", ({ message: { topic, data } }) => { if (topic === "whiteboard.you") me = data; });
  const ops = h.subscribe("whiteboard.ops", { resync: () => load(h) });
  ops.addEventListener("message", ({ message: { from, data } }) => apply(from, data));
  ops.addEventListener("gap", e => { if (e.cause === "restart") restarted(); });
  h.subscribe("whiteboard.live").addEventListener("message", ({ message: { from, data } }) => gesture(from, data));
  names.clear();
  h.latest("whiteboard.people.*").addEventListener("change", ({ message: { topic, data } }) => person(topic.split(".")[2], data));
}

let loads = 0; // of the snapshot

/** Loads the snapshot, and returns its position: what comes after that is applied to it. */
async function load(h) {
  const answer = await fetch("snapshot");
  if (!answer.ok) throw new HotlineError("closed", `the snapshot: ${answer.status}`);
  const { after, strokes } = await answer.json();
  if (h !== hub) return after; // of a connection that was closed meanwhile: the picture is another one's
  loads++;
  model.replace(strokes);
  for (const [id, { stored }] of pending) if (stored || model.find(me, id)) pending.delete(id); // else it was cleared, or comes yet
  redraw();
  return after;
}

function apply(from, op) {
  const added = model.apply(from, op);
  if (op.draw) {
    others.get(from)?.finish(op.draw.id);
    if (from === me) pending.delete(op.draw.id);
  }
  if (op.undo && from === me) undoing.delete(op.undo);
  if (added && !(from === me && undoing.has(added.id))) {
    unfinished();
    picture.add(added);
  } else redraw();
  tell(from, op);
}

/** Does something: it is seen at once, and real when it comes back from the hub, in its place among what others do. */
async function do_(op) {
  try {
    await hub.publish("whiteboard.ops", op);
    const p = op.draw && pending.get(op.draw.id);
    if (!p) return;
    p.stored = true;
    if (p.loads === loads) return; // it comes back
    pending.delete(op.draw.id); // unless a snapshot was loaded meanwhile, in which it may have been
    redraw();
  } catch (error) {
    if (op.draw) pending.delete(op.draw.id);
    undoing.delete(op.undo);
    redraw();
    if (hub.state !== "closed") note(`${error.code === "uncertain" ? "Maybe not done" : "Not done"}: ${reasonOf(error)}`);
  }
}

/** The hub has forgotten all. */
function restarted() {
  undoing.clear();
  note("The server was restarted: the board began anew");
}

// Drawing.

let stroke = null, told = 0; // what we are drawing, and how many of its points the others were told
let at = null; // where our pen is; null: they know
const drawing = () => document.body.classList.contains("drawing");
const chosen = name => Number(document.querySelector(`input[name="${name}"]:checked`).value);

const pen = new Pen(picture, limits, {
  begin(x, y, pressure) {
    if (!drawing()) return;
    const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), n => n.toString(16).padStart(2, "0")).join("");
    const colour = chosen("pen"), eraser = colour === limits.pens - 1;
    stroke = { id, pen: colour, width: chosen("width") * (eraser ? 2.5 : 1), points: [x, y, pressure] };
    told = 0;
    at = [x, y];
    unfinished();
  },
  draw(x, y, pressure) {
    if (!stroke) return;
    const p = stroke.points, far = Math.max(6, 1 / picture.view.scale);
    if (Math.hypot(x - p.at(-3), y - p.at(-2)) < far) return;
    p.push(x, y, pressure);
    at = [x, y];
    picture.update();
    if (p.length >= 3 * limits.strokePoints) { // it goes on in another one
      this.end();
      this.begin(x, y, pressure);
    }
  },
  end() {
    if (!stroke) return;
    pending.set(stroke.id, { stroke, stored: false, loads });
    do_({ draw: stroke });
    stroke = null;
    unfinished();
  },
  drop() {
    stroke = null;
    unfinished();
  },
  hover(x, y) { at = [x, y]; },
});

/** Tells the others where our pen is, and what has been drawn since they were told. */
function tellGesture() {
  if (!at || !drawing()) return;
  const g = { x: at[0], y: at[1] };
  if (stroke) {
    const points = stroke.points.slice(3 * told, 3 * (told + limits.livePoints));
    if (points.length > 0) Object.assign(g, { from: told, stroke: { ...stroke, points } });
  }
  if (!hub.signal("whiteboard.live", g)) return; // once more later
  told += (g.stroke?.points.length ?? 0) / 3;
  if (!stroke || 3 * told >= stroke.points.length) at = null;
}

function undo() {
  const mine = [...model.strokes.filter(s => s.by === me), ...Array.from(pending.values(), p => p.stroke)].filter(s => !undoing.has(s.id));
  if (mine.length === 0) return note("There is nothing of yours to undo");
  const { id } = mine.at(-1);
  undoing.add(id);
  redraw();
  do_({ undo: id });
}

/** What is not in the model, on top of it: our own strokes, then those that others are drawing. */
function unfinished() {
  picture.unfinished = Array.from(pending.values(), p => p.stroke).filter(s => !undoing.has(s.id));
  if (stroke) picture.unfinished.push(stroke);
  for (const o of others.values()) if (o.stroke) picture.unfinished.push(o.stroke);
  picture.update();
  count();
}

function redraw() {
  unfinished();
  picture.changed();
}

// The others.

const hueOf = user => parseInt(user.slice(0, 6), 16) % 24 * 15;
const gone = 8_000; // ms after which a pen that does not move is put away

/** Somebody else: a pen with their name, and what they are drawing until it is done. */
class Other {
  stroke = null;
  #last = ""; // the stroke that was done
  #pen = ui.pens.appendChild(ui.pen.content.firstElementChild.cloneNode(true));
  #timer;

  constructor(user) {
    this.user = user;
    this.#pen.style.setProperty("--hue", hueOf(user));
  }

  move({ x, y, stroke, from = 0 }) {
    Object.assign(this, { x, y });
    if (stroke && stroke.id !== this.#last) {
      if (this.stroke?.id !== stroke.id) this.stroke = { ...stroke, points: [] };
      this.stroke.points.splice(3 * from, Infinity, ...stroke.points); // what was lost is bridged until it is done
    }
    this.place();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => forget(this.user), gone);
  }

  /** It is done, or will not be. */
  finish(id) {
    this.#last = id ?? this.#last;
    if (this.stroke?.id === id) this.stroke = null;
  }

  place() {
    if (this.x === undefined) return;
    const [x, y] = picture.toPage(this.x, this.y), name = names.get(this.user);
    this.#pen.hidden = name === undefined;
    this.#pen.lastElementChild.textContent = name;
    this.#pen.style.transform = `translate(${x}px, ${y}px)`;
  }

  leave() {
    clearTimeout(this.#timer);
    this.#pen.remove();
  }
}

function gesture(from, data) {
  if (from === me || !from) return;
  if (!others.has(from)) others.set(from, new Other(from));
  others.get(from).move(data);
  unfinished();
}

function forget(user) {
  others.get(user)?.leave();
  others.delete(user);
  unfinished();
}

function person(user, name) {
  if (name === null) {
    names.delete(user);
    forget(user);
  } else names.set(user, name);
  const all = Array.from(names).sort(([a], [b]) => (b === me) - (a === me) || names.get(a).localeCompare(names.get(b)));
  ui.people.replaceChildren(...all.slice(0, 5).map(([user, name]) => {
    const li = document.createElement("li"), face = document.createElement("span");
    face.className = "avatar";
    face.dataset.letter = ([...name][0] ?? "").toUpperCase();
    face.style.setProperty("--hue", hueOf(user));
    face.role = "img";
    face.title = face.ariaLabel = user === me ? `${name} (you)` : name;
    li.append(face);
    return li;
  }));
  ui.more.textContent = all.length > 5 ? `+${all.length - 5}` : "";
  for (const o of others.values()) o.place();
}

// Words.

const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;
let news = new Map(); // what the others have done since it was said, by name

function tell(from, { draw, undo, clear }) {
  if (from === me) return;
  const who = names.get(from) ?? "Somebody";
  if (clear) note(from ? `${who} has cleared the board` : "The server has cleared the board");
  else news.set(who, (news.get(who) ?? 0) + (draw ? 1 : 0));
  if (undo) news.set(who, Math.max(news.get(who) - 1, 0));
}

/** For who does not see the board: now and then. */
function summarize() {
  const said = Array.from(news).filter(([, n]) => n > 0).map(([who, n]) => `${who} has drawn ${plural(n, "stroke", "strokes")}.`);
  news = new Map();
  if (said.length > 0 && drawing()) ui.summary.textContent = `${said.join(" ")} There are ${model.strokes.length} on the board.`;
}

function count() { ui.count.textContent = plural(model.strokes.length, "stroke", "strokes"); }

let noteTimer;

function note(text) {
  ui.note.textContent = text;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => { ui.note.textContent = ""; }, 4_000);
}

// Coming and going.

function connected(name) {
  document.body.dataset.state = hub.state;
  if (hub.state === "closed") {
    const why = hub.error.closeCode ? reasonOf(hub.error) : "";
    sessionStorage.removeItem("boardName");
    show(false);
    refuse(why && `You can’t come in: ${why}.`);
    if (name) connectAs(""); // who may not even look would be turned away again and again
    return;
  }
  if (hub.state === "open" && name && !drawing()) show(true);
  ui.banner.textContent = hub.state !== "open" && drawing() ? "Offline. What you draw waits" : "";
}

function show(draws) {
  document.body.classList.toggle("drawing", draws);
  ui.door.hidden = draws;
  ui.tools.hidden = ui.leave.hidden = !draws;
  if (draws) {
    refuse("");
    ui.board.focus({ preventScroll: true });
  } else ui.name.focus();
}

function refuse(why) {
  ui.refused.hidden = !why;
  ui.refused.textContent = why;
}

/** Puts what stands on the sheet where it belongs. */
picture.onmove = () => {
  for (const o of others.values()) o.place();
  ui.keys.hidden = !pen.keys;
  if (!pen.keys) return;
  const [x, y] = picture.toPage(...pen.keys);
  ui.keys.style.transform = `translate(${x}px, ${y}px)`;
  ui.keys.classList.toggle("down", pen.writes);
};

ui.join.addEventListener("submit", e => {
  e.preventDefault();
  sessionStorage.boardName = ui.name.value = ui.name.value.trim().replace(/[\ud800-\udfff]/gu, "");
  connectAs(sessionStorage.boardName);
});
ui.enter.disabled = false; // before this the browser would submit the form by itself, and load the page again
ui.leave.addEventListener("click", () => {
  sessionStorage.removeItem("boardName");
  show(false);
  connectAs("");
});
ui.undo.addEventListener("click", undo);
ui.clear.addEventListener("click", () => ui.sure.showModal());
ui.sure.addEventListener("close", () => { if (ui.sure.returnValue === "clear") do_({ clear: true }); ui.sure.returnValue = ""; });
ui.nearer.addEventListener("click", () => picture.move(0, 0, 1.4));
ui.farther.addEventListener("click", () => picture.move(0, 0, 1 / 1.4));
ui.whole.addEventListener("click", () => picture.fit());
addEventListener("keydown", e => {
  if (!drawing() || !(e.ctrlKey || e.metaKey) || e.shiftKey || e.key.toLowerCase() !== "z") return;
  e.preventDefault();
  undo();
});

ui.name.value = sessionStorage.boardName ?? ui.name.value; // somebody may type already
if (sessionStorage.boardName) connectAs(sessionStorage.boardName); // a reload
else {
  show(false);
  connectAs("");
}
setInterval(tellGesture, 40);
setInterval(summarize, 5_000);

/** For the console, and the tests. */
globalThis.whiteboard = { model, picture, pending, get me() { return me; }, get loads() { return loads; } };
