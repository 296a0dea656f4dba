// The last press before the checkout, and the line that says why it led nowhere.

import { h, say } from "../dom.js";
import { aboutEmail, t, trouble } from "../texts.js";
import { busy, button } from "./parts.js";

/**
 * `pay(plan, method, email)` and `bill()`, which shows a bill that is open already, may throw an ApiError. `lines` belong into the
 * screen's bar. `wrong(words)` is told what is wrong with the e-mail address, where there is a field for one.
 */
export function till({ pay, bill, wrong = null }) {
  const fault = h("p", { class: "fault", hidden: true, "data-testid": "fault" });
  const open = button("soft", t.buy.bill, () => attempt(open, bill), { hidden: true, "data-testid": "bill" });
  let running = false;

  async function attempt(act, work) {
    if (running) return;
    running = true;
    fault.hidden = true;
    if (act !== open) open.hidden = true;
    busy(act, t.buy.opening);
    say(t.buy.opening);
    try {
      await work();
    } catch (error) {
      tell(error);
    }
    busy(act, null);
    running = false;
  }

  function tell(error) {
    const words = trouble(error, "pay");
    if (wrong && aboutEmail(error)) {
      wrong(words);
      return;
    }
    if (error.code === "too_many_open_payments") open.hidden = false;
    fault.textContent = words;
    fault.hidden = false;
    say(words);
  }

  return { lines: [fault, open], press: (act, plan, method, email) => attempt(act, () => pay(plan, method, email)) };
}
