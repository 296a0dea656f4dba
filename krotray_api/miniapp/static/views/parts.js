// Pieces that several screens are made of.

import { h } from "../dom.js";
import { mole } from "../mole.js";
import { tap } from "../native.js";

/** A screen; `state` is its name for tests and for the style. */
export const screen = (state, ...children) =>
  h("section", { class: "screen", "data-testid": "state", "data-state": state, "aria-labelledby": "title" }, ...children);

export const title = (words, style = null) => h("h1", { id: "title", tabindex: "-1", class: style }, words);

/** The mole, a heading, a line or two. */
export const hero = (mood, heading, ...lines) =>
  h("div", { class: "hero" }, mole(mood), title(heading), ...lines.filter(Boolean).map((line) => (line.nodeType ? line : h("p", { class: "lead" }, line))));

/** The bottom of a screen: at most one primary button, what else there is above it. */
export const bar = (...buttons) => h("div", { class: "bar" }, ...buttons);

/** A button of the kind "primary", "soft", "plain" or "danger". */
export const button = (kind, words, press, attributes = {}) => {
  const onclick = () => {
    if (kind === "primary" || kind === "danger") tap();
    return press();
  };
  return h("button", { type: "button", class: `button ${kind}`, onclick, ...attributes }, words);
};

/** The way back on the page itself, for where Telegram draws none. */
export const backButton = (words, go) => (go ? button("plain own-back", words, go, { "data-testid": "back" }) : null);

/** One line about what has just happened. */
export const notice = (words, tone = "good") => (words ? h("p", { class: `notice ${tone}` }, words) : null);

/** Makes a button say that it is at work, and keeps it from being pressed twice; null gives it back. */
export function busy(element, words) {
  if (words) {
    element.dataset.words ??= element.textContent;
    element.textContent = words;
    element.setAttribute("aria-disabled", "true");
  } else {
    element.textContent = element.dataset.words ?? element.textContent;
    delete element.dataset.words;
    element.removeAttribute("aria-disabled");
  }
}

export const isBusy = (element) => element.getAttribute("aria-disabled") === "true";

/** The shape of a screen whose contents are on their way: its title, and bones as high as what comes. */
export const skeleton = (state, words, heights) =>
  h(
    "section",
    { class: "screen", "data-testid": "state", "data-state": state, "aria-labelledby": "title", "aria-busy": "true" },
    h("div", { class: "head" }, title(words)),
    ...heights.map((height) => {
      const bone = h("div", { class: "bone" });
      bone.style.height = `${height}px`;
      return bone;
    }),
    bar(h("div", { class: "bone bone-button" })),
  );

/** Rows that lead elsewhere: {words, act, id} each. `add` puts one more below. */
export function menuList(label, rows) {
  const row = ({ words, act, id }) =>
    h("li", {}, h("button", { type: "button", class: "menu-row", onclick: act, "data-testid": `to-${id}` }, h("span", {}, words), chevron()));
  const list = h("ul", { class: "menu" }, ...rows.map(row));
  return { node: h("nav", { "aria-label": label }, list), add: (one) => list.append(row(one)) };
}

function chevron() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 8 14");
  svg.setAttribute("class", "chevron");
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = '<path d="m1 1 6 6-6 6"/>';
  return svg;
}
