// Home with a subscription: it runs, or it has run out.

import { h } from "../dom.js";
import { mole } from "../mole.js";
import { bytes, count, date, rubles, t } from "../texts.js";
import { bar, button, hero, notice, screen, title } from "./parts.js";

const DAYS_A_MONTH = 30;
// From here on renewing matters more than connecting.
const FEW_DAYS = 3;

/** `unpaid` is a bill that waits, to be gone on with by `resume` or not by `forget`; `openBot` is there if the bot may not write. */
export function activeView({ subscription, note, unpaid, renew, resume, forget, connect, openBot, menu }) {
  const few = subscription.days_left <= FEW_DAYS;
  const kinds = few ? ["soft", "primary"] : ["primary", "soft"];
  const connects = button(kinds[0], t.home.connect, connect, { "data-testid": "connect" });
  const renews = button(kinds[1], t.home.renew, renew, { "data-testid": "renew" });
  return screen(
    "active",
    notice(note?.words, note?.tone),
    h(
      "div",
      { class: note?.paid ? "hero celebrates" : "hero" },
      h("div", { class: "ring-box" }, note?.paid && sunrays(), ring(subscription), mole("sun")),
      title(note?.paid ? t.home.out : t.home.works, "quiet"),
      h("p", { class: "days", "data-testid": "days-left" }, count(subscription.days_left, t.left)),
      h(
        "p",
        { class: "lead" },
        h("time", { datetime: subscription.expires_at, "data-testid": "until" }, t.until(date(subscription.expires_at))),
        subscription.server && ` · ${t.home.server(subscription.server.name)}`,
      ),
      used(subscription.traffic),
    ),
    unpaid && unpaidCard(unpaid, resume, forget),
    menu,
    openBot && silentCard(openBot),
    bar(...(few ? [connects, renews] : [renews, connects])),
  );
}

/** How much has gone through in this period, where that is known. */
const used = (traffic) => Number.isFinite(traffic?.used_bytes) && h("p", { class: "small", "data-testid": "traffic" }, t.home.traffic(bytes(traffic.used_bytes)));

const unpaidCard = (unpaid, resume, forget) =>
  h(
    "div",
    { class: "card row", "data-testid": "unpaid" },
    h("p", {}, t.home.unpaid(rubles(unpaid.amount))),
    h(
      "div",
      { class: "pair" },
      button("soft", t.home.unpaidGo, resume, { "data-testid": "resume" }),
      button("plain", t.home.unpaidForget, forget, { "data-testid": "forget" }),
    ),
  );

/** For somebody to whom the bot may not write: only they can change that. */
export function silentCard(openBot) {
  const card = h(
    "div",
    { class: "card row", "data-testid": "silent" },
    h("p", {}, t.home.silent),
    button("soft", t.home.openBot, () => {
      openBot();
      card.remove();
    }, { "data-testid": "open-bot" }),
  );
  return card;
}

export function expiredView({ subscription, note, renew, menu }) {
  const ended = subscription && t.home.expiredOn(date(subscription.expires_at));
  return screen(
    "expired",
    notice(note?.words, note?.tone),
    hero("hatch", t.home.expired, ended),
    menu,
    bar(button("primary", t.home.renew, renew, { "data-testid": "renew" })),
  );
}

const svg = (name, inner) => {
  const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  box.setAttribute("class", name);
  box.setAttribute("viewBox", "0 0 100 100");
  box.setAttribute("aria-hidden", "true");
  box.innerHTML = inner;
  return box;
};

/** How much of the period is left; a path of length 100 that is drawn as far as the days go. */
function ring({ days_left: left, tariff_months: months }) {
  const share = Math.min(1, left / ((months ?? 1) * DAYS_A_MONTH));
  const box = svg("ring", `<circle class="ring-way" cx="50" cy="50" r="46"/><circle class="ring-left" cx="50" cy="50" r="46" pathLength="100"/>`);
  box.lastElementChild.style.strokeDasharray = `${(share * 100).toFixed(1)} 100`;
  return box;
}

/** The sun comes up behind the mole: once, when the payment has arrived. */
function sunrays() {
  const ray = (turn) => `<path d="M50 3v-9" transform="rotate(${turn} 50 50)"/>`;
  return svg("sunrays", Array.from({ length: 18 }, (_, at) => ray(at * 20)).join(""));
}
