// The page of the chat. What it wants of the hub is in join() and enter(); the rest draws.
import { connect, escape } from "./hotline.js";

const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), e => [e.id, e]));
const unescape = s => s === "%" ? "" : s.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
const roomInURL = () => { try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; } };
const reasonOf = error => error.message.replace(/^hotline: [a-z ]+: /, "");

let hub, everyone; // the connection, and who is where
let me, room, left; // left ends what belongs to the room
let drawing = 0; // the people are about to be drawn

/** Connects under a name. The chat appears once the hub has welcomed us, or the reason why it will not. */
function join(name) {
  me = name;
  ui.refused.hidden = true;
  ui.join.querySelector("button").disabled = true;
  hub = connect("/ws", { token: () => me });
  hub.addEventListener("state", () => hub.state === "closed" ? turnedAway(hub.error) : connected());
  everyone = hub.latest("here.*.*");
  everyone.addEventListener("change", () => { drawing ||= requestAnimationFrame(drawPeople); });
}

/** Enters a room: says that we are here, and listens until we leave it. */
function enter(name) {
  left?.abort();
  const { signal } = left = new AbortController();
  const r = escape(room = name), mine = `here.${r}.${escape(me)}`;
  const said = hub.subscribe(`chat.${r}`, { replay: 50, signal });
  const typing = hub.subscribe(`typing.${r}`, { signal });
  const quietly = () => {}; // it is published again after a reconnect, and refused for reasons that the log shows, too

  clearRoom();
  said.addEventListener("message", e => drawLine(e.message));
  said.addEventListener("gap", e => drawNote(e.missed ? `You missed ${e.missed} message${e.missed > 1 ? "s" : ""} here.`
    : "You may have missed messages here."));
  said.addEventListener("error", e => drawNote(reasonOf(e.error)));
  said.ready.finally(() => { ui.log.ariaBusy = "false"; }).catch(quietly); // a screen reader need not read out the past
  typing.addEventListener("message", e => drawTyping(e.message.from));
  hub.publish(mine, {}).catch(quietly); // until we leave, or are gone for a while
  signal.addEventListener("abort", () => hub.publish(mine, null).catch(quietly));
  drawPeople();
}

/** Says something: the line shows at once, and is pending until it comes back from the hub. */
function say(text) {
  const li = drawLine({ from: me, data: { text } }, true);
  hub.publish(`chat.${escape(room)}`, text).catch(error => {
    li.className = "failed";
    li.append(element("p", { className: "why", textContent: `Not sent: ${reasonOf(error)}` }));
  });
}

// ---- the connection

function connected() {
  const open = hub.state === "open";
  document.body.dataset.state = hub.state;
  if (open && ui.chat.hidden) {
    show(ui.chat);
    enter(room);
    ui.text.focus();
  }
  ui.banner.hidden = open;
  ui.banner.textContent = open ? "" : "Connection lost. Reconnecting… What you write is sent then.";
}

function turnedAway(error) {
  document.body.dataset.state = "closed";
  left = undefined;
  ui.banner.hidden = true;
  ui.join.querySelector("button").disabled = false;
  show(ui.door);
  ui.refused.hidden = error.closeCode === undefined;
  ui.refused.textContent = `The server says: ${reasonOf(error)}`;
  ui.name.focus();
  sessionStorage.removeItem("name");
}

function show(part) {
  for (const p of [ui.door, ui.chat]) p.hidden = p !== part;
}

// ---- who is here

function drawPeople() {
  drawing = 0;
  const rooms = new Map([[room, []]]);
  for (const { topic, from } of everyone.values()) {
    const name = unescape(topic.split(".")[1]);
    if (!rooms.has(name)) rooms.set(name, []);
    rooms.get(name).push(from);
  }
  const people = rooms.get(room).sort((a, b) => a.localeCompare(b));
  ui.people.replaceChildren(...people.map(name =>
    element("li", { className: name === me ? "me" : "" }, [avatar(name), element("bdi", { textContent: name })])));
  ui.rooms.replaceChildren(...[...rooms].sort(([a], [b]) => a.localeCompare(b)).map(([name, { length }]) => {
    const a = element("a", { href: "#" + encodeURIComponent(name) }, [element("bdi", { textContent: name })]);
    if (name === room) a.ariaCurrent = "page";
    if (length > 0) a.append(element("span", { textContent: length, className: "count", title: `${length} here` }));
    return element("li", {}, [a]);
  }));
  ui.count.textContent = `${people.length} here`;
}

// ---- what is said

const gather = 5 * 60_000; // lines of one person that follow within this time share a head
const most = 1000; // lines that the page keeps
let unread = 0;

function clearRoom() {
  ui.lines.replaceChildren();
  ui.log.ariaBusy = "true";
  ui.title.replaceChildren(element("bdi", { textContent: room }));
  document.title = `${room} · hotline chat`;
  ui.typing.textContent = "";
  typists.clear();
  toggleMenu(false);
  unread = 0;
  ui.newer.hidden = true;
}

