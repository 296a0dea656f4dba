// One screen at a time: what it asks in the background, where its back button leads, how it is made anew.

import { show } from "./dom.js";
import * as native from "./native.js";

const STALE = 3000;

let polling = null;
let make = null;
let look = null;
let looked = 0;

/**
 * Shows a screen. `back` leads back from it, `live` is a poll that ends with it, `again` makes it anew in another language, `fresh` looks
 * whether what it shows is still true, without disturbing what somebody does there.
 */
export function go(screen, { back = null, live = null, again = null, fresh = null } = {}) {
  polling?.stop();
  polling = live;
  make = again;
  look = fresh;
  looked = Date.now();
  show(screen);
  native.back(back);
  native.main(screen.querySelector(".bar .primary"));
}

/** Makes the screen anew: the language has changed. */
export const again = () => make?.();

/** Somebody is back after a while: the key, days and bills may be others by now. What is on the screen is better than an error. */
export async function comeBack() {
  if (document.hidden || Date.now() - looked < STALE || isAtWork()) return;
  looked = Date.now();
  await look?.()?.catch(() => null);
}

/** Whether a press on the screen has yet to come to something. */
export const isAtWork = () => document.querySelector('#view [aria-disabled="true"]') !== null;

/** What was unfolded, turned over or picked on the old screen is so on the new one too. */
export function keepOpen(before, after) {
  const same = (one) => after.querySelector(`[data-testid="${CSS.escape(one.dataset.testid)}"]`);
  for (const one of before.querySelectorAll("details[data-testid][open]")) same(one)?.setAttribute("open", "");
  for (const one of before.querySelectorAll("button[data-testid][aria-expanded=true]")) same(one)?.click();
  for (const one of before.querySelectorAll("[data-testid]:has(> input:checked)")) {
    const input = same(one)?.querySelector("input");
    if (input && !input.checked) input.click();
  }
}
