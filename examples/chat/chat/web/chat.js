// The page of the chat. What it wants of the hub is in join(), Room, enter() and say(); how it looks is in view.js.
import { connect, escape } from "/hotline.js";
import { avatar, element, face, Lines, list, plural } from "./view.js";

const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), e => [e.id, e]));
const unescape = s => s === "%" ? "" : s.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
const clean = s => s.trim().replace(/[\ud800-\udfff]/gu, ""); // half a character can't travel
const roomInURL = () => { try { return clean(decodeURIComponent(location.hash.slice(1)).slice(0, 40)); } catch { return ""; } };
const reasonOf = error => error.message.replace(/^hotline: [a-z ]+: /, "");
const quietly = () => {}; // Presence: published again after a reconnect, refused for reasons that the log shows, too

let hub, everyone; // the connection, and who is where
let me, room, left; // left ends what belongs to the room that is shown
const rooms = new Map(); // where we have been, by name, the latest last: what is said there is still heard
const mostRooms = 20;
const longest = 2000; // characters of a message

/** Connects under a name. The chat appears once the hub has welcomed us, or the reason why it will not. */
function join(name) {
  const before = hub, h = hub = connect(new URL("ws", location), { token: () => name });
  before?.close();
  me = name;
  h.addEventListener("state", () => {
    if (h !== hub) return;
    if (h.state === "closed") turnedAway(h.error);
    else connected(h.state === "open");
  });
  refuse("");
  setTimeout(() => { if (h === hub && h.state === "connecting" && !room) refuse("The server does not answer. Trying again…"); }, 3_000);
  everyone = hub.latest("chat.*.here.*");
  everyone.addEventListener("change", drawSide);
}

/** A room that we have been in: it goes on listening, so that coming back shows what was said meanwhile. */
class Room {
  unread = 0;
  draft = "";
  following = true; // its end is shown, and what comes next will be
  top = 0; // else: how far it is scrolled
  caughtUp = false; // from here on what is said is news
  newest; // the number of what was said last, and the counter's run
  gap; // a note of what we have missed since, until we know how much it was
  sent = new Map(); // our lines that have not come back from the hub, by line: their ids, once known

  constructor(name) {
    Object.assign(this, { name, topic: escape(name), lines: new Lines() });
    this.#listen();
  }

  #listen() {
    this.said = hub.subscribe(`chat.${this.topic}`, { replay: 50 });
    this.said.addEventListener("message", e => this.#hear(e.message));
    this.said.addEventListener("gap", e => this.#missed(e));
    this.said.addEventListener("error", e => this.#note(reasonOf(e.error)));
    this.said.ready.catch(quietly).then(() => {
      this.caughtUp = true;
      if (this === room) ui.log.ariaBusy = "false";
    });
  }

  #hear({ id, from, data: { text, at, run, n } }) {
    if (this.lines.has(id)) return; // we have listened anew
    if (this.gap && run === this.newest?.run) {
      const missed = n - this.newest.n - 1;
      if (missed > 0) this.gap.textContent = `You missed ${plural(missed, "message", "messages")} here`;
      else this.gap.parentNode.remove(); // all of it was of other rooms
    }
    this.gap = undefined;
    this.newest = { run, n };
    const seen = this === room && !document.hidden && atEnd();
    const [ours] = Array.from(this.sent).find(([, known]) => known === id) ?? [];
    this.sent.delete(ours);
    keepingEnd(this, () => {
      const li = this.lines.add({ id, from, text, at }, ours);
      if (!this.caughtUp || from === me || seen) return;
      if (this.unread++ === 0) this.lines.mark(li);
    });
    if (this === room) stoppedTyping(from);
    drawUnread();
  }

  #missed({ cause }) {
    const restart = cause === "restart";
    this.gap ??= this.#note(`${restart ? "The server was restarted: you" : "You"} may have missed messages here`);
    if (!restart) return;
    this.said.close(); // it goes on with what is new, since it doesn't know where we were: ask for what was said until now
    this.#listen();
  }

  #note(text) {
    let note;
    keepingEnd(this, () => { note = this.lines.note(text); });
    return note;
  }

  /** Says something: the line shows at once, and is pending until the hub has it. */
  say(text) {
    this.lines.unmark();
    const li = this.lines.pend(me, text);
    this.sent.set(li, null);
    hub.publish(`chat.${this.topic}`, text).then(id => {
      li.classList.remove("pending");
      if (this.lines.has(id)) this.lines.remove(li), this.sent.delete(li); // the message itself was faster
      else if (this.sent.has(li)) this.sent.set(li, id);
    }, error => {
      this.sent.delete(li);
      const why = error.code === "uncertain" ? "Maybe not sent:" : "Not sent:";
      keepingEnd(this, () => this.lines.fail(li, `${why} ${reasonOf(error)}.`, () => {
        this.lines.remove(li);
        this.say(text);
      }));
    });
    if (this === room) toEnd();
  }
}

