// Numbers and dates as people say them.

const NBSP = "\u00a0";

/** "250.00" -> "250 ₽"; kopecks only if there are any. */
export function price(amount, lang) {
  const value = Number(amount);
  const digits = Number.isInteger(value) ? 0 : 2;
  const number = value.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${number}${NBSP}₽`;
}

const LOCALES = { en: "en-GB" }; // "23 December", as the bot says it
const FAR = 300 * 86_400_000;

/** "23 декабря", with the year only where that is not plain; by Moscow's clock, as in the bot and its notices, wherever the device is. */
export function day(iso, lang) {
  const date = new Date(iso);
  const options = { day: "numeric", month: "long", timeZone: "Europe/Moscow" };
  if (Math.abs(date - Date.now()) > FAR) options.year = "numeric";
  return new Intl.DateTimeFormat(LOCALES[lang] ?? lang, options).format(date).replace(/\sг\.$/, "").replaceAll(" ", NBSP);
}

/** 12400000000 -> "12,4 ГБ"; `units` are the words for 10^6, 10^9 and 10^12 bytes. */
export function size(bytes, units, lang) {
  const step = [1e9, 1e12].filter((least) => Math.round(bytes / (least / 1e4)) >= 1e4).length; // as it will be rounded
  const number = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 }).format(bytes / 10 ** (6 + 3 * step));
  return `${number}${NBSP}${units[step]}`;
}

/** The right one of {one, few, many, other} with the number in it. */
export function plural(count, forms, lang) {
  const form = forms[new Intl.PluralRules(lang).select(count)] ?? forms.other;
  return form.replace("#", `${count.toLocaleString(lang)}`).replaceAll("~", NBSP);
}

/** What the plan saves against paying month by month at the shortest plan's price; 0 if nothing. */
export function saving(plan, plans) {
  const shortest = plans.reduce((best, other) => (other.months < best.months ? other : best));
  return Math.max(0, (Number(shortest.amount) / shortest.months) * plan.months - Number(plan.amount));
}
