// Buying: from the choice to the checkout, and waiting for what comes of it.

import * as api from "./api.js";
import { fail, route } from "./app.js";
import { say } from "./dom.js";
import { here, isRunning, seen, user } from "./here.js";
import * as native from "./native.js";
import { repeat } from "./poll.js";
import { menu } from "./rooms.js";
import { go, isAtWork } from "./stage.js";
import { begun, forgotten, session } from "./storage.js";
import * as telegram from "./telegram.js";
import { aboutEmail, learnReasons, needsLogin, rubles, t, trouble, why } from "./texts.js";
import { view } from "./views.js";

// An unpaid bill lives an hour at the checkout; the service gives it a little longer, and so do we.
const PAYABLE = 75 * 60_000;

export const isStale = (one) => api.now() - Date.parse(one.created_at) > PAYABLE;

// Who goes to the checkout from here and is back within this time still waits for the payment.
const AT_CHECKOUT = 15 * 60_000;

/** The bill that was begun here, or elsewhere and not forgotten here; or null. */
export const billId = () => begun.get(user()) ?? (isRunning() && forgotten.get(user()) === here.me.payment_id ? null : here.me.payment_id);

/**
 * Looks at the payment begun here (or, as the service knows, on another device), asking the service to look as well. Returns a note if
 * it has ended. Who has days sees an unpaid bill only as a card at home, unless they have just been at its checkout.
 */
export async function settleBegun() {
  const own = begun.get(user());
  const id = billId();
  const wasThere = session.get("checkout") === id;
  session.set("checkout", "");
  here.payment = null;
  if (!id) return null;
  try {
    here.payment = await api.check(id);
  } catch (error) {
    if (needsLogin(error)) throw error;
    if (error.status === 404) begun.forget(user());
    return null; // the home screen is worth showing without it
  }
  if (isOpen(here.payment)) {
    if (isRunning()) here.left = !(wasThere && api.now() - Date.parse(here.payment.created_at) < AT_CHECKOUT);
    return null;
  }
  return finish({ watched: wasThere, own });
}

const isOpen = (one) => one.status === "pending" && !isStale(one);

/** The payment has ended, one way or the other: what to say about it, if anybody still waits for it. */
async function finish({ watched = true, own = true } = {}) {
  const ended = here.payment;
  begun.forget(user());
  here.payment = null;
  here.left = false;
  seen(await api.me());
  if (ended.status === "succeeded") {
    native.nod();
    return { tone: "good", paid: true, returned: Number(ended.refunded_amount) ? ended.refunded_amount : null };
  }
  if (ended.status !== "refunded" && (await isOvertaken(ended, watched, own))) return null;
  native.shake();
  if (ended.status === "canceled") return { canceled: ended };
  return { tone: "bad", words: ended.status === "pending" ? t.notice.stale : t.notice.refunded(rubles(ended.refunded_amount)) };
}

/** Whether days have come otherwise since the bill was made: then it does not matter any more. */
async function isOvertaken(bill, watched, own) {
  const ranOut = bill.status === "pending" || bill.cancel_reason === "expired_on_confirmation";
  if (isRunning() && !watched && (ranOut || !own)) return true;
  const { payments } = await api.payments().catch(() => ({ payments: [] }));
  return payments.some((one) => one.status === "succeeded" && Date.parse(one.paid_at) > Date.parse(bill.created_at));
}

/** Somebody who has days does not want to see this bill any more. If it is paid after all, the days come all the same. */
export function forgetBill() {
  forgotten.set(user(), here.payment.payment_id);
  begun.forget(user());
  here.payment = null;
}

/** Looks at the bill on the home screen. Returns true once it has ended: paid is said, anything else only takes it away. */
export async function hasEnded(bill, screen) {
  const found = await api.payment(bill.payment_id).catch(() => null);
  if (!screen.isConnected) return true;
  if (!found || isOpen(found)) return false;
  here.payment = found;
  const note = await finish({ watched: false, own: false }).catch(() => null);
  await route(note?.canceled ? null : note);
  return true;
}

/** The shop's window. `home` leads back from it for somebody who came from the home screen. */
export async function buy(note = null) {
  const { buyView, nothingView } = await view("buy");
  const { offer, me, payment } = here;
  const { state } = me;
  const unpaid = payment || state === "payment_pending";
  const running = state === "active";
  const goBack = () => {
    here.left = here.left && running; // whoever has days goes home, whoever has none to the bill
    return route();
  };
  const back = state === "no_subscription" && !unpaid ? null : goBack;
  const options = { back, again: () => buy(), fresh };
  if (!offer.plans.length) {
    const look = async () => {
      here.offer = await api.plans();
      if (here.offer.plans.length) await buy();
    };
    return go(nothingView({ goBack: back, look, menu: back ? null : menu() }), options);
  }
  const wanted = { ...here.chosen, email: here.chosen.email ?? me.user.receipt_email };
  const usual = me.subscription?.tariff_months;
  const choose = (picked) => Object.assign(here.chosen, picked);
  go(buyView({ state, ...offer, note, chosen: wanted, usual, goBack: back, pay, bill: openBill, choose, menu: back ? null : menu() }), options);
  if (note) window.scrollTo(0, 0); // it may be the same screen again

  /** Days that came meanwhile lead home; other prices are shown, with what was chosen and typed. */
  async function fresh() {
    const shown = document.querySelector("#view .screen");
    const [now, sold] = await Promise.all([api.me(), api.plans()]);
    if (!shown.isConnected || isAtWork()) return;
    seen(now);
    if (!running && isRunning()) return route();
    const changed = JSON.stringify(sold) !== JSON.stringify(offer);
    here.offer = sold;
    if (changed) return buyAgain(t.buy.changed);
    if (now.state !== state) return buy();
  }
}

