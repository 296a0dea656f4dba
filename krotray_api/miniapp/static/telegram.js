// What Telegram gives: who is here, in which colours, and how links open. Works without Telegram's script too.

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

const person = whoIsHere();

function whoIsHere() {
  try {
    return JSON.parse(new URLSearchParams(initData).get("user")) ?? {};
  } catch {
    return {}; // no or odd initData
  }
}

/** The language of the person's Telegram, else of the browser. */
export const language = () => String(person.language_code || navigator.language || "ru");

/** Whether the bot may write to them, as Telegram said when the app was opened. */
export const mayWrite = () => person.allows_write_to_pm === true;

/** Telegram's own object, once its script is there and somebody is logged in; `version` is the oldest that will do. */
export function app(version = "6.0") {
  const found = webApp();
  return initData && found?.isVersionAtLeast(version) ? found : null;
}

/** Tells Telegram that the page is here, now or as soon as its script comes; `ready` is called then, `back` when somebody returns to it. */
export function hello(ready, back) {
  const greet = () => {
    const found = app();
    if (!found) return;
    found.ready();
    found.expand();
    found.onEvent("themeChanged", scheme);
    found.onEvent("activated", back); // a Mini App that was made small need not have been hidden
    scheme();
    ready();
  };
  if (webApp()) greet();
  else document.getElementById("telegram-script")?.addEventListener("load", greet);
}

const knows = (found) => found && found.platform !== "unknown";

/** Opens the checkout: beside the Mini App where Telegram can do so, otherwise in its place. */
export function open(url) {
  if (knows(app())) app().openLink(url);
  else location.href = url;
}

/** Opens a page beside the app, wherever that runs. Telegram takes only http and https. */
export function openBeside(url) {
  if (knows(app())) app().openLink(url);
  else window.open(url, "_blank", "noopener");
}

/** Lets somebody pick a chat to send a link to. */
export const share = (url, text) => openChat(`https://t.me/share/url?url=${encodeURIComponent(url)}&text=${encodeURIComponent(text)}`);

/** Follows a t.me link. */
export function openChat(address) {
  if (knows(app("6.1"))) app("6.1").openTelegramLink(address);
  else window.open(address, "_blank", "noopener");
}

/** Closes the Mini App; null where there is nothing to close. */
export const closer = () => (app() ? () => app().close() : null);

/** What Telegram says it runs on ("android", "ios", "tdesktop", "weba" ...), or "". */
export const client = () => webApp()?.platform ?? launch.get("tgWebAppPlatform") ?? "";
