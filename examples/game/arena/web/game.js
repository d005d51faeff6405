// The page of the game. What it wants of the hub is in connectAs(); what it knows of the world is in world.js, how that
// looks in draw.js.
import { connect } from "/hotline.js";
import { Controls } from "./controls.js";
import { hueOf, View } from "./draw.js";
import { decodeWorld, encodeInput, Pilot, Timeline } from "./world.js";

const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), e => [e.id, e]));
const rules = await (await fetch("rules.json")).json();
const view = new View(ui.arena, rules.size), timeline = new Timeline(rules.rate), pilot = new Pilot(rules);
const controls = new Controls(ui.arena, ui.dash, () => me !== 0 && pilot.dash());
const names = new Map(); // by ship

let hub;
let me = 0; // our ship; 0: we only watch
let rtt = 0; // ms, from a key to the world that has obeyed it; 0: not measured yet

// Our ship is found again by this after a reload.
sessionStorage.ship ??= Array.from(crypto.getRandomValues(new Uint8Array(16)), n => n.toString(16).padStart(2, "0")).join("");

/** Connects to play under a name, or, without one, to watch. */
function connectAs(name) {
  const before = hub, h = hub = connect(new URL("ws", location), { token: () => name && `${sessionStorage.ship} ${name}` });
  before?.close();
  hub.addEventListener("state", () => h === hub && connected(name));
  hub.addEventListener("message", ({ message: { topic, data } }) => { if (topic === "game.you") fly(data); });
  hub.subscribe("game.world").addEventListener("message", ({ message: { data } }) => {
    if (data) snapshot(decodeWorld(data)); // null: a server that has just been started has no world yet
  });
  const all = hub.latest("game.names.*");
  names.clear();
  all.addEventListener("change", ({ message: { topic, data } }) => {
    const id = Number(topic.split(".")[2]);
    if (data === null) names.delete(id);
    else names.set(id, data);
  });
}

function fly(id) {
  ui.banner.textContent = "";
  me = id;
  pilot.leave();
}

let arrived = []; // when the snapshots of the last second came

function snapshot(world) {
  const now = performance.now();
  arrived.push(now);
  if (!timeline.push(world, now)) return;
  const mine = world.ships.get(me);
  if (!mine) return pilot.leave();
  const sent = pilot.correct(mine);
  if (sent !== undefined) rtt = rtt === 0 ? now - sent : rtt + (now - sent - rtt) * 0.1;
}

// Drawing. The ship moves in steps, as it does on the server, and is shown between them.

let last = performance.now(), behind = 0;

function frame(now) {
  const ms = Math.min(now - last, 250), step = 1000 / rules.rate;
  last = now;
  behind = Math.min(behind + ms, 4 * step);
  for (; behind >= step; behind -= step) if (pilot.ship) send(pilot.press(...controls.direction(), now));
  const { ships, sparks } = timeline.at(now);
  let mine = null;
  if (pilot.ship) {
    const i = ships.findIndex(s => s.id === me);
    mine = pilot.shown(behind / step, ms);
    if (i < 0) ships.push(mine);
    else ships[i] = mine;
    ui.dash.classList.toggle("tired", mine.rest > 0);
  }
  controls.middle = mine ? view.onPage(mine) : [0, 0];
  view.draw({ ships, sparks, me: mine, names, stick: controls.stick, now, ms, rules });
  requestAnimationFrame(frame);
}

/** An input is a signal: it waits for no answer, and if it is lost the next one says it all again. */
const send = input => hub.signal("game.input", encodeInput(input));

// Whoever looks at another window does not fly on.
document.addEventListener("visibilitychange", () => {
  controls.release();
  if (document.hidden && pilot.ship) send(pilot.press(0, 0, performance.now()));
});

// What is written around it.

let ranking = [];

