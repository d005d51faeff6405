// The staff's page: the orders of all customers, as they are now, and who of them has the shop open.
import { connect } from "/hotline.js";
import { element, follow, picture, quietly, steps, toast, ui, unescape } from "./view.js";

const hub = connect(new URL("ws", location));
const orders = hub.latest("notifications.user.*.order.*");
const online = hub.latest("notifications.online.*");

follow(hub);
for (const all of [orders, online]) all.addEventListener("change", draw);
quietly(form => {
  if (form !== ui.news) return;
  form.elements.key.value = `${Date.now()} ${Math.random()}`; // the next one is another
  ui.text.value = "";
  toast("", [element("p", { textContent: "Everybody is told." })]);
});

const does = { received: "Pack", packed: "Ship", shipped: "Deliver" };
const rows = new Map(); // by order: what is shown, and how it came about
let drawing = 0;

function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    const here = new Set(Array.from(online.keys(), topic => unescape(topic.split(".").at(-1))));
    const all = Array.from(orders.values(), m => m.data);
    all.sort((a, b) => (a.step === "delivered") - (b.step === "delivered") || b.id - a.id);
    const shown = all.map(o => {
      const now = JSON.stringify([o, here.has(o.user)]);
      if (rows.get(o.id)?.now !== now) rows.set(o.id, { now, tr: row(o, here.has(o.user)) });
      return rows.get(o.id).tr;
    });
    const focused = document.activeElement, id = focused?.closest("tr")?.id;
    if (shown.some((tr, i) => ui.orders.children[i] !== tr) || shown.length !== ui.orders.childElementCount) {
      ui.orders.replaceChildren(...shown);
    }
    if (id && document.activeElement !== focused) document.getElementById(id)?.querySelector("button")?.focus();
  });
}

function row(o, here) {
  const at = steps.indexOf(o.step);
  const next = does[o.step] && element("form", { method: "post", action: "step" }, [
    element("input", { type: "hidden", name: "id", value: o.id }),
    element("input", { type: "hidden", name: "from", value: o.step }),
    element("button", { className: "do", textContent: does[o.step], ariaLabel: `${does[o.step]} order ${o.id}` }),
  ]);
  return element("tr", { id: `order-${o.id}`, className: o.step }, [
    element("td", {}, [element("div", { className: "what" }, [picture(o.item), element("span", {}, [o.name, element("small", { textContent: `Order ${o.id}` })])])]),
    element("td", {}, [element("span", { className: here ? "person-here" : "person-away", textContent: o.user, title: here ? "is looking" : "is away" }),
      element("span", { className: "unseen", textContent: here ? " is looking" : " is away" })]),
    element("td", {}, [o.step, element("div", { className: "steps", ariaHidden: "true" }, steps.map((_, i) => element("i", { className: i <= at ? "done" : "" })))]),
    element("td", {}, next ? [next] : []),
  ]);
}
