// Pieces that several screens are made of.

import { h } from "../dom.js";
import { mole } from "../mole.js";

/** A screen; `state` is its name for tests and for the style. */
export const screen = (state, ...children) =>
  h("section", { class: "screen", "data-testid": "state", "data-state": state, "aria-labelledby": "title" }, ...children);

export const title = (words, style = null) => h("h1", { id: "title", tabindex: "-1", class: style }, words);

/** The mole, a heading, a line or two. */
export const hero = (mood, heading, ...lines) =>
  h("div", { class: "hero" }, mole(mood), title(heading), ...lines.filter(Boolean).map((line) => (line.nodeType ? line : h("p", { class: "lead" }, line))));

/** The bottom of a screen: at most one primary button, what else there is above it. */
export const bar = (...buttons) => h("div", { class: "bar" }, ...buttons);

/** A button of the kind "primary", "soft" or "plain". */
export const button = (kind, words, onclick, attributes = {}) =>
  h("button", { type: "button", class: `button ${kind}`, onclick, ...attributes }, words);

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
