// Small help with elements. Everything shown is put in as text, never as HTML.

import { t } from "./words.js";

export const at = (id) => document.getElementById(id);

/** A new element: its class, attributes (a function is a listener), and what is in it. */
export function made(tag, className = "", attributes = {}, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...content);
  return element;
}

/** A link that opens beside this page. */
export const outward = (className, href, ...content) =>
  made("a", className, { href, target: "_blank", rel: "noopener" }, ...content);

let ends = 0;
export function toast(words) {
  at("toast").textContent = words;
  at("toast").hidden = false;
  clearTimeout(ends);
  ends = setTimeout(() => (at("toast").hidden = true), 3500);
}

export const copy = (value) =>
  navigator.clipboard.writeText(value).then(() => toast(t.copied), () => toast(t.notCopied));

/** A dialog with buttons `[{id, text, danger?}]`; resolves to the id of the one pressed, or null. */
export function choose(title, words, buttons) {
  const dialog = at("dialog");
  dialog.replaceChildren(
    ...(title ? [made("h2", "", {}, title)] : []),
    ...(words ? [made("p", "", {}, words)] : []),
    made("div", "choices", {}, ...buttons.map(({ id, text, danger }) =>
      made("button", danger ? "danger" : "", { type: "button", click: () => dialog.close(`:${id}`) }, text))),
  );
  if (dialog.open) dialog.close();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue ? dialog.returnValue.slice(1) : null), { once: true });
  });
}
