// What is drawn: faces, lines, and the list of them that a room has. Text of others only ever becomes textContent.

export function element(tag, properties, children = []) {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...children);
  return e;
}

/** Gives e the first letter of a name, and a colour of its own. */
export function face(e, name) {
  let hash = 7;
  for (const c of name) hash = Math.imul(hash ^ c.codePointAt(), 0x9e3779b1) >>> 0;
  e.style.setProperty("--hue", hash % 24 * 15);
  e.dataset.letter = ([...name][0] ?? "").toUpperCase();
  return e;
}

export const avatar = name => face(element("span", { className: "avatar", ariaHidden: "true" }), name);

export const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

/** Names as one says them: "Ada", "Ada and Bob", "Ada, Bob and 2 others". */
export function list(names) {
  if (names.length < 3) return names.join(" and ");
  return `${names.slice(0, 2).join(", ")} and ${plural(names.length - 2, "other", "others")}`;
}

const clock = at => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const dayOf = at => new Date(at).toDateString();

function dayName(at) {
  const days = Math.round((new Date(dayOf(Date.now())) - new Date(dayOf(at))) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return new Date(at).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}

const gather = 5 * 60_000; // lines of one person that follow within this time share a head
const most = 1000; // lines that are kept

/** The lines of a room, in their order. Those of our own that the hub has not confirmed stand at the end. */
export class Lines {
  list = element("ol", { className: "lines", role: "list" });
  #byID = new Map();
  #mark = element("li", { className: "mark" }, [element("span", { textContent: "New" })]);

  has(id) { return this.#byID.has(id); }

  /** Adds what somebody said, or makes definite a line that was pending. */
  add({ id, from, text, at }, li = this.#line(from, text)) {
    li.classList.remove("pending", "failed");
    li.querySelector(".why")?.remove();
    this.#byID.set(id, li);
    this.#place(li, from, at);
    while (this.list.children.length > most) this.#forget(this.list.firstElementChild);
    this.#group(this.list.firstElementChild);
    return li;
  }

  /** Adds a line of our own at the end, until the hub confirms it. */
  pend(from, text) {
    const li = this.#line(from, text);
    li.classList.add("pending");
    this.#place(li, from, Date.now());
    return li;
  }

  /** Says why a line was not sent, and offers to try it again. */
  fail(li, why, again) {
    li.classList.replace("pending", "failed");
    const retry = element("button", { className: "link", type: "button", textContent: "Try again", onclick: again });
    li.append(element("p", { className: "why" }, [why, " ", retry]));
  }

  /** Says something about the place, and returns the element that does. */
  note(text) {
    const span = element("span", { textContent: text });
    this.#place(element("li", { className: "note" }, [span]));
    return span;
  }

  /** What stands from li on is new to the reader. */
  mark(li) {
    li.before(this.#mark);
    this.#group(li);
  }

  unmark() {
    const next = this.#mark.nextElementSibling;
    this.#mark.remove();
    this.#group(next);
  }

  /** Scrolls to where the reader left off; to the end if nothing is marked. */
  reveal(log) {
    if (this.#mark.isConnected) this.#mark.scrollIntoView({ block: "start" });
    else log.scrollTop = log.scrollHeight;
  }

  remove(li) {
    const next = li.nextElementSibling;
    li.remove();
    this.#group(next);
  }

  #line(from, text) {
    const head = [element("bdi", { className: "who", textContent: from }), element("time")];
    const li = element("li", { className: "line" }, [
      avatar(from), element("p", { className: "head" }, head), element("p", { className: "text", dir: "auto", textContent: text }),
    ]);
    li.style.setProperty("--hue", li.firstElementChild.style.getPropertyValue("--hue"));
    return li;
  }

  #place(li, from, at) {
    const pending = li.classList.contains("pending");
    const before = pending ? null : this.list.querySelector(".pending, .failed");
    if (!li.isConnected || li.nextElementSibling !== before) this.list.insertBefore(li, before);
    if (from) {
      Object.assign(li, { from, at });
      const time = li.querySelector("time");
      time.dateTime = new Date(at).toISOString();
      time.textContent = clock(at);
      time.title = new Date(at).toLocaleString();
      if (!pending) this.#day(li);
    }
    this.#group(li);
    this.#group(li.nextElementSibling);
  }

  /** Puts the day above the first line of it. */
  #day(li) {
    let before = li.previousElementSibling;
    while (before && !before.at) before = before.previousElementSibling;
    if (before && dayOf(before.at) === dayOf(li.at)) return;
    li.before(element("li", { className: "day", at: li.at }, [element("span", { textContent: dayName(li.at) })]));
  }

  #group(li) {
    const before = li?.previousElementSibling;
    li?.classList.toggle("more", !!li.from && li.from === before?.from && li.at - before.at < gather);
  }

  #forget(li) {
    li.remove();
    for (const [id, l] of this.#byID) if (l === li) return this.#byID.delete(id); // the oldest is the first
  }
}
