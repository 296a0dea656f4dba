// Making elements and showing them.

/** An element: `h("p", {class: "lead"}, "text", other)`; `on…` are listeners, null and false leave an attribute out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let shown = "";

/** Puts a screen in place. Focus goes to its heading, unless it is the same screen again or the very first. */
export function show(screen) {
  const view = document.getElementById("view");
  const name = screen.dataset.state;
  const active = document.activeElement;
  const held = shown === name && view.contains(active) ? (active.dataset.testid ?? "title") : null;
  if (screen.hasAttribute("aria-busy")) view.setAttribute("aria-busy", "true");
  else view.removeAttribute("aria-busy");
  view.replaceChildren(screen);
  if (held) view.querySelector(held === "title" ? "h1" : `[data-testid="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  else if (shown && shown !== name) {
    window.scrollTo(0, 0);
    screen.querySelector("h1")?.focus({ preventScroll: true });
  }
  shown = name;
}

/** Says something to those who listen; the same words twice are said twice. */
export function say(words) {
  const live = document.getElementById("live");
  live.textContent = "";
  setTimeout(() => (live.textContent = words), 60);
}
