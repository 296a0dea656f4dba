// The key and the link: shown, copied, turned over for the QR code, changed.

import { h, say } from "../dom.js";
import { t } from "../texts.js";
import { backButton, bar, busy, button, hero, isBusy, screen, title } from "./parts.js";
import { code, copyButton, qr } from "./share.js";

/** `vless_url` is null while a new key is being made; `node.arrived(url)` shows it then. */
export function keyView({ vless_url: key, subscription_url: link, rotate, back }) {
  const shown = code(link, t.key.link, "subscription-url");
  const { card, turn } = turning(shown, `${link}/qr.svg`);
  const raw = h("div", { class: "card key-raw" });
  const node = screen(
    "key",
    h("div", { class: "head" }, title(t.key.title)),
    h("div", { class: "card" }, h("h2", {}, t.key.link), h("p", { class: "small" }, t.key.linkHint), card, turn),
    raw,
    button("plain", t.key.rotate, rotate, { "data-testid": "rotate" }),
    bar(backButton(t.buy.back, back), copyButton("primary", t.key.copyLink, shown, "copy-subscription")),
  );
  node.arrived = (url) => {
    const text = code(url, t.key.key, "vless-url");
    raw.replaceChildren(h("h2", {}, t.key.key), h("p", { class: "small" }, t.key.keyHint), text, copyButton("soft", t.key.copyKey, text, "copy-vless"));
  };
  if (key) node.arrived(key);
  else raw.replaceChildren(h("h2", {}, t.key.key), h("p", { class: "small", role: "status" }, t.key.keyComing));
  return node;
}

/** A card with the link on one side and its QR code, fetched when it is wanted, on the other. */
function turning(front, url) {
  const card = h("div", { class: "turning" }, front);
  let back = null;
  const turn = button("soft", t.key.showQr, () => {
    const over = card.firstElementChild === front;
    back ??= qr(url);
    card.replaceChildren(over ? back : front);
    card.classList.remove("turned");
    void card.offsetWidth; // the turn is shown anew each time
    card.classList.add("turned");
    turn.textContent = over ? t.key.hideQr : t.key.showQr;
    turn.setAttribute("aria-expanded", String(over));
  }, { "data-testid": "turn", "aria-expanded": "false" });
  return { card, turn };
}

/** Asks before the old key is lost for good. `rotate()` returns words that say why it did not work, or nothing. */
export function confirmView({ rotate, keep }) {
  const fault = h("p", { class: "fault", hidden: true, "data-testid": "fault" });
  const go = button("danger", t.key.confirmGo, async () => {
    if (isBusy(go)) return;
    fault.hidden = true;
    busy(go, t.key.rotating);
    say(t.key.rotating);
    const words = await rotate();
    busy(go, null);
    if (!words) return;
    fault.textContent = words;
    fault.hidden = false;
    say(words);
  }, { "data-testid": "rotate-confirm" });
  const stay = button("primary", t.key.keep, keep, { "data-testid": "rotate-keep" });
  return screen("rotate", hero("hatch", t.key.confirm, t.key.confirmLead), bar(fault, go, stay));
}

export const rotatedView = ({ connect, key }) =>
  screen(
    "rotated",
    hero("sun", t.key.done, t.key.doneLead),
    bar(button("plain", t.key.show, key, { "data-testid": "show-key" }), button("primary", t.key.connect, connect, { "data-testid": "connect" })),
  );
