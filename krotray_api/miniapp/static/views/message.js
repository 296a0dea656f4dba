// Screens that mostly say one thing: an error, or that this is not Telegram.

import { h } from "../dom.js";
import { t, trouble, troubleTitle } from "../texts.js";
import { planList } from "./buy.js";
import { bar, button, hero, screen } from "./parts.js";

export const troubleView = ({ error, retry }) =>
  screen("error", hero("hatch", troubleTitle(error), trouble(error, "load")), bar(button("primary", t.retry, retry, { "data-testid": "retry" })));

/** In a plain browser there is nobody to sell to, but the prices are no secret. */
export const outsideView = ({ plans }) =>
  screen(
    "outside",
    hero("asleep", t.outside.title, t.outside.lead),
    plans.length ? planList(plans) : null,
    bar(h("a", { class: "button primary", href: "tg://", "data-testid": "open-telegram" }, t.outside.open)),
  );
