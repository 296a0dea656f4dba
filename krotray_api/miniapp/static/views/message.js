// Screens that mostly say one thing: an error, or that this is not Telegram.

import { h } from "../dom.js";
import { needsLogin, t, trouble, troubleTitle } from "../texts.js";
import { planList } from "./buy.js";
import { bar, busy, button, hero, isBusy, screen } from "./parts.js";

/** `close` is there where the window can be closed; it is offered when only opening it anew helps. */
export function troubleView({ error, retry, close }) {
  const again = () => {
    if (isBusy(act)) return;
    busy(act, t.loading);
    retry();
  };
  const act =
    close && needsLogin(error)
      ? button("primary", t.close, close, { "data-testid": "close" })
      : button("primary", t.retry, again, { "data-testid": "retry" });
  return screen("error", hero("hatch", troubleTitle(error), trouble(error, "load")), bar(act));
}

/** In a plain browser there is nobody to sell to, but the prices are no secret. */
export const outsideView = ({ plans }) =>
  screen(
    "outside",
    hero("asleep", t.outside.title, t.outside.lead),
    plans.length ? planList(plans) : null,
    bar(h("a", { class: "button primary", href: "tg://", "data-testid": "open-telegram" }, t.outside.open)),
  );
