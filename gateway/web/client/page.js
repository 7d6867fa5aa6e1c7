/** The few things that every part of the page does with elements. */

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Give a button icon, caption and tooltip. */
export function dress(button, icon, caption, tip = caption) {
  button.querySelector("use").setAttribute("href", `/static/icons.svg#${icon}`);
  button.querySelector("span").textContent = caption;
  if (button.hasAttribute("data-tip")) button.dataset.tip = tip;
}

/** Return an <svg> with one of our icons; hidden from assistive technology. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Return a new element with a class and a text. */
export function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** Show one of the page's views and put the focus where reading goes on. */
export function showView(name) {
  for (const id of ["join", "room", "end"]) byId(id).hidden = id !== name;
  document.documentElement.dataset.view = name;
}

/** Milliseconds that a notice stays; longer for what is wrong, which people have to act on. */
const NOTICE_TIME = 4500;
const ALERT_TIME = 9000;
/** Notices shown at once. */
const MAX_NOTICES = 4;

/** Show a short notice for a while; screen readers speak it when they are free. */
export function notice(text) {
  put(byId("toasts"), text, NOTICE_TIME);
}

/** Show for a while that something is wrong; screen readers speak it at once. */
export function warn(text) {
  put(byId("alerts"), text, ALERT_TIME);
}

function put(place, text, time) {
  const shown = element("p", "toast", text);
  place.append(shown);
  while (place.children.length > MAX_NOTICES) place.firstElementChild.remove();
  setTimeout(() => shown.remove(), time);
}
