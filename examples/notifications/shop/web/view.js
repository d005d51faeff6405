// What the two pages of the shop have in common: elements, times, toasts, forms that leave the page where it is.

export const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), e => [e.id, e]));
export const unescape = s => s === "%" ? "" : s.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
export const steps = ["received", "packed", "shipped", "delivered"];

export function element(tag, members = {}, children = []) {
  const e = Object.assign(document.createElement(tag), members);
  e.append(...children);
  return e;
}

export function picture(item) {
  const picture = element("span", { className: `picture ${item}` });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `goods.svg#${item}`);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.ariaHidden = "true";
  svg.append(use);
  picture.append(svg);
  return picture;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
export const time = at => element("time", { dateTime: new Date(at).toISOString(), textContent: clock.format(at) });

/** Says something in the corner, until it has been seen for a while: longer where somebody points at it. */
export function toast(kind, children, ms = 7_000) {
  const close = element("button", { className: "icon", ariaLabel: "Dismiss", textContent: "×" });
  const li = element("div", { className: `toast card ${kind}` }, [...children, close]);
  let timer;
  const gone = () => li.remove(), leave = () => { clearTimeout(timer); timer = setTimeout(gone, ms); };
  close.addEventListener("click", gone);
  for (const type of ["pointerenter", "focusin"]) li.addEventListener(type, () => clearTimeout(timer));
  for (const type of ["pointerleave", "focusout"]) li.addEventListener(type, leave);
  while (ui.toasts.childElementCount >= 3) ui.toasts.firstElementChild.remove();
  ui.toasts.append(li);
  leave();
}

/** Posts a form's data. The answer leads home, where we are already. */
export async function post(action, data) {
  const answer = await fetch(action, { method: "POST", body: new URLSearchParams(data), redirect: "manual" });
  if (answer.type !== "opaqueredirect") throw new Error((await answer.text()).trim());
}

/** Takes over the forms of the page, but for the one that logs out. */
export function quietly(done = () => {}) {
  document.addEventListener("submit", async e => {
    const form = e.target, button = e.submitter;
    if (form.getAttribute("action") === "logout") return;
    e.preventDefault();
    const data = new FormData(form, button);
    button.disabled = true;
    try {
      await post(form.getAttribute("action"), data);
      done(form);
    } catch (error) {
      toast("bad", [element("p", { textContent: error instanceof TypeError ? "The shop can’t be reached. Try again." : `Not done: ${error.message}.` })]);
    }
    button.disabled = false;
    if (document.activeElement === document.body) button.focus();
  });
}

/** Shows how the connection is. When it is over for good the page at this place says why: it asks for the login. */
export function follow(hub) {
  let was;
  const show = () => {
    document.body.dataset.state = hub.state;
    ui.live.textContent = { connecting: was ? "Reconnecting…" : "Connecting…", open: "Live", closed: "Logged out" }[hub.state];
    was ||= hub.state === "open";
    if (hub.state !== "closed") return;
    if (hub.error === null || [3500, 4500].includes(hub.error.closeCode)) location.replace("./");
    else ui.live.textContent = hub.error.message;
  };
  hub.addEventListener("state", show);
  show();
}
