// Choosing a period and a way to pay.

import { h, say } from "../dom.js";
import { saving } from "../format.js";
import { tick } from "../native.js";
import { count, rubles, t, trouble } from "../texts.js";
import { backButton, bar, busy, button, hero, isBusy, notice, screen, title } from "./parts.js";
import { till } from "./till.js";

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

/**
 * `chosen` is what they wanted last: {code, method, email}, and `choose` is told when that changes; `goBack` is there when there is
 * something to go back to, `menu` when this is home.
 */
export function buyView({ state, plans, receipt, chosen, usual, note, goBack, pay, bill, choose: tell, menu }) {
  let plan = plans.find((one) => one.code === chosen.code) ?? plans.find((one) => one.months === usual) ?? plans[0];
  let method = chosen.method ?? "sbp";
  const email = receipt.email_required ? emailField(chosen.email, receipt.consent, submit, (typed) => tell({ email: typed })) : null;
  const counter = till({ pay, bill, wrong: email?.wrong });
  const go = button("primary", t.buy.pay(rubles(plan.amount)), submit, { "data-testid": "pay" });

  function submit() {
    if (email?.isEmpty()) email.wrong(t.trouble.email);
    else counter.press(go, plan, method, email?.value());
  }

  const choose = (one) => {
    plan = one;
    tick();
    tell({ code: one.code });
    if (!isBusy(go)) go.textContent = t.buy.pay(rubles(plan.amount));
    else go.dataset.words = t.buy.pay(rubles(plan.amount));
  };
  const pickWay = (code) => {
    method = code;
    tick();
    tell({ method });
  };
  const way = (code, words) =>
    h(
      "label",
      { class: "way", "data-testid": `method-${code}` },
      h("input", { type: "radio", name: "method", value: code, checked: code === method, onchange: () => pickWay(code) }),
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
    email?.node,
    menu,
    bar(...counter.lines, backButton(t.buy.back, goBack), go),
  );
}

/** Where the receipt goes, with the owner's own words under it. */
function emailField(kept, consent, submit, tell) {
  const input = h("input", {
    id: "email",
    type: "email",
    inputmode: "email",
    autocomplete: "email",
    autocapitalize: "off",
    spellcheck: "false",
    enterkeyhint: "go",
    maxlength: "254",
    value: kept,
    "aria-describedby": "email-wrong email-consent",
    "data-testid": "email",
    oninput: () => {
      tell(input.value);
      wrong(null);
    },
    onkeydown: (event) => event.key === "Enter" && submit(),
  });
  const line = h("p", { id: "email-wrong", hidden: true, "data-testid": "email-wrong" });
  const wrong = (words) => {
    line.textContent = words ?? "";
    line.hidden = !words;
    input.setAttribute("aria-invalid", String(Boolean(words)));
    if (!words) return;
    say(words);
    input.focus();
  };
  const node = h(
    "div",
    { class: "field" },
    h("label", { class: "caption", for: "email" }, t.buy.email),
    input,
    line,
    consent && h("p", { class: "small", id: "email-consent", "data-testid": "consent" }, ...withLinks(consent)),
  );
  return { node, wrong, value: () => input.value.trim(), isEmpty: () => !input.value.trim() };
}

/** A text whose web addresses can be followed. */
const withLinks = (text) =>
  text.split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)])/).map((part, at) => (at % 2 ? h("a", { href: part, target: "_blank", rel: "noopener" }, part) : part));

/** The shop's window is empty. `look()` returns when it still is, and may throw an ApiError. */
export function nothingView({ goBack, look, menu }) {
  const status = h("p", { class: "status" });
  const asks = button("primary", t.buy.refresh, async () => {
    if (isBusy(asks)) return;
    busy(asks, t.waiting.checking);
    status.textContent = "";
    try {
      await look();
    } catch (error) {
      status.textContent = trouble(error, "load");
      say(status.textContent);
    }
    busy(asks, null);
  }, { "data-testid": "refresh" });
  return screen(
    "nothing_on_sale",
    hero("asleep", t.buy.nothing, t.buy.nothingLead),
    status,
    menu,
    bar(backButton(t.buy.back, goBack), asks),
  );
}
