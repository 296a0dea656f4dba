// What was paid, what was not, and what went back.

import { h } from "../dom.js";
import { count, date, rubles, t, why } from "../texts.js";
import { backButton, bar, button, hero, screen, title } from "./parts.js";

const MOST = 50;

/** `bill(id)` opens a bill that can still be paid. */
export function paymentsView({ payments, isStale, bill, buy, back }) {
  if (!payments.length) {
    const shop = button("primary", t.payments.buy, buy, { "data-testid": "shop" });
    return screen("payments", hero("asleep", t.payments.empty, t.payments.emptyLead), bar(backButton(t.buy.back, back), shop));
  }
  return screen(
    "payments",
    h("div", { class: "head" }, title(t.payments.title)),
    h("ul", { class: "list" }, ...payments.map((one) => row(one, isStale(one), bill))),
    payments.length === MOST && h("p", { class: "small" }, t.payments.most),
    bar(backButton(t.buy.back, back)),
  );
}

function row(payment, stale, bill) {
  const state = payment.status === "pending" && stale ? "stale" : payment.status;
  const payable = state === "pending" && payment.confirmation_url;
  return h(
    "li",
    { class: "card", "data-testid": "payment", "data-status": state },
    h(
      "div",
      { class: "payment" },
      h(
        "p",
        { class: "payment-what" },
        h("span", { class: "strong" }, count(payment.months, t.months)),
        h("span", { class: "small" }, h("time", { datetime: payment.created_at }, date(payment.created_at)), ` · ${t.payments.ways[payment.method]}`),
      ),
      h(
        "p",
        { class: "payment-sum" },
        h("span", { class: "strong" }, rubles(payment.amount)),
        h("span", { class: `small state-${state}` }, t.payments.states[state]),
      ),
    ),
    more(payment),
    payable && button("soft", t.payments.pay, () => bill(payment.payment_id), { "data-testid": "pay-bill" }),
  );
}

/** What became of the money, where that is not plain. */
function more(payment) {
  if (payment.status === "canceled") return h("p", { class: "small" }, why(payment));
  if (!Number(payment.refunded_amount)) return null;
  const words = payment.status === "refunded" ? t.payments.whole : t.payments.part;
  return h("p", { class: "small" }, words(rubles(payment.refunded_amount)));
}
