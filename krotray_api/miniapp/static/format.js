// Numbers and dates as people say them.

const NBSP = "\u00a0";

/** "250.00" -> "250 ₽"; kopecks only if there are any. */
export function price(amount, lang) {
  const value = Number(amount);
  const digits = Number.isInteger(value) ? 0 : 2;
  const number = value.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${number}${NBSP}₽`;
}

/** "23 декабря", with the year only if it is another one; in the zone of the device. */
export function day(iso, lang) {
  const date = new Date(iso);
  const options = { day: "numeric", month: "long" };
  if (date.getFullYear() !== new Date().getFullYear()) options.year = "numeric";
  return new Intl.DateTimeFormat(lang, options).format(date).replace(/\sг\.$/, "").replaceAll(" ", NBSP);
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
