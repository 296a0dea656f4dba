// The way through the app: which screen follows from what the service says.

import * as api from "./api.js";
import { say } from "./dom.js";
import { here, isRunning, seen } from "./here.js";
import * as native from "./native.js";
import { canceled, settleBegun, waiting } from "./purchase.js";
import { home, outside, provisioning, shop } from "./rooms.js";
import { again, comeBack, go } from "./stage.js";
import * as telegram from "./telegram.js";
import { begin, date, lang, needsLogin, rubles, speak, t } from "./texts.js";
import { troubleView } from "./views/message.js";
import { fetchAll } from "./views.js";

const OTHER = { ru: ["en", "English"], en: ["ru", "Русский"] };

/** Reads everything anew and shows what follows from it. */
async function read() {
  const [me, offer] = await Promise.all([api.me(), api.plans()]);
  seen(me);
  here.offer = offer;
  await route(await settleBegun());
}

export const refresh = () => read().catch(fail);

/** The screen that says what has gone wrong, with a way on; `back` is there when there is a screen to go back to. */
export function fail(error, { retry = refresh, back = null } = {}) {
  const login = needsLogin(error);
  const leave = login ? null : back;
  const screen = troubleView({ error, retry, back: leave, close: telegram.closer() });
  go(screen, { back: leave, again: () => fail(error, { retry, back }) });
  say(screen.querySelector(".lead").textContent);
  if (login) return;
  const online = () => screen.isConnected && retry();
  window.addEventListener("online", online, { once: true });
}

/** The screen that follows from the state; `note` says what has just happened, if anything has. */
export async function route(note = null) {
  const { me, payment, left } = here;
  if (note?.canceled) return canceled(note.canceled);
  if ((payment || me.state === "payment_pending") && !left) return waiting();
  here.paid ||= Boolean(note?.paid);
  if (me.state === "provisioning") return provisioning();
  here.paid = false;
  if (note?.paid) {
    const returned = note.returned && t.home.partReturned(rubles(note.returned));
    note.words = [isRunning() && t.home.paid(date(me.subscription.expires_at)), returned].filter(Boolean).join(" ");
  }
  if (note?.words) say(note.words);
  if (me.state === "no_subscription" || me.state === "payment_pending") return shop(note);
  return home(note);
}

/** The button that changes the language names the other one, in its own words. */
function nameLanguage() {
  const [code, name] = OTHER[lang];
  const button = document.getElementById("language");
  button.textContent = name;
  button.lang = code;
  button.hidden = false;
  document.getElementById("offline").textContent = t.offline;
}

async function changeLanguage() {
  native.tick();
  try {
    await speak(OTHER[lang][0]);
  } catch {
    return; // without a connection it stays as it is; the header says so
  }
  nameLanguage();
  await again();
}

/** A press led to a screen that could not be fetched: whatever is not dealt with where it happens ends up here. */
function lost(event) {
  if (!(event.reason instanceof api.ApiError)) return;
  event.preventDefault();
  fail(event.reason, here.me ? { retry: () => route(), back: () => route() } : {});
}

const showConnection = () => (document.getElementById("offline").hidden = navigator.onLine !== false);

async function start() {
  document.getElementById("loading-words").textContent = "";
  await begin();
  document.getElementById("loading-words").textContent = t.loading;
  nameLanguage();
  document.getElementById("language").addEventListener("click", changeLanguage);
  for (const change of ["online", "offline"]) window.addEventListener(change, showConnection);
  showConnection();
  window.addEventListener("unhandledrejection", lost);
  telegram.hello(native.ready, comeBack);
  if (!telegram.initData) return outside();
  // From the checkout, from another app, out of the browser's memory.
  document.addEventListener("visibilitychange", comeBack);
  window.addEventListener("pageshow", (event) => event.persisted && comeBack());
  await refresh();
  fetchAll();
}

start();
