// The page put together: one person's Telegram.

import { ask, pause } from "./ask.js";
import { at, choose, made, toast } from "./dom.js";
import * as messages from "./messages.js";
import * as stand from "./stand.js";
import * as webview from "./webview.js";
import { speak, t } from "./words.js";

const WAIT_SECONDS = 20;
const text = at("text");

let people = [];
let user = Number(location.hash.slice(1));
let seen = null; // the conversation as it was read last
let payload = null; // what "Start" will carry: somebody followed a link to the bot
let following = new AbortController(); // ends the waiting for news of the person before
let botIsThere = null;
let changes = Promise.resolve(); // of person, one after the other
let changing = 0; // how many of them are not over: until they are, what is on the screen belongs to the person before
const { botName: name, botUsername: bot } = document.body.dataset;

const talk = () => ({
  user, bot, name, write, people: () => people, theme: stand.theme, platform: stand.platform, startAs,
  openApp: (url) => webview.open(talk(), url).catch((error) => toast(error.message)),
});

/** Puts the phone into the hands of `who`: an id, or the promise of one. Until it shows them, nothing in it can be pressed. */
function become(who) {
  changing += 1;
  rest();
  const done = changes.then(async () => begin(await who, (await ask("people")).people));
  changes = done.catch(() => {}).then(() => {
    changing -= 1;
    rest();
  });
  return done;
}

const rest = () => (at("phone").inert = changing > 0 || seen === null);

/** A clean screen for somebody else; `follow` fills it. */
function begin(id, everybody) {
  people = everybody;
  user = people.some((one) => one.id === id) ? id : people[0].id;
  history.replaceState(null, "", `#${user}`);
  payload = null;
  seen = null;
  messages.forget();
  webview.shut();
  stand.hide();
  at("key-result").hidden = true;
  speak(people.find((one) => one.id === user).language_code);
  if (botIsThere !== null) at("state").textContent = botIsThere ? t.bot : t.away;
  stand.drawPeople(people, user, change);
  following.abort();
  following = new AbortController();
}

const change = (who) => become(who).catch((error) => toast(error.message));

/** Follows a link to the bot as somebody: Telegram shows Start, which carries what stood in the link. */
async function startAs(id, carried) {
  if (id !== user) await become(id);
  payload = carried;
  if (seen) show();
  toast(t.got);
}

function show() {
  const begun = seen.started && payload === null;
  at("start").hidden = begun && !seen.blocked;
  at("start").textContent = seen.blocked ? t.restart : t.start;
  at("writer").hidden = !at("start").hidden;
  at("blocked").hidden = !seen.blocked;
  at("block").textContent = seen.blocked ? t.unblock : t.block;
  const menu = seen.menu_button;
  at("menu").hidden = !menu;
  at("menu-text").textContent = menu?.text || t.menu;
  at("slash").hidden = seen.commands.length === 0;
  messages.draw(seen, talk());
  suggest();
  rest();
}

/** The bot's commands, when a message begins with a slash. */
function suggest() {
  const list = at("commands"), typed = text.value;
  const fitting = /^\/\w*$/.test(typed) ? (seen?.commands ?? []).filter((one) => `/${one.command}`.startsWith(typed)) : [];
  list.hidden = fitting.length === 0;
  list.replaceChildren(...fitting.map(({ command, description }) =>
    made("button", "", { type: "button", click: () => write(`/${command}`) }, made("b", "", {}, `/${command}`), " ", made("span", "", {}, description))));
}

async function follow() {
  for (;;) {
    const { signal } = following;
    try {
      const since = seen === null ? "" : `?since=${seen.version}&wait=${WAIT_SECONDS}`;
      const news = await ask(`chat/${user}${since}`, null, signal);
      if (signal.aborted) continue;
      messages.tell(news.presses, seen === null);
      seen = news;
      show();
    } catch (error) {
      if (signal.aborted) continue;
      at("state").textContent = t.noSandbox;
      console.warn(error);
      await pause(1500);
    }
  }
}

async function watchBot() {
  for (;;) {
    try {
      const { polls } = await ask("bot");
      // Between two polls nobody waits for a moment: only the second look in a row counts as "away".
      at("state").textContent = polls || botIsThere ? t.bot : t.away;
      botIsThere = polls;
    } catch {
      at("state").textContent = t.noSandbox;
    }
    await pause(2000);
  }
}

async function write(words) {
  if (!words.trim()) return;
  text.value = "";
  suggest();
  try {
    await ask("message", { user_id: user, text: words });
    messages.end();
  } catch (error) {
    text.value = words;
    toast(error.message);
  }
}

at("writer").addEventListener("submit", (event) => {
  event.preventDefault();
  write(text.value);
});
text.addEventListener("input", suggest);
at("slash").addEventListener("click", () => {
  text.value = text.value === "/" ? "" : "/";
  suggest();
  text.focus();
});
at("start").addEventListener("click", () => {
  const carried = payload;
  payload = null;
  write(carried ? `/start ${carried}` : "/start");
});
at("menu").addEventListener("click", () => talk().openApp(seen.menu_button.mini_app));
at("block").addEventListener("click", () =>
  ask("block", { user_id: user, blocked: !seen.blocked }).catch((error) => toast(error.message)));
at("dialog").addEventListener("click", (event) => event.target === at("dialog") && at("dialog").close());

stand.set({ become: change, repaint: webview.repaint });
stand.tryKey(() => user);
become(user).then(() => Promise.all([follow(), watchBot()]), () => choose("", t.noSandbox, [{ id: "ok", text: t.understood }]));