/** Draws a line, or, if it is our own and was drawn while pending, makes that one definite. */
function drawLine({ from, data: { text, at }, replayed }, pending) {
  const mine = from === me && ui.lines.querySelectorAll("li.pending");
  let li = !pending && mine && [...mine].find(li => li.text === text);
  if (!li) {
    li = element("li", { text }, [
      avatar(from),
      element("p", { className: "head" }, [element("bdi", { className: "who", textContent: from }), element("time")]),
      element("p", { className: "text", dir: "auto", textContent: text }),
    ]);
  }
  li.classList.toggle("pending", !!pending);
  Object.assign(li, { from, at: at ?? Date.now() });
  const when = new Date(li.at), time = li.querySelector("time");
  time.dateTime = when.toISOString();
  time.textContent = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  time.title = when.toLocaleString();
  add(li, pending);
  stoppedTyping(from);
  if (document.hidden && !replayed && from !== me) document.title = `(${++unread}) ${room} · hotline chat`;
  return li;
}

function drawNote(text) {
  add(element("li", { className: "note", textContent: text }));
}

/** Adds a line at the end, before those that are pending, and stays at the bottom if that is where we are. */
function add(li, pending) {
  const bottom = atBottom();
  const before = pending ? null : ui.lines.querySelector("li.pending");
  if (!li.isConnected || li.nextElementSibling !== before) ui.lines.insertBefore(li, before);
  for (const l of [li, li.nextElementSibling]) {
    const p = l?.previousElementSibling;
    l?.classList.toggle("more", !!l.from && l.from === p?.from && l.at - p.at < gather);
  }
  while (ui.lines.children.length > most) ui.lines.firstElementChild.remove();
  ui.lines.firstElementChild.classList.remove("more");
  if (bottom || pending) toBottom();
  else ui.newer.hidden = false;
}

const atBottom = () => ui.log.scrollHeight - ui.log.scrollTop - ui.log.clientHeight < 80;
const toBottom = () => { ui.log.scrollTop = ui.log.scrollHeight; };

// ---- who is typing

const typists = new Map(); // names, and the timers that forget them
let typed = 0; // when we last told

function drawTyping(name) {
  if (name === me) return;
  clearTimeout(typists.get(name));
  typists.set(name, setTimeout(stoppedTyping, 4_000, name));
  announceTyping();
}

function stoppedTyping(name) {
  clearTimeout(typists.get(name));
  if (typists.delete(name)) announceTyping();
}

function announceTyping() {
  const names = [...typists.keys()];
  ui.typing.textContent = names.length === 0 ? "" : names.length === 1 ? `${names[0]} is typing…`
    : names.length === 2 ? `${names[0]} and ${names[1]} are typing…` : "Several people are typing…";
}

// ---- small things

function element(tag, properties, children = []) {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...children);
  return e;
}

/** A disc with the first letter of a name, in a colour of its own. */
function avatar(name) {
  let hash = 0;
  for (const c of name) hash = hash * 31 + c.codePointAt() | 0;
  const e = element("span", { className: "avatar", ariaHidden: "true" });
  e.dataset.letter = [...name][0].toUpperCase();
  e.style.setProperty("--hue", Math.abs(hash * 137) % 360);
  return e;
}

function toggleMenu(open) {
  ui.chat.classList.toggle("menu", open);
  ui.menu.ariaExpanded = String(open);
}

function grow() { // the field is as high as its text
  ui.text.style.height = "auto";
  ui.text.style.height = `${ui.text.scrollHeight + ui.text.offsetHeight - ui.text.clientHeight}px`;
}

ui.join.addEventListener("submit", e => {
  e.preventDefault();
  sessionStorage.name = ui.name.value;
  location.hash = encodeURIComponent(room = ui.room.value);
  join(ui.name.value);
});
ui.say.addEventListener("submit", e => {
  e.preventDefault();
  const text = ui.text.value.trim();
  if (!text) return;
  say(text);
  ui.text.value = "";
  typed = 0;
  grow();
  ui.text.focus();
});
ui.text.addEventListener("keydown", e => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  ui.say.requestSubmit();
});
ui.text.addEventListener("input", () => {
  grow();
  if (ui.text.value && Date.now() - typed > 2_000 && hub.signal(`typing.${escape(room)}`, true)) typed = Date.now();
});
ui.go.addEventListener("submit", e => {
  e.preventDefault();
  location.hash = encodeURIComponent(ui.other.value);
  ui.go.reset();
});
addEventListener("hashchange", () => {
  const name = roomInURL();
  if (!name || name === room) return;
  if (ui.chat.hidden) ui.room.value = name;
  else enter(name);
});
ui.leave.addEventListener("click", () => { left.abort(); hub.close(); });
ui.menu.addEventListener("click", () => toggleMenu(!ui.chat.classList.contains("menu")));
ui.newer.addEventListener("click", toBottom);
ui.log.addEventListener("scroll", () => { if (atBottom()) ui.newer.hidden = true; });
document.addEventListener("visibilitychange", () => { unread = 0; if (room) document.title = `${room} · hotline chat`; });

ui.name.value = sessionStorage.name ?? "";
ui.room.value = roomInURL() || "lobby";
if (ui.name.value && roomInURL()) ui.join.requestSubmit(); // a reload
