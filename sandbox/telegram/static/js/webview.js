// The Mini App in its frame, and Telegram's side of the bridge to it: https://core.telegram.org/api/web-events
// The page inside speaks through window.parent.postMessage, as it does to Telegram Web.

import { ask } from "./ask.js";
import { at, choose, made, toast } from "./dom.js";
import { t } from "./words.js";

const HEX = /^#[0-9a-f]{6}$/i;
const INSETS = { top: 0, bottom: 0, left: 0, right: 0 };

let frame = null;
let origin = "";
let talk = null; // { user, name, theme(), platform(), bot, startAs(text), people() }
let listens = false; // the page inside has its script
let guarded = false; // closing has to be confirmed
let colours = {};

export const isOpen = () => frame !== null;

/** Opens the Mini App as the person who is in the chat, signed anew. */
export async function open(newTalk, url, startParam) {
  shut();
  talk = newTalk;
  const wanted = { user_id: talk.user, theme: talk.theme(), platform: talk.platform(), start_param: startParam };
  const { address, theme_params } = await ask("open", url ? { ...wanted, url } : wanted);
  if (!document.body.dataset.framed) {
    window.open(address, "_blank", "noopener");
    toast(t.noFrame);
    return;
  }
  colours = theme_params;
  origin = new URL(address).origin;
  frame = made("iframe", "", { title: talk.name, allow: "clipboard-write; clipboard-read", "data-testid": "mini-app" });
  frame.src = address;
  at("screen").append(frame);
  at("webview-title").textContent = talk.name;
  at("webview").hidden = false;
  document.body.classList.add("with-app");
  setUp("main", {});
  setUp("secondary", {});
  back(false);
  paintHeader("");
}

export function shut() {
  if (frame) frame.remove();
  frame = null;
  listens = guarded = false;
  at("webview").hidden = true;
  at("webview").classList.remove("ready");
  document.body.classList.remove("with-app");
}

async function close() {
  if (guarded && (await choose("", t.leave, [{ id: "yes", text: t.close, danger: true }, { id: "no", text: t.cancel }])) !== "yes") return;
  shut();
}

function tell(eventType, eventData = null) {
  if (frame && listens) frame.contentWindow.postMessage(JSON.stringify({ eventType, eventData }), origin);
}

/** The person has changed the theme of their Telegram. */
export async function repaint() {
  if (!frame) return;
  ({ theme_params: colours } = await ask("open", { user_id: talk.user, theme: talk.theme() }));
  paintHeader("");
  tell("theme_changed", { theme_params: colours });
}

function viewport() {
  const { clientWidth: width, clientHeight: height } = at("screen");
  tell("viewport_changed", { width, height, is_state_stable: true, is_expanded: true });
}

function back(visible) {
  at("webview-back").hidden = !visible;
  at("webview-close").classList.toggle("beside", visible);
}

function setUp(which, { is_visible, is_active = true, is_progress_visible, text, color, text_color }) {
  const button = at(`webview-${which}`);
  button.hidden = !is_visible;
  button.disabled = !is_active || Boolean(is_progress_visible);
  button.setAttribute("aria-busy", is_progress_visible ? "true" : "false");
  button.textContent = text || "";
  const [ground, ink] = which === "main" ? [colours.button_color, colours.button_text_color] : [colours.bottom_bar_bg_color, colours.button_color];
  button.style.background = HEX.test(color) ? color : ground;
  button.style.color = HEX.test(text_color) ? text_color : ink;
  const any = ["main", "secondary"].some((one) => !at(`webview-${one}`).hidden);
  at("webview-bottom").hidden = !any;
}

function paintHeader(colour) {
  at("webview").style.setProperty("--bar", HEX.test(colour) ? colour : colours.header_bg_color);
  at("webview").style.setProperty("--ink", colours.text_color);
  at("webview").style.setProperty("--ground", colours.secondary_bg_color);
}

async function popup({ title, message, buttons }) {
  const texts = { ok: t.understood, close: t.close, cancel: t.cancel };
  const shown = buttons.map(({ id, type, text }) => ({ id, text: text || texts[type] || id, danger: type === "destructive" }));
  const pressed = await choose(title, message, shown);
  tell("popup_closed", pressed === null ? {} : { button_id: pressed });
}

/** A new window that knows nothing of this one; false if the browser refuses. */
function beside(url) {
  const opened = window.open(url, "_blank"); // with "noopener" it would not say whether it worked
  if (opened) opened.opener = null;
  return Boolean(opened);
}

