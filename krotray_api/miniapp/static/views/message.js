// The screen that says what has gone wrong. It is there from the start: without a connection it could not be fetched.

import { h } from "../dom.js";
import { needsLogin, t, trouble, troubleTitle } from "../texts.js";
import { backButton, bar, busy, button, hero, isBusy, screen } from "./parts.js";

/** For where there is no window of Telegram's to close. */
export const openTelegram = () => h("a", { class: "button primary", href: "tg://", "data-testid": "open-telegram" }, t.outside.open);

/**
 * `close` is there where the window can be closed; it is offered when only opening it anew helps. `back` is there when there is
 * a screen to go back to.
 */
export function troubleView({ error, retry, back, close }) {
  const again = () => {
    if (isBusy(act)) return;
    busy(act, t.loading);
    retry();
  };
  const login = close ? () => button("primary", t.close, close, { "data-testid": "close" }) : openTelegram;
  const act = needsLogin(error) ? login() : button("primary", t.retry, again, { "data-testid": "retry" });
  return screen("error", hero("hatch", troubleTitle(error), trouble(error, "load")), bar(backButton(t.buy.back, back), act));
}