/** Makes a payment and opens the checkout. `plan` is as it was seen: at another price or length by now, it is not bought. */
async function pay(plan, method, email) {
  here.chosen = { code: plan.code, method, email };
  try {
    here.offer = await api.plans();
    const same = here.offer.plans.find((one) => ["code", "months", "days", "amount", "currency"].every((name) => one[name] === plan[name]));
    if (!same) return await buyAgain(t.buy.changed);
    const made = await api.pay(plan.code, method, email);
    if (email) here.me.user.receipt_email = email;
    begun.set(user(), made.payment_id);
    if (isRunning()) session.set("checkout", made.payment_id);
    here.left = false;
    here.payment = {
      payment_id: made.payment_id,
      status: "pending",
      amount: plan.amount,
      method,
      tariff: plan.code,
      months: plan.months,
      created_at: new Date(api.now()).toISOString(),
      confirmation_url: made.confirmation_url,
    };
    await waiting();
    if (made.confirmation_url) telegram.open(made.confirmation_url);
  } catch (error) {
    if (needsLogin(error)) return fail(error);
    // Receipts were switched on a moment ago: now there is a field for the address.
    if (aboutEmail(error) && email === undefined && here.offer.receipt.email_required) return buyAgain(trouble(error, "pay"));
    throw error;
  }
}

function buyAgain(words) {
  say(words);
  return buy({ tone: "bad", words });
}

/** The newest bill that can still be paid, wherever it was begun; or this one. */
export async function openBill(id = null) {
  seen(await api.me());
  const wanted = id ?? here.me.payment_id;
  here.payment = wanted ? await api.payment(wanted) : null;
  if (here.payment?.status !== "pending") here.payment = null;
  here.left = false;
  await (here.payment ? waiting() : buy());
}

/** A payment has come to nothing, and nobody waits for it any more. */
export async function canceled(ended) {
  const [{ canceledView }] = await Promise.all([view("canceled"), learnReasons()]);
  here.chosen = { code: ended.tariff, method: ended.method };
  const sold = here.offer.plans.find((plan) => plan.code === ended.tariff);
  say(why(ended));
  const home = isRunning() ? () => route() : null;
  const plan = sold && { ...sold, amount: ended.amount }; // what stands on the screen is what is bought, or nothing
  const screen = canceledView({ payment: ended, plan, pay, bill: openBill, other: () => buy(), home });
  go(screen, { back: home, again: () => canceled(ended) });
}

/** Waiting for the money; ends by itself. */
export async function waiting() {
  const { waitingView } = await view("waiting");
  const { payment, me } = here;
  const id = payment?.payment_id ?? (me.state === "payment_pending" ? me.payment_id : null);
  const running = isRunning();
  const leave = (next) => () => {
    here.left = true;
    return next();
  };
  const screen = waitingView({
    payment,
    check: () => look(true),
    go: telegram.open,
    other: leave(() => buy()),
    home: running && leave(() => route()),
  });
  const url = payment?.confirmation_url;
  let done = false; // a press on "check" and the poll may learn of the end at the same moment

  /** One look at how things stand. Returns true once this screen has done its work. */
  async function look(asking = false) {
    try {
      if (!id) {
        seen(await api.me());
        if (done || !screen.node.isConnected) return true;
        if (here.me.state === "payment_pending") return false;
        done = true;
        await route();
        return true;
      }
      const found = await (asking ? api.check(id) : api.payment(id));
      if (done || !screen.node.isConnected) return true;
      here.payment = found;
      if (found.status !== "pending" || isStale(found)) {
        done = true;
        await route(await finish());
        return true;
      }
      if (found.confirmation_url !== url) {
        done = true;
        await waiting(); // now there is an address to pay at
        return true;
      }
      screen.calm();
    } catch (error) {
      if (!screen.node.isConnected) return true;
      if (needsLogin(error)) {
        fail(error);
        return true;
      }
      done = false;
      screen.tell(trouble(error, "wait"));
    }
    return false;
  }

  /** Back from the checkout, or after days were got otherwise. The poll sees what comes of the check. */
  async function fresh() {
    if (payment) await api.check(id).catch(() => null);
    const now = await api.me();
    if (done || !screen.node.isConnected) return;
    seen(now);
    if (payment && !running && isRunning() && !(await look())) {
      done = here.left = true;
      await route();
    }
  }

  go(screen.node, { fresh, live: repeat(look), back: running ? leave(() => route()) : null, again: waiting });
}
