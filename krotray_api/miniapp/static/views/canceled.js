// A payment came to nothing: why, what became of the money, and the way on.

import { h } from "../dom.js";
import { count, rubles, t, why } from "../texts.js";
import { bar, button, hero, screen } from "./parts.js";
import { till } from "./till.js";

/** `plan` is null if it is not sold any more; `home` is there for somebody whose key works. */
export function canceledView({ payment, plan, pay, bill, other, home }) {
  const counter = till({ pay, bill });
  const another = payment.method === "sbp" ? "card" : "sbp";
  const again = button("primary", t.retry, () => counter.press(again, plan, payment.method), { "data-testid": "again" });
  const switched = button("soft", t.canceled.pay[another], () => counter.press(switched, plan, another), { "data-testid": `again-${another}` });
  const leave = home ? button("plain", t.waiting.home, home, { "data-testid": "home" }) : button("plain", t.waiting.other, other, { "data-testid": "other" });
  const order = t.waiting.order(count(payment.months, t.months), rubles(payment.amount));
  return screen(
    "payment_canceled",
    hero("hatch", t.canceled.title, h("p", { class: "strong", "data-testid": "order" }, order), h("p", { class: "lead", "data-testid": "why" }, why(payment))),
    plan ? bar(...counter.lines, leave, switched, again) : bar(home && leave, button("primary", t.waiting.other, other, { "data-testid": "other" })),
  );
}
