// The figures of the hub: a State topic that has the newest of them, whenever we come.
import { connect } from "/hotline.js";

const hub = connect(new URL("ws", location));
const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), e => [e.id, e]));

hub.addEventListener("state", () => {
  document.body.dataset.state = hub.state;
  ui.state.textContent = hub.state === "open" ? "Live" : hub.state === "closed" ? "Closed" : "Reconnecting…";
});

hub.latest("home.now").addEventListener("change", ({ message: { data } }) => {
  if (data) draw(data);
});

/** A number as it is, but for those that nobody reads to the end. */
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const shown = n => n < 1e6 ? n.toLocaleString() : short.format(n);

function draw({ conns, sent, rates }) {
  ui.conns.textContent = shown(conns);
  ui.sent.textContent = shown(sent);
  ui.rate.textContent = shown(rates.at(-1));
  const top = Math.max(8, ...rates), step = 236 / (rates.length - 1);
  const points = rates.map((rate, i) => `${(i * step).toFixed(1)},${(61 - 57 * rate / top).toFixed(1)}`).join(" ");
  ui.line.setAttribute("points", points);
  ui.area.setAttribute("points", `0,64 ${points} 236,64`);
}