/** Shows a room, and says that we are in it until we leave it, or are gone for a while. */
function enter(name) {
  left?.abort();
  if (room) Object.assign(room, { draft: ui.text.value, top: ui.log.scrollTop });
  room = rooms.get(name) ?? new Room(name);
  rooms.delete(name); // to be the latest
  rooms.set(name, room);
  if (rooms.size > mostRooms) forget(rooms.values().next().value);

  const { signal } = left = new AbortController(), mine = `chat.${room.topic}.here.${escape(me)}`;
  hub.subscribe(`chat.${room.topic}.typing`, { signal }).addEventListener("message", e => startedTyping(e.message.from));
  hub.publish(mine, {}).catch(quietly);
  signal.addEventListener("abort", () => hub.publish(mine, null).catch(quietly));
  drawRoom();
}

function forget(r) {
  r.said.close();
  rooms.delete(r.name);
}

// The connection.

let wasDown = false, bannerTimer;

function connected(open) {
  document.body.dataset.state = hub.state;
  clearTimeout(bannerTimer);
  if (open && ui.chat.hidden) {
    show(ui.chat);
    ui.banner.textContent = "";
    enter(ui.room.value);
    ui.text.focus();
  } else if (open && wasDown) {
    ui.banner.textContent = "You are back";
    bannerTimer = setTimeout(() => { ui.banner.textContent = ""; }, 2_500);
  } else if (!open) {
    ui.banner.textContent = "Reconnecting… Your messages wait";
  }
  wasDown = !open;
}

function turnedAway(error) {
  hub = room = left = undefined;
  wasDown = false;
  rooms.clear();
  document.body.dataset.state = "closed";
  ui.banner.textContent = ui.text.value = "";
  document.title = "hotline chat";
  show(ui.door);
  refuse(error.closeCode === 0 ? "" : `You can’t come in: ${reasonOf(error)}.`);
  ui.name.focus();
  sessionStorage.removeItem("chatName");
}

function refuse(why) {
  ui.refused.hidden = !why;
  ui.refused.textContent = why;
}

function show(part) {
  for (const p of [ui.door, ui.chat]) p.hidden = p !== part;
}

// The room.

function drawRoom() {
  ui.title.replaceChildren(element("bdi", { textContent: room.name }));
  ui.log.ariaBusy = "true"; // a screen reader need not read out the past
  requestAnimationFrame(() => { ui.log.ariaBusy = String(!room?.caughtUp); });
  ui.log.replaceChildren(room.lines.list);
  if (room.unread > 0) room.lines.reveal(ui.log);
  else ui.log.scrollTop = room.following ? ui.log.scrollHeight : room.top;
  for (const name of typists.keys()) stoppedTyping(name);
  ui.text.value = room.draft;
  ui.text.placeholder = `Message #${room.name}`;
  typed = 0;
  openMenu(false);
  fit();
  scrolled();
  drawUnread();
}

const atEnd = () => ui.log.scrollHeight - ui.log.scrollTop - ui.log.clientHeight < 48;
const toEnd = () => { ui.log.scrollTop = ui.log.scrollHeight; scrolled(); };

/** Changes the lines of a room: who reads its end goes on reading its end. */
function keepingEnd(r, change) {
  const follow = r === room && atEnd();
  change();
  if (follow) ui.log.scrollTop = ui.log.scrollHeight;
}

/** Has all been read? */
function scrolled() {
  if (!room) return;
  room.following = atEnd();
  if (room.following && !document.hidden && room.unread > 0) {
    room.unread = 0;
    drawUnread();
  }
  ui.newer.hidden = room.unread === 0 || room.following;
}

function drawUnread() {
  ui.newer.textContent = `${plural(room.unread, "new message", "new messages")} ↓`;
  ui.newer.hidden = room.unread === 0 || atEnd();
  const all = Array.from(rooms.values(), r => r.unread).reduce((a, b) => a + b, 0);
  document.title = `${all > 0 ? `(${all}) ` : ""}${room.name} · hotline chat`;
  ui.menu.classList.toggle("unread", all > room.unread);
  drawSide();
}

// Who is where.

let drawing = 0;

function drawSide() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    if (!room) return;
    const where = new Map(Array.from(rooms.keys(), name => [name, []])); // who is in each room
    for (const { topic, from } of everyone.values()) {
      const name = unescape(topic.split(".")[1]);
      if (!where.has(name)) where.set(name, []);
      where.get(name).push(from);
    }
    const people = where.get(room.name).sort((a, b) => a.localeCompare(b));
    redraw(ui.people, people, name => element("li", { className: name === me ? "me" : "" },
      [avatar(name), element("bdi", { textContent: name, title: name })]));
    redraw(ui.faces, people.slice(0, 4), avatar);
    ui.count.textContent = `${people.length} here`;
    const links = [...where].sort(([a], [b]) => a.localeCompare(b))
      .map(([name, { length }]) => ({ name, here: length, unread: rooms.get(name)?.unread ?? 0, current: name === room.name }));
    redraw(ui.rooms, links, link);
  });
}

