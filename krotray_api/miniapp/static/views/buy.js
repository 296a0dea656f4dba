// Choosing a period and a way to pay.

import { h, say } from "../dom.js";
import { saving } from "../format.js";
import { count, rubles, t, trouble } from "../texts.js";
import { bar, busy, button, hero, isBusy, notice, screen, title } from "./parts.js";

/** The plans as cards; with `choose` they can be chosen. */
export function planList(plans, chosen, choose) {
  const card = (plan) => {
    const saved = saving(plan, plans);
    const id = `plan-${plan.code}`;
    const pick = choose && h("input", { type: "radio", name: "plan", value: plan.code, checked: plan.code === chosen, onchange: () => choose(plan) });
    const face = [
      pick,
      h(
        "span",
        { class: "plan-what" },
        h("span", { class: "strong" }, count(plan.months, t.months)),
        saved ? h("span", { class: "gain" }, t.buy.saves(rubles(saved))) : h("span", { class: "small" }, count(plan.days, t.days)),
      ),
      h(
        "span",
        { class: "plan-sum" },
        h("span", { class: "strong" }, rubles(plan.amount)),
        plan.months > 1 && h("span", { class: "small" }, t.buy.perMonth(rubles(Math.round(plan.amount / plan.months)))),
      ),
    ];
    return h(choose ? "label" : "div", { class: "card plan", "data-testid": id }, ...face);
  };
  if (!choose) return h("div", { class: "plans", role: "group", "aria-label": t.buy.plans }, ...plans.map(card));
  return h("fieldset", { class: "plans" }, h("legend", { class: "for-ears" }, t.buy.plans), ...plans.map(card));
}

/** `pay(plan, method)` may throw an ApiError; `goBack` is there when there is something to go back to. */
export function buyView({ state, plans, usual, note, goBack, pay }) {
  let plan = plans.find((one) => one.months === usual) ?? plans[0];
  let method = "sbp";
  const fault = h("p", { class: "fault", hidden: true });
  const go = button("primary", t.buy.pay(rubles(plan.amount)), submit, { "data-testid": "pay" });

  async function submit() {
    if (isBusy(go)) return;
    fault.hidden = true;
    busy(go, t.buy.opening);
    say(t.buy.opening);
    try {
      await pay(plan, method);
    } catch (error) {
      fault.textContent = trouble(error, "pay");
      fault.hidden = false;
      say(fault.textContent);
    }
    busy(go, null);
  }

  const choose = (one) => {
    plan = one;
    if (!isBusy(go)) go.textContent = t.buy.pay(rubles(plan.amount));
    else go.dataset.words = t.buy.pay(rubles(plan.amount));
  };
  const way = (code, words) =>
    h(
      "label",
      { class: "way", "data-testid": `method-${code}` },
      h("input", { type: "radio", name: "method", value: code, checked: code === method, onchange: () => (method = code) }),
      h("span", {}, words),
    );
  const fresh = state === "no_subscription";
  const explain = state === "active" ? t.buy.renew : state === "expired" ? t.buy.again : null;

  return screen(
    fresh ? state : "buy",
    notice(note?.words, note?.tone),
    fresh ? hero("asleep", t.buy.asleep, t.buy.lead) : h("div", { class: "head" }, title(t.buy.title), explain && h("p", { class: "lead" }, explain)),
    planList(plans, plan.code, choose),
    h("fieldset", { class: "ways" }, h("legend", { class: "caption" }, t.buy.methods), way("sbp", t.buy.sbp), way("card", t.buy.card)),
    bar(fault, goBack && button("plain", t.buy.back, goBack, { "data-testid": "back" }), go),
  );
}
