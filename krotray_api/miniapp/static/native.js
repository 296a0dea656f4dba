// What Telegram draws around the page: the main button, the back button; and the phone's small shakes.

import { app } from "./telegram.js";

const COLOURS = { color: "#ffb224", text_color: "#2b1900" };

/** Telegram's object if there is really a Telegram around the page that draws its buttons, else null. */
function around(version) {
  const inFrame = window.parent !== window && /^https:\/\/web\.telegram\.org\b/.test(location.ancestorOrigins?.[0] ?? document.referrer);
  return window.TelegramWebviewProxy || inFrame ? app(version) : null;
}

let acted = null; // the page's own button that Telegram's main button stands for
const watcher = new MutationObserver(() => paint());
let wired = false;
let wayBack = null;

/** Telegram's main button stands for this button of the page, which is hidden then; null hides it. */
export function main(element) {
  acted = element;
  watcher.disconnect();
  if (element) watcher.observe(element, { attributes: true, childList: true, characterData: true, subtree: true });
  paint();
}

function paint() {
  const button = around("6.1")?.MainButton;
  document.documentElement.classList.toggle("native", Boolean(button));
  if (!button) return;
  if (!wired) button.onClick(() => acted?.click());
  wired = true;
  if (!acted || acted.hidden) {
    button.hide();
    return;
  }
  const working = acted.getAttribute("aria-disabled") === "true";
  button.setParams({ text: acted.textContent, is_visible: true, is_active: !working, ...COLOURS });
  if (working) button.showProgress(false);
  else button.hideProgress();
}

/** What Telegram's back button does; null hides it. The page's own is hidden by the same mark. */
export function back(go) {
  const button = around("6.1")?.BackButton;
  if (button && wayBack) button.offClick(wayBack);
  wayBack = go;
  if (!button) return;
  if (go) button.onClick(go).show();
  else button.hide();
}

/** Telegram's script has come: what was wanted of it before is done now. */
export function ready() {
  back(wayBack);
  paint();
}

/** Asks somebody to let the bot write to them: true, false, or null where Telegram cannot ask. */
export function askToWrite() {
  const telegram = around("6.9");
  return new Promise((done) => {
    if (!telegram) return done(null);
    try {
      telegram.requestWriteAccess((allowed) => done(Boolean(allowed)));
    } catch {
      done(null);
    }
  });
}

const haptics = () => app("6.1")?.HapticFeedback;

/** A nod from the phone: something has worked. */
export const nod = () => haptics()?.notificationOccurred("success");

/** Something has not. */
export const shake = () => haptics()?.notificationOccurred("error");

/** A press on something that matters. */
export const tap = () => haptics()?.impactOccurred("light");

/** Another one of several was picked. */
export const tick = () => haptics()?.selectionChanged();