function tellNumbers() {
  const now = performance.now(), world = timeline.newest;
  arrived = arrived.filter(at => now - at < 1000);
  ui.snapshots.textContent = hub.state === "open" ? `${arrived.length}/s` : "reconnecting";
  ui.snapshots.title = "worlds that came in the last second";
  ui.rtt.hidden = !pilot.ship || rtt === 0 || hub.state !== "open";
  ui.rtt.textContent = `${Math.round(rtt)} ms`;
  ui.rtt.title = "from a key to the world that obeys it";
  if (!world) return;
  ranking = Array.from(world.ships.values()).sort((a, b) => b.score - a.score || a.id - b.id).map((s, i) => ({ ...s, rank: i + 1 }));
  if (me === 0 && playing() && hub.state === "open") {
    ui.banner.textContent = world.ships.size >= rules.maxShips ? "The arena is full. A ship is yours when one leaves" : "";
  }
  const humans = ranking.filter(s => !s.bot).length;
  ui.count.textContent = `${humans} playing, ${ranking.length - humans} bots`;
  const mine = ranking.find(s => s.id === me), top = ranking.slice(0, 5);
  if (mine && mine.rank > 5) top.push(mine);
  ui.table.replaceChildren(...top.map(s => row(s, s.rank > 5)));
}

function row({ id, rank, score }, apart) {
  const li = document.createElement("li"), name = names.get(id) ?? "";
  li.className = `${id === me ? "me" : ""} ${apart ? "apart" : ""}`;
  li.style.setProperty("--hue", hueOf(name));
  for (const [tag, className, text] of [["span", "rank", rank], ["bdi", "", name], ["span", "sparks", score]]) {
    li.append(Object.assign(document.createElement(tag), { className, textContent: text }));
  }
  return li;
}

/** For who does not see the arena: now and then, and only what has changed. */
function summarize() {
  const mine = ranking.find(s => s.id === me), [first] = ranking;
  if (!mine || hub.state !== "open") return;
  const lead = first.id === me ? "You lead." : `${names.get(first.id) ?? "Somebody"} leads with ${first.score}.`;
  const text = `${mine.score} ${mine.score === 1 ? "spark" : "sparks"}, place ${mine.rank} of ${ranking.length}. ${lead}`;
  if (ui.summary.textContent !== text) ui.summary.textContent = text;
}

// Coming and going.

function connected(name) {
  document.body.dataset.state = hub.state;
  const open = hub.state === "open";
  if (hub.state === "closed") {
    const why = hub.error.closeCode ? hub.error.message.replace(/^hotline: [a-z ]+: /, "") : "";
    sessionStorage.removeItem("gameName");
    show(false);
    refuse(why && `You can’t come in: ${why}.`);
    if (name) connectAs(""); // who may not even look would be turned away again and again
    return;
  }
  if (open && name) show(true);
  ui.banner.textContent = !open && playing() ? "Reconnecting… Your ship waits for ten seconds" : "";
}

const playing = () => document.body.classList.contains("playing");

function show(plays) {
  document.body.classList.toggle("playing", plays);
  document.body.classList.toggle("watching", !plays);
  ui.door.hidden = plays;
  ui.leave.hidden = ui.dash.hidden = !plays;
  if (plays) {
    refuse("");
    document.activeElement?.blur();
  } else {
    ui.summary.textContent = "";
    rtt = 0;
    fly(0);
    ui.name.focus();
  }
}

function refuse(why) {
  ui.refused.hidden = !why;
  ui.refused.textContent = why;
}

ui.join.addEventListener("submit", e => {
  e.preventDefault();
  sessionStorage.gameName = ui.name.value = ui.name.value.trim().replace(/[\ud800-\udfff]/gu, "");
  connectAs(sessionStorage.gameName);
});
ui.enter.disabled = false; // before this the browser would submit the form by itself, and load the page again
ui.leave.addEventListener("click", () => {
  sessionStorage.removeItem("gameName");
  show(false);
  connectAs("");
});

ui.name.value = sessionStorage.gameName ?? ui.name.value; // somebody may type already
if (sessionStorage.gameName) connectAs(sessionStorage.gameName); // a reload
else {
  show(false);
  connectAs("");
}
setInterval(tellNumbers, 500);
setInterval(summarize, 4_000);
requestAnimationFrame(frame);

/** For the console, and the tests. */
globalThis.game = { pilot, timeline, names, rules, controls, get rtt() { return rtt; }, get me() { return me; } };
