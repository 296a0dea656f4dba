// What the app says, in the language of the person: the words themselves are in words/, loaded when they are needed.

import { day, plural, price, size } from "./format.js";
import { chosenLanguage } from "./storage.js";
import { language } from "./telegram.js";

// Languages whose speakers read Russian more readily than English: those of krotray_core/speech.py, a test compares the two.
const READ_RUSSIAN = ["ru", "uk", "be", "kk", "ky", "uz", "tg", "tt", "ba", "hy", "az"];
const readsRussian = (code) => READ_RUSSIAN.includes(code.toLowerCase().split("-")[0]);

/** The words and the language they are in; both change when another one is chosen. */
export let t = null;
export let lang = chosenLanguage.get() ?? (readsRussian(language()) ? "ru" : "en");
let reasons = {};

const first = import(`./words/${lang}.js`);
first.catch(() => null); // told to whoever awaits it

/** Loads the words that were asked for. */
export async function begin() {
  t = (await first).words;
  document.documentElement.lang = lang;
}

/** Speaks another language from now on, also the next time. */
export async function speak(code) {
  t = (await import(`./words/${code}.js`)).words;
  lang = code;
  reasons = {};
  chosenLanguage.set(code);
  document.documentElement.lang = code;
}

/** Loads why payments come to nothing, which is rarely needed; without it `why` is less exact. */
export async function learnReasons() {
  reasons = await import(`./words/reasons-${lang}.js`).then((found) => found.reasons, () => ({}));
}

export const rubles = (amount) => price(amount, lang);
export const date = (iso) => day(iso, lang);
export const bytes = (number) => size(number, t.sizes, lang);
export const count = (number, forms) => plural(number, forms, lang);

const LOGIN = { init_data_expired: "expired", init_data_invalid: "invalid", init_data_missing: "invalid" };
const OWN = {
  gateway_unavailable: "gateway",
  gateway_not_found: "gateway",
  gateway_denied: "gateway",
  gateway_rejected: "refused",
  unknown_tariff: "tariff",
  unknown_method: "refused",
  email_required: "email",
  email_invalid: "notEmail",
  too_many_open_payments: "bills",
};

/** Whether only a fresh start from the bot's chat helps. */
export const needsLogin = (error) => error.code in LOGIN;

/** An error in words: what happened, what became of the money, what to do. `where` is "load", "pay", "wait" or "rotate". */
export function trouble(error, where) {
  const own = LOGIN[error.code] ?? OWN[error.code];
  if (own) return t.trouble[own];
  if (error.status === 502) return t.trouble.gateway;
  if (error.status === 429) return `${t.trouble.often} ${t.trouble.later[where]?.(inTime(error.wait ?? 60)) ?? t.trouble[where]}`;
  const far = { offline: t.trouble.offline, unreachable: t.trouble.unreachable };
  const what = far[error.code] ?? (error.status === 500 ? t.trouble.broken : t.trouble.busy);
  return `${what} ${t.trouble[where]}`;
}

const inTime = (seconds) => (seconds < 100 ? count(seconds, t.seconds) : count(Math.ceil(seconds / 60), t.minutes));

/** Whether it is about the e-mail address that was given, or was not. */
export const aboutEmail = (error) => error.code === "email_required" || error.code === "email_invalid";

/** The heading above such words. */
export const troubleTitle = (error) => (needsLogin(error) ? t.trouble.expiredTitle : t.trouble.title);

/** Why a payment came to nothing; YooKassa may have reasons that we have not heard of. */
export const why = (payment) => reasons[payment.cancel_reason] ?? t.canceled.other;