async function openLink(url) {
  if (!/^https?:\/\//.test(url) || beside(url)) return;
  // The browser wants a press of its own for a new window.
  if ((await choose(t.openLink, url, [{ id: "open", text: t.open }, { id: "no", text: t.cancel }])) === "open") beside(url);
}

/** A t.me link: an invitation is carried to somebody else, a link to this bot starts it. */
async function openTelegramLink(path) {
  const link = new URL(path, "https://t.me");
  if (link.pathname === "/share/url" || link.pathname === "/share") {
    const people = talk.people().filter((one) => one.id !== talk.user);
    const whom = await choose(t.share, "", [...people.map((one) => ({ id: one.id, text: one.first_name })), { id: "no", text: t.cancel }]);
    const shared = new URL(link.searchParams.get("url") || "https://t.me/");
    if (whom && whom !== "no") talk.startAs(Number(whom), shared.searchParams.get("start"));
  } else if (link.pathname.slice(1) === talk.bot) {
    shut();
    talk.startAs(talk.user, link.searchParams.get("start"));
  } else {
    toast(link.href);
  }
}

async function writeAccess() {
  const allowed = (await choose("", t.letWrite, [{ id: "yes", text: t.allow }, { id: "no", text: t.cancel }])) === "yes";
  if (allowed) await ask("allow", { user_id: talk.user });
  tell("write_access_requested", { status: allowed ? "allowed" : "cancelled" });
}

function storage({ req_id, method, params }) {
  const place = `cloud ${talk.user} `;
  const acts = {
    saveStorageValue: () => (localStorage.setItem(place + params.key, params.value), true),
    getStorageValues: () => Object.fromEntries(params.keys.map((key) => [key, localStorage.getItem(place + key) ?? ""])),
    deleteStorageValues: () => (params.keys.forEach((key) => localStorage.removeItem(place + key)), true),
    getStorageKeys: () => Object.keys(localStorage).filter((key) => key.startsWith(place)).map((key) => key.slice(place.length)),
  };
  tell("custom_method_invoked", acts[method] ? { req_id, result: acts[method]() } : { req_id, error: "METHOD_INVALID" });
}

function haptic() {
  navigator.vibrate?.(12);
  const phone = at("webview");
  phone.dataset.haptics = Number(phone.dataset.haptics || 0) + 1;
  phone.classList.remove("nod");
  requestAnimationFrame(() => phone.classList.add("nod"));
}

const EVENTS = {
  iframe_ready: () => {
    listens = true;
    tell("visibility_changed", { is_visible: true });
  },
  iframe_will_reload: () => {
    listens = false;
    at("webview").classList.remove("ready");
  },
  web_app_ready: () => at("webview").classList.add("ready"),
  web_app_expand: viewport,
  web_app_close: shut,
  web_app_request_viewport: viewport,
  web_app_request_theme: () => tell("theme_changed", { theme_params: colours }),
  web_app_request_safe_area: () => tell("safe_area_changed", INSETS),
  web_app_request_content_safe_area: () => tell("content_safe_area_changed", INSETS),
  web_app_setup_back_button: ({ is_visible }) => back(Boolean(is_visible)),
  web_app_setup_main_button: (data) => setUp("main", data),
  web_app_setup_secondary_button: (data) => setUp("secondary", data),
  web_app_setup_closing_behavior: ({ need_confirmation }) => (guarded = Boolean(need_confirmation)),
  web_app_set_header_color: ({ color, color_key }) => paintHeader(color || colours[color_key] || ""),
  web_app_set_background_color: ({ color }) => HEX.test(color) && at("webview").style.setProperty("--ground", color),
  web_app_open_link: ({ url }) => openLink(String(url)),
  web_app_open_tg_link: ({ path_full }) => openTelegramLink(String(path_full)),
  web_app_open_popup: popup,
  web_app_trigger_haptic_feedback: haptic,
  web_app_invoke_custom_method: storage,
  web_app_request_fullscreen: () => tell("fullscreen_failed", { error: "UNSUPPORTED" }),
  web_app_add_to_home_screen: () => tell("home_screen_failed", { error: "UNSUPPORTED" }),
  web_app_check_home_screen: () => tell("home_screen_checked", { status: "unsupported" }),
  web_app_request_write_access: writeAccess,
  web_app_read_text_from_clipboard: ({ req_id }) => tell("clipboard_text_received", { req_id }), // refused, as nearly everywhere
  web_app_open_invoice: ({ slug }) => tell("invoice_closed", { slug, status: "failed" }),
};

window.addEventListener("message", (event) => {
  if (!frame || event.source !== frame.contentWindow || event.origin !== origin) return;
  let said;
  try {
    said = JSON.parse(event.data);
  } catch {
    return; // not of this bridge
  }
  EVENTS[said?.eventType]?.(said.eventData ?? {});
});

at("webview-back").addEventListener("click", () => tell("back_button_pressed"));
at("webview-close").addEventListener("click", close);
at("webview-main").addEventListener("click", () => tell("main_button_pressed"));
at("webview-secondary").addEventListener("click", () => tell("secondary_button_pressed"));
at("webview-reload").addEventListener("click", () => tell("reload_iframe"));
new ResizeObserver(() => frame && viewport()).observe(at("screen"));
