// The dashboard. What it wants of the hub is in start(): whatever arrives is only noted there. One loop draws, once a frame.
import { connect } from "/hotline.js";
import { Charts, Scores, Wall, age } from "./draw.js";

const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), e => [e.id, e]));
const wall = new Wall(ui.prices), scores = new Scores(ui.games), charts = new Charts(ui.charts);

/** The prices that are shown, by symbol. */
export const prices = wall.prices;

let hub, market = { open: true, at: 0 };
let received = 0, conflated = 0; // values since the last count

function start() {
  hub?.close();
  const h = hub = connect(new URL(ui.slow.checked ? "ws?slow" : "ws", location));
  hub.latest("dashboard.price.*").addEventListener("change", e => priced(e.message));
  hub.latest("dashboard.game.*").addEventListener("change", e => scores.set(e.message.topic, e.message.data));
  hub.latest("dashboard.hub").addEventListener("change", e => e.message.data && charts.add(e.message.data));
  hub.latest("dashboard.market").addEventListener("change", e => e.message.data && opened(e.message.data));
  hub.addEventListener("state", () => { if (h === hub) connected(); });
  connected();
}

/** A price: 20 bytes, see appendPrice in market.go. */
function priced({ topic, data }) {
  if (data === null) return;
  const v = new DataView(data.buffer, data.byteOffset), tick = v.getUint32(8);
  const before = wall.set(topic.slice(topic.lastIndexOf(".") + 1), v.getFloat64(0), tick, v.getUint32(12), v.getUint32(16));
  received++;
  if (before && tick > before) conflated += tick - before - 1; // a newer one came instead
}

function opened(m) {
  market = m;
  ui.bell.textContent = m.open ? "Close market" : "Open market";
  ui.bell.disabled = hub.state !== "open";
}

function connected() {
  document.body.dataset.state = hub.state;
  ui.live.textContent = { connecting: "Connecting…", open: "Live", closed: "Closed" }[hub.state];
  ui.bell.disabled = hub.state !== "open";
  if (hub.state === "open") setClock();
}

// The server's clock, by which prices are made, against ours. The answer that took least says it best.

let offset = 0;

async function setClock() {
  let least = Infinity;
  for (let i = 0; i < 4; i++) {
    const sent = Date.now();
    try {
      const now = Number(await (await fetch("now")).text()), took = Date.now() - sent;
      if (now > 0 && took < least) [least, offset] = [took, now + took / 2 - Date.now()];
    } catch {
      return; // the connection is gone again
    }
  }
}

// What is said in words, four times a second.

let counted = performance.now(), frames = 0;
const rates = { received: [], conflated: [], fps: [] }; // of the last two seconds

function count(now) {
  const seconds = (now - counted) / 1000;
  counted = now;
  for (const [name, n] of Object.entries({ received, conflated, fps: frames })) {
    rates[name].push(n / seconds);
    if (rates[name].length > 8) rates[name].shift();
    write(ui[name], Math.round(rates[name].reduce((a, b) => a + b) / rates[name].length).toLocaleString());
  }
  received = conflated = frames = 0;
  const at = market.open ? Date.now() + offset : market.at;
  const ages = Array.from(prices.values(), p => Math.max(at - p.at, 0)).sort((a, b) => a - b);
  write(ui.age, ages.length ? `${age(ages[ages.length >> 1])} old` : "–");
  write(ui.oldest, ages.length ? age(ages.at(-1)) : "–");
  let sum = 0;
  for (const p of prices.values()) sum += p.cents;
  write(ui.average, prices.size ? (sum / prices.size / 100).toFixed(4) : "–");
  const p = prices.get(ui.symbol.value);
  write(ui.followed, p ? `${(p.cents / 100).toFixed(2)}  ${percent(p)}` : "");
  if (ui.symbol.options.length !== prices.size + 1) listSymbols();
  write(ui.says, words(ages.at(-1) ?? 0)); // 0: all are of the moment when the market was closed
}

const percent = ({ cents, open }) => `${cents < open ? "−" : "+"}${Math.abs((cents / open - 1) * 100).toFixed(2)} %`;

function words(oldest) {
  if (hub.state !== "open") return "The prices are those that were last received.";
  if (!market.open) return oldest === 0 ? "The market is closed. These are the last prices, as on every other page." : "The market is closed. The last prices are on their way.";
  if (ui.slow.checked) return "This page can’t be sent all values: it is sent the newest of each price, and the hub queues none of the others.";
  return "";
}

const write = (e, text) => { if (e.textContent !== text) e.textContent = text; };

function listSymbols() {
  const chosen = ui.symbol.value;
  const names = Array.from(prices.keys()).sort();
  ui.symbol.replaceChildren(ui.symbol.options[0], ...names.map(name => new Option(name, name, false, name === chosen)));
}

function frame(now) {
  requestAnimationFrame(frame);
  frames++;
  if (now - counted >= 250) count(now);
  scores.draw();
  charts.draw();
  wall.draw(now);
}

ui.slow.checked = location.hash === "#slow"; // a reload keeps it, and a link can say it
ui.slow.addEventListener("change", () => {
  history.replaceState(null, "", ui.slow.checked ? "#slow" : location.pathname);
  start();
});
ui.bell.addEventListener("click", () => {
  ui.bell.disabled = true; // until the market says so
  hub.publish("dashboard.bell", !market.open).catch(() => { ui.bell.disabled = false; });
});
ui.symbol.addEventListener("change", () => wall.follow(ui.symbol.value));
ui.prices.addEventListener("click", e => {
  ui.symbol.value = wall.at(e.offsetX, e.offsetY) ?? "";
  wall.follow(ui.symbol.value);
});

start();
requestAnimationFrame(frame);
