// The conversation on the screen.

import { ask } from "./ask.js";
import { at, choose, copy, made, outward, toast } from "./dom.js";
import { marked } from "./marked.js";
import { t } from "./words.js";

const told = new Set(); // answers to presses that have been shown
let drawn = "";

export function forget() {
  drawn = "";
}

/** `talk`: `{user, write(text), openApp(url)}`. */
export function draw(seen, talk) {
  const busy = new Set(seen.presses.filter((p) => p.waits).map((p) => `${p.message_id} ${p.data}`));
  const picture = JSON.stringify([seen.messages, [...busy], seen.description]);
  if (picture === drawn) return;
  const chat = at("chat");
  const first = drawn === "";
  const atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 160;
  drawn = picture;
  at("empty").hidden = seen.messages.length > 0;
  at("about").textContent = seen.description || t.nothing;
  chat.querySelectorAll(".message").forEach((old) => old.remove());
  chat.append(...seen.messages.map((message) => block(message, talk, busy)));
  if (first || atEnd) end();
}

/** Scrolls to the last message: to its end, or its beginning when it is taller than the screen. */
export function end() {
  const chat = at("chat"), last = [...chat.querySelectorAll(".message")].at(-1);
  const tall = last && last.offsetHeight > chat.clientHeight;
  chat.scrollTo(0, tall ? last.offsetTop - 8 : chat.scrollHeight);
}

function block(message, talk, busy) {
  const hour = new Date(message.date * 1000).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hour12: false });
  const bubble = made("div", "bubble");
  if (message.photo) {
    const { url, width, height } = message.photo;
    bubble.append(made("img", "photo", { src: url, width, height, alt: t.picture }));
    bubble.classList.add("pictured");
  }
  bubble.append(made("div", "words", {}, marked(message, talk.write), made("time", "", {}, message.edited ? `${t.edited} ${hour}` : hour)));
  const rows = message.buttons.map((row) => made("div", "row", {}, ...row.map((button) => key(message, button, talk, busy))));
  const kind = `message ${message.from}`;
  return made("div", kind, { "data-id": message.message_id }, bubble, ...(rows.length ? [made("div", "rows", {}, ...rows)] : []));
}

function key(message, button, talk, busy) {
  if (button.mini_app) return made("button", "app", { type: "button", click: () => talk.openApp(button.mini_app) }, button.text);
  if (button.opens) return outward("outward", button.opens, button.text);
  if (button.copies) return made("button", "copies", { type: "button", click: () => copy(button.copies) }, button.text);
  const waits = busy.has(`${message.message_id} ${button.callback_data}`);
  const press = () =>
    ask("press", { user_id: talk.user, message_id: message.message_id, button: button.callback_data })
      .catch((error) => toast(error.message));
  return made("button", "", { type: "button", "aria-busy": waits ? "true" : null, click: press }, button.text);
}

/** Shows what the bot has said to presses; `silently`: only notes that it was said. */
export function tell(presses, silently) {
  for (const { callback_query_id: id, answer } of presses) {
    if (!answer || told.has(id)) continue;
    told.add(id);
    if (silently || !answer.text) continue;
    if (answer.show_alert) choose("", answer.text, [{ id: "ok", text: t.understood }]);
    else toast(answer.text);
  }
}
