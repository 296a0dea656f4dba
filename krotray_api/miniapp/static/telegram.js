// Everything that Telegram gives: who is here, in which colours, and how links open. Works without Telegram's script too.

import { session } from "./storage.js";

const COLOUR = /^#[0-9a-f]{6}$/i;
const webApp = () => window.Telegram?.WebApp;
const launch = new URLSearchParams(location.hash.slice(1));

// Telegram's script knows both, but it may come late or never; the address has them from the start.
export const initData = kept("tgWebAppData") || webApp()?.initData || "";
paint(kept("tgWebAppThemeParams"));

if (launch.has("tgWebAppData")) {
  // A login does not belong in an address bar. The rest stays for Telegram's script.
  launch.delete("tgWebAppData");
  const rest = launch.toString();
  history.replaceState(null, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
}

function kept(name) {
  const value = launch.get(name);
  if (value) session.set(name, value);
  return value || session.get(name) || "";
}

function paint(json) {
  let colours;
  try {
    colours = Object.entries(JSON.parse(json || "{}"));
  } catch {
    return;
  }
  const root = document.documentElement;
  for (const [role, colour] of colours) {
    if (COLOUR.test(colour)) root.style.setProperty(`--tg-theme-${role.replaceAll("_", "-")}`, colour);
  }
  scheme();
}

/** Scroll bars and the like follow the background that Telegram chose, which need not be the device's. */
function scheme() {
  const ground = document.documentElement.style.getPropertyValue("--tg-theme-bg-color").trim();
  if (!COLOUR.test(ground)) return;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(ground.slice(at, at + 2), 16));
  const dark = red * 0.299 + green * 0.587 + blue * 0.114 < 128;
  document.documentElement.dataset.scheme = dark ? "dark" : "light";
}

/** The language of the person's Telegram, else of the browser. */
export function language() {
  try {
    const code = JSON.parse(new URLSearchParams(initData).get("user")).language_code;
    if (code) return code;
  } catch {
    // No or odd initData: the browser has a language as well.
  }
  return navigator.language || "ru";
}

/** Tells Telegram that the page is here, now or as soon as its script comes. */
export function hello() {
  const greet = () => {
    const app = webApp();
    if (!app || !initData) return;
    app.ready();
    app.expand();
    app.onEvent("themeChanged", scheme);
    scheme();
    back(wayBack);
  };
  if (webApp()) greet();
  else document.getElementById("telegram-script")?.addEventListener("load", greet);
}

/** Opens the checkout: beside the Mini App where Telegram can do so, otherwise in its place. */
export function open(url) {
  const app = webApp();
  if (initData && app && app.platform !== "unknown") app.openLink(url);
  else location.href = url;
}

/** Closes the Mini App; null where there is nothing to close. */
export const closer = () => (initData && webApp() ? () => webApp().close() : null);

let wayBack = null;

/** What Telegram's own back button does; null hides it. */
export function back(go) {
  const button = since("6.1")?.BackButton;
  if (button && wayBack) button.offClick(wayBack);
  wayBack = go;
  if (!button) return;
  if (go) button.onClick(go).show();
  else button.hide();
}

/** A nod from the phone: something has worked. */
export function nod() {
  since("6.1")?.HapticFeedback.notificationOccurred("success");
}

function since(version) {
  const app = webApp();
  return initData && app?.isVersionAtLeast(version) ? app : null;
}
