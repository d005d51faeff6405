// A customer's page. What it wants of the hub is here at the top.
import { connect, HotlineError } from "/hotline.js";
import { element, follow, picture, post, quietly, steps, time, toast, ui } from "./view.js";

const me = document.body.dataset.user; // a word: there is nothing to escape
const hub = connect(new URL("ws", location));
const orders = hub.latest(`notifications.user.${me}.order.*`);
const unread = hub.latest(`notifications.user.${me}.unread`);
const notes = hub.subscribe(`notifications.user.${me}.notes`, { resync: catchUp });
const news = hub.subscribe("notifications.news", { after: localStorage[`news of ${me}`], replay: 1 });

follow(hub);
quietly();
orders.addEventListener("change", drawOrders);
unread.addEventListener("change", e => drawUnread(e.message.data));
notes.addEventListener("message", e => noted(e.message.data));
news.addEventListener("message", ({ message: { id, data } }) => {
  localStorage[`news of ${me}`] = id; // where this browser goes on another time
  toast("news", [element("p", {}, [element("strong", { textContent: "News " }), data.text])], 15_000);
});

/**
 * What has happened until now, at the start and whenever the hub can't know what we have missed: after a restart, after a
 * very long time. The position that it returns is where the stream goes on.
 */
async function catchUp() {
  const answer = await fetch("notes");
  if (answer.status === 401) throw new HotlineError("denied", "log in first");
  if (!answer.ok) throw new Error(await answer.text()); // tried again
  const { position, notes: all } = await answer.json();
  const missed = all.filter(n => n.new && !known.has(n.n));
  for (const n of all) add(n);
  if (missed.length === 1) tell(missed[0]);
  else if (missed.length > 1) toast("", [element("p", { textContent: `${missed.length} things happened while you were away.` })]);
  return position;
}

// Notes.

const known = new Map(); // by number
let last = 0; // note

const said = {
  received: n => `We have your order: ${n.name.toLowerCase()}.`,
  packed: n => `Your ${n.name.toLowerCase()} is packed.`,
  shipped: n => `Your ${n.name.toLowerCase()} is on its way.`,
  delivered: n => `Your ${n.name.toLowerCase()} has arrived.`,
};

function noted(n) {
  if (known.has(n.n)) return; // the snapshot has it, too
  add({ ...n, new: true });
  tell(n);
}

function add(n) {
  if (known.has(n.n)) return;
  const li = element("li", { className: n.new ? "new" : "" }, [
    picture(n.item),
    element("p", {}, [said[n.step](n), element("small", {}, [`Order ${n.order} · `, time(n.at)])]),
  ]);
  known.set(n.n, li);
  last = Math.max(last, n.n);
  ui.notes.prepend(li);
  if (ui.notes.childElementCount > 50) ui.notes.lastElementChild.remove();
  ui.none.hidden = true;
  if (reading()) read();
}

const reading = () => ui.panel.matches(":popover-open") && !document.hidden;

function tell(n) {
  if (reading()) return; // it is in the list
  toast("", [picture(n.item), element("p", {}, [said[n.step](n), element("small", { textContent: `Order ${n.order}` })])]);
}

/** All that is shown is read: the hub tells the other devices, and this one. */
function read() {
  post("read", { n: last }).catch(() => {}); // the badge stays, and the next look reads
}

function drawUnread(n) {
  ui.badge.textContent = n;
  ui.badge.hidden = !n;
  ui.bell.ariaLabel = n ? `Notifications, ${n} unread` : "Notifications";
  document.title = n ? `(${n}) hotline shop` : "hotline shop";
  if (n === 0 && !ui.panel.matches(":popover-open")) for (const li of known.values()) li.classList.remove("new");
}

ui.panel.addEventListener("toggle", e => {
  if (reading()) {
    read();
    for (const toast of ui.toasts.querySelectorAll(".toast:not(.news)")) toast.remove(); // all of it is in the list
  }
  if (e.newState === "closed") for (const li of known.values()) li.classList.remove("new");
});
document.addEventListener("visibilitychange", () => { if (reading()) read(); });

// Orders.

let drawing = 0;

function drawOrders() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    const all = Array.from(orders.values(), m => m.data).sort((a, b) => b.id - a.id);
    ui.orders.replaceChildren(...all.map(o => {
      const at = steps.indexOf(o.step);
      return element("li", { className: "card" }, [
        picture(o.item),
        element("div", {}, [
          element("h3", { textContent: o.name }),
          element("p", { className: "hint" }, [`Order ${o.id} · ${o.step} `, time(o.at)]),
          element("div", { className: "steps", ariaHidden: "true" }, steps.map((_, i) => element("i", { className: i <= at ? "done" : "" }))),
        ]),
      ]);
    }));
  });
}