/** Makes children of what is shown, unless it is what was shown before: somebody may be about to click on it. */
function redraw(parent, shown, make) {
  const now = JSON.stringify([me, shown]);
  if (parent.shown === now) return;
  parent.shown = now;
  const focused = parent.contains(document.activeElement) && document.activeElement.hash;
  parent.replaceChildren(...shown.map(make));
  if (focused) parent.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function link({ name, here, unread, current }) {
  const a = element("a", { href: "#" + encodeURIComponent(name) }, [element("bdi", { textContent: name, title: name })]);
  if (current) a.ariaCurrent = "page";
  if (unread > 0) a.append(element("span", { className: "badge", textContent: unread }, [unseen(" unread")]));
  else if (here > 0) a.append(element("span", { className: "count", textContent: here }, [unseen(" here")]));
  return element("li", {}, [a]);
}

const unseen = textContent => element("span", { className: "unseen", textContent });

// Who is typing.

const typists = new Map(); // names, and the timers that forget them
let typed = 0; // when we last told

function startedTyping(name) {
  if (name === me) return;
  clearTimeout(typists.get(name));
  typists.set(name, setTimeout(stoppedTyping, 4_000, name));
  drawTyping();
}

function stoppedTyping(name) {
  clearTimeout(typists.get(name));
  if (typists.delete(name)) drawTyping();
}

function drawTyping() {
  const names = [...typists.keys()];
  ui.typing.textContent = names.length === 0 ? "" : `${list(names)} ${names.length === 1 ? "is" : "are"} typing`;
}

// What the visitor does.

/** Makes the field as high as its text, and counts once that gets long. */
function fit() {
  ui.text.style.height = "auto";
  ui.text.style.height = `${ui.text.scrollHeight}px`;
  const more = longest - [...ui.text.value].length;
  ui.limit.textContent = more < 200 ? more : "";
  ui.limit.classList.toggle("over", more < 0);
  ui.text.ariaInvalid = String(more < 0);
  ui.say.querySelector("button").disabled = more < 0 || !ui.text.value.trim();
}

function openMenu(open) {
  ui.chat.classList.toggle("menu", open);
  ui.menu.ariaExpanded = String(open);
  ui.main.inert = open;
  if (open) ui.rooms.querySelector("[aria-current]")?.focus();
}

ui.name.addEventListener("input", () => face(ui.face, ui.name.value.trim()));
ui.join.addEventListener("submit", e => {
  e.preventDefault();
  const name = ui.name.value = clean(ui.name.value);
  ui.room.value = clean(ui.room.value) || "lobby";
  sessionStorage.chatName = name;
  location.hash = encodeURIComponent(ui.room.value);
  face(ui["self-face"], name);
  ui["self-name"].textContent = name;
  join(name);
});
ui.enter.disabled = false; // before this the browser would submit the form by itself, and load the page again
ui.say.addEventListener("submit", e => {
  e.preventDefault();
  const text = clean(ui.text.value);
  if (!text || [...text].length > longest) return;
  ui.text.value = "";
  typed = 0;
  fit();
  room.say(text);
  ui.text.focus();
});
ui.text.addEventListener("keydown", e => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing || e.keyCode === 229) return; // 229: Safari, choosing a character
  e.preventDefault();
  ui.say.requestSubmit();
});
ui.text.addEventListener("input", () => {
  fit();
  if (ui.text.value && Date.now() - typed > 2_000 && hub.signal(`chat.${room.topic}.typing`, true)) typed = Date.now();
});
ui.go.addEventListener("submit", e => {
  e.preventDefault();
  location.hash = encodeURIComponent(clean(ui.other.value));
  ui.go.reset();
});
addEventListener("hashchange", () => {
  const name = roomInURL();
  if (!name) return;
  if (!room) ui.room.value = name;
  else if (name !== room.name) enter(name), ui.text.focus();
  else openMenu(false);
});
addEventListener("keydown", e => {
  if (e.key !== "Escape" || !ui.main.inert) return;
  openMenu(false);
  ui.menu.focus();
});
ui.leave.addEventListener("click", () => { left.abort(); hub.close(); });
ui.rooms.addEventListener("click", () => openMenu(false));
matchMedia("(max-width: 48rem)").addEventListener("change", () => openMenu(false));
ui.menu.addEventListener("click", () => openMenu(true));
ui.shade.addEventListener("click", () => openMenu(false));
ui.newer.addEventListener("click", toEnd);
ui.log.addEventListener("scroll", scrolled);
new ResizeObserver(() => { if (room?.following) toEnd(); }).observe(ui.log);
document.addEventListener("visibilitychange", scrolled);

ui.name.value = sessionStorage.chatName ?? ui.name.value; // somebody may type already
ui.room.value = roomInURL() || "lobby";
face(ui.face, ui.name.value);
if (sessionStorage.chatName && roomInURL()) ui.join.requestSubmit(); // a reload
