// Home with a subscription: it runs, or it has run out.

import { copy } from "../clipboard.js";
import { h, say } from "../dom.js";
import { mole } from "../mole.js";
import { count, date, rubles, t } from "../texts.js";
import { bar, button, hero, notice, screen, title } from "./parts.js";

const COPIED_FOR = 2000;
const DAYS_A_MONTH = 30;

export function activeView({ subscription, note, unpaid, renew, resume }) {
  return screen(
    "active",
    notice(note?.words, note?.tone),
    h(
      "div",
      { class: "hero" },
      h("div", { class: "ring-box" }, ring(subscription), mole("sun")),
      title(t.home.works, "quiet"),
      h("p", { class: "days", "data-testid": "days-left" }, count(subscription.days_left, t.left)),
      h(
        "p",
        { class: "lead" },
        h("time", { datetime: subscription.expires_at, "data-testid": "until" }, t.until(date(subscription.expires_at))),
        subscription.server && ` · ${t.home.server(subscription.server.name)}`,
      ),
    ),
    unpaid &&
      h("div", { class: "card row" }, h("p", {}, t.home.unpaid(rubles(unpaid.amount))), button("soft", t.home.unpaidGo, resume, { "data-testid": "resume" })),
    subscription.vless_url &&
      keyCard({ heading: t.home.key, hint: t.home.keyHint, text: subscription.vless_url, words: t.home.copyKey, name: "vless" }),
    keyCard({ heading: t.home.link, hint: t.home.linkHint, text: subscription.subscription_url, words: t.home.copyLink, name: "subscription" }),
    bar(button("primary", t.home.renew, renew, { "data-testid": "renew" })),
  );
}

export function expiredView({ subscription, note, renew }) {
  const ended = subscription && t.home.expiredOn(date(subscription.expires_at));
  return screen(
    "expired",
    notice(note?.words, note?.tone),
    hero("hatch", t.home.expired, ended),
    bar(button("primary", t.home.renew, renew, { "data-testid": "renew" })),
  );
}

function keyCard({ heading, hint, text, words, name }) {
  const code = h("code", { class: "key", tabindex: "0", translate: "no", "data-testid": `${name}-url`, "aria-label": heading }, text);
  let timer = null;
  const press = async () => {
    const done = await copy(text);
    if (!done) getSelection().selectAllChildren(code);
    act.textContent = done ? t.home.copied : t.home.notCopied;
    act.classList.toggle("done", done);
    say(act.textContent);
    clearTimeout(timer);
    timer = setTimeout(() => {
      act.textContent = words;
      act.classList.remove("done");
    }, COPIED_FOR);
  };
  const act = button("soft", words, press, { "data-testid": `copy-${name}` });
  return h("div", { class: "card" }, h("h2", {}, heading), h("p", { class: "small" }, hint), code, act);
}

/** How much of the period is left; a path of length 100 that is drawn as far as the days go. */
function ring({ days_left: left, tariff_months: months }) {
  const share = Math.min(1, left / ((months ?? 1) * DAYS_A_MONTH));
  const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  box.setAttribute("class", "ring");
  box.setAttribute("viewBox", "0 0 100 100");
  box.setAttribute("aria-hidden", "true");
  box.innerHTML = `<circle class="ring-way" cx="50" cy="50" r="46"/><circle class="ring-left" cx="50" cy="50" r="46" pathLength="100"/>`;
  box.lastElementChild.style.strokeDasharray = `${(share * 100).toFixed(1)} 100`;
  return box;
}
