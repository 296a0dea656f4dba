// Between "pay" and the key: waiting for the money, then for the key. Both end by themselves.

import { h, say } from "../dom.js";
import { count, rubles, t } from "../texts.js";
import { bar, busy, button, hero, isBusy, screen } from "./parts.js";

const LONG = 20_000;
const PATIENCE = 8000;

/** `payment` may be null when it was begun on another device. `check()` asks for a look now. */
export function waitingView({ payment, check, go, other, home }) {
  const status = h("p", { class: "status" });
  const tell = (words) => {
    if (status.textContent !== words) say(words);
    status.textContent = words;
  };
  let timer = null;
  const press = async () => {
    if (isBusy(asks)) return;
    tell(t.waiting.checking);
    busy(asks, t.waiting.checking);
    clearTimeout(timer);
    await check();
    // YooKassa is asked in the background, so "not yet" is only true a little later.
    timer = setTimeout(() => {
      busy(asks, null);
      if (status.textContent === t.waiting.checking) tell(t.waiting.notYet);
    }, PATIENCE);
  };
  const url = payment?.confirmation_url;
  const asks = button(url ? "soft" : "primary", t.waiting.check, press, { "data-testid": "check-payment" });
  const order = payment && t.waiting.order(count(payment.months, t.months), rubles(payment.amount));
  const node = screen(
    "payment_pending",
    hero("digging", t.waiting.title, order && h("p", { class: "strong", "data-testid": "order" }, order), payment ? t.waiting.lead : t.waiting.leadElsewhere),
    status,
    bar(
      home ? button("plain", t.waiting.home, home, { "data-testid": "home" }) : button("plain", t.waiting.other, other, { "data-testid": "other" }),
      asks,
      url && button("primary", t.waiting.go, () => go(url), { "data-testid": "go-pay" }),
    ),
  );
  const calm = () => {
    if (status.textContent !== t.waiting.checking && status.textContent !== t.waiting.notYet) status.textContent = "";
  };
  return { node, tell, calm };
}

/** `why` there is no key at this moment: "paid" just now, "rotated" here, or "settling": its server has yet to hear of it (again). */
export function provisioningView({ refresh, why }) {
  const long = why === "paid" ? t.provisioning.longPaid : t.provisioning.long;
  const status = h("p", { class: "status" });
  setTimeout(() => {
    if (!status.isConnected) return;
    status.textContent = long;
    say(long);
  }, LONG);
  const asks = button("primary", t.provisioning.refresh, async () => {
    if (isBusy(asks)) return;
    busy(asks, t.waiting.checking);
    await refresh();
    busy(asks, null);
  }, { "data-testid": "refresh" });
  return { node: screen("provisioning", hero("digging", t.provisioning.title, t.provisioning[why]), status, bar(asks)) };
}
