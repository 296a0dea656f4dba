// The way through the app: which screen follows from what the service says.

import * as api from "./api.js";
import { say, show } from "./dom.js";
import { repeat } from "./poll.js";
import { begun } from "./storage.js";
import * as telegram from "./telegram.js";
import { aboutEmail, date, lang, needsLogin, rubles, t, trouble, why } from "./texts.js";
import { buyView, nothingView } from "./views/buy.js";
import { canceledView } from "./views/canceled.js";
import { activeView, expiredView } from "./views/home.js";
import { outsideView, troubleView } from "./views/message.js";
import { provisioningView, waitingView } from "./views/waiting.js";

// An unpaid bill lives an hour at the checkout; the service gives it a little longer, and so do we.
const PAYABLE = 75 * 60_000;
const STALE_VIEW = 10_000;

let offer = { plans: [], receipt: { email_required: false, consent: null } };
let chosen = {}; // what somebody wanted to buy last: {code, method, email}
let me = null;
let payment = null; // begun on this device and without an end yet
let left = false; // its owner went home without paying
let polling = null;
let looked = 0; // when `me` was read

function go(screen, { back = null, live = null } = {}) {
  polling?.stop();
  polling = live;
  telegram.back(back);
  show(screen);
}

/** Reads everything anew and shows what follows from it. */
async function read() {
  [me, offer] = await Promise.all([api.me(), api.plans()]);
  looked = Date.now();
  window.removeEventListener("online", refresh);
  route(await settleBegun());
}

const refresh = () => read().catch(fail);

function fail(error) {
  go(troubleView({ error, retry: refresh, close: telegram.closer() }));
  if (!needsLogin(error)) window.addEventListener("online", refresh, { once: true });
}

const user = () => me.user.telegram_id;

/** Looks at the payment begun here (or, as the service knows, on another device), asking the service to look as well. Returns a note if it has ended. */
async function settleBegun() {
  const id = begun.get(user()) ?? (me.state === "payment_pending" ? me.payment_id : null);
  payment = null;
  if (!id) return null;
  try {
    payment = await api.check(id);
  } catch (error) {
    if (needsLogin(error)) throw error;
    if (error.status === 404) begun.forget(user());
    return null; // the home screen is worth showing without it
  }
  if (payment.status === "pending" && !isStale(payment)) return null;
  return finish();
}

const isStale = (one) => api.now() - Date.parse(one.created_at) > PAYABLE;

/** The payment has ended, one way or the other: what to say about it. */
async function finish() {
  const ended = payment;
  begun.forget(user());
  payment = null;
  left = false;
  me = await api.me();
  looked = Date.now();
  if (ended.status === "succeeded") {
    telegram.nod();
    return { tone: "good", paid: true, returned: Number(ended.refunded_amount) ? ended.refunded_amount : null };
  }
  if (ended.status === "canceled") return { canceled: ended };
  return { tone: "bad", words: ended.status === "pending" ? t.notice.stale : t.notice.refunded(rubles(ended.refunded_amount)) };
}

function route(note = null) {
  const running = isRunning();
  if (note?.canceled) return canceled(note.canceled);
  if (payment && !left) return waiting();
  if (me.state === "payment_pending" && !left) return waiting();
  if (me.state === "provisioning") return provisioning();
  if (note?.paid) {
    const returned = note.returned && t.home.partReturned(rubles(note.returned));
    note.words = [running && t.home.paid(date(me.subscription.expires_at)), returned].filter(Boolean).join(" ");
  }
  if (note?.words) say(note.words);
  if (me.state === "no_subscription" || me.state === "payment_pending") return buy(note);
  return home(note);
}

const isRunning = () => me.state === "active" || me.state === "provisioning";

function home(note) {
  const { subscription } = me;
  const renew = () => buy();
  if (me.state === "expired") return go(expiredView({ subscription, note, renew }));
  const resume = () => {
    left = false;
    waiting();
  };
  go(activeView({ subscription, note, renew, resume, unpaid: payment }));
}

function buy(note = null) {
  const { state } = me;
  const unpaid = payment || state === "payment_pending";
  const running = state === "active";
  const goBack = () => {
    left = left && running; // whoever has days goes home, whoever has none to the bill
    route();
  };
  const back = state === "no_subscription" && !unpaid ? null : goBack;
  if (!offer.plans.length) {
    const look = async () => {
      offer = await api.plans();
      if (offer.plans.length) buy();
    };
    return go(nothingView({ goBack: back, look }), { back });
  }
  const wanted = { ...chosen, email: chosen.email ?? me.user.receipt_email };
  const usual = me.subscription?.tariff_months;
  go(buyView({ state, ...offer, note, chosen: wanted, usual, goBack: back, pay, bill: openBill }), { back });
  if (note) window.scrollTo(0, 0); // it may be the same screen again
}

/** Makes a payment and opens the checkout. `plan` is as it was seen: at another price or length by now, it is not bought. */
async function pay(plan, method, email) {
  chosen = { code: plan.code, method, email };
  try {
    offer = await api.plans();
    const same = offer.plans.find((one) => ["code", "months", "days", "amount", "currency"].every((name) => one[name] === plan[name]));
    if (!same) return buyAgain(t.buy.changed);
    const made = await api.pay(plan.code, method, email);
    if (email) me.user.receipt_email = email;
    begun.set(user(), made.payment_id);
    left = false;
    payment = {
      payment_id: made.payment_id,
      status: "pending",
      amount: plan.amount,
      method,
      tariff: plan.code,
      created_at: new Date(api.now()).toISOString(),
      confirmation_url: made.confirmation_url,
    };
    waiting();
    if (made.confirmation_url) telegram.open(made.confirmation_url);
  } catch (error) {
    if (needsLogin(error)) return fail(error);
    // Receipts were switched on a moment ago: now there is a field for the address.
    if (aboutEmail(error) && email === undefined && offer.receipt.email_required) return buyAgain(trouble(error, "pay"));
    throw error;
  }
}

function buyAgain(words) {
  say(words);
  buy({ tone: "bad", words });
}

/** The newest bill that can still be paid, wherever it was begun. */
async function openBill() {
  me = await api.me();
  looked = Date.now();
  payment = me.payment_id ? await api.payment(me.payment_id) : null;
  if (payment?.status !== "pending") payment = null;
  left = false;
  if (payment) waiting();
  else buy();
}

/** A payment has come to nothing, and nobody waits for it any more. */
function canceled(ended) {
  chosen = { code: ended.tariff, method: ended.method };
  const sold = offer.plans.find((plan) => plan.code === ended.tariff);
  say(why(ended));
  const home = isRunning() ? () => route() : null;
  const plan = sold && { ...sold, amount: ended.amount }; // what stands on the screen is what is bought, or nothing
  go(canceledView({ payment: ended, plan, pay, bill: openBill, other: () => buy(), home }), { back: home });
}

function waiting() {
  const id = payment?.payment_id ?? (me.state === "payment_pending" ? me.payment_id : null);
  const running = isRunning();
  const leave = (next) => () => {
    left = true;
    next();
  };
  const view = waitingView({
    payment,
    plan: offer.plans.find((plan) => plan.code === payment?.tariff),
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
        me = await api.me();
        if (done || !view.node.isConnected) return true;
        if (me.state === "payment_pending") return false;
        done = true;
        route();
        return true;
      }
      const seen = await (asking ? api.check(id) : api.payment(id));
      if (done || !view.node.isConnected) return true;
      payment = seen;
      if (seen.status !== "pending" || isStale(seen)) {
        done = true;
        route(await finish());
        return true;
      }
      if (seen.confirmation_url !== url) {
        done = true;
        waiting(); // now there is an address to pay at
        return true;
      }
      view.calm();
    } catch (error) {
      if (!view.node.isConnected) return true;
      if (needsLogin(error)) {
        fail(error);
        return true;
      }
      done = false;
      view.tell(trouble(error, "wait"));
    }
    return false;
  }

  go(view.node, { live: repeat(look), back: running ? leave(() => route()) : null });
}

function provisioning() {
  const look = async () => {
    try {
      const seen = await api.me();
      if (!view.node.isConnected) return true;
      me = seen;
      looked = Date.now();
      if (me.state === "provisioning") return false;
      telegram.nod();
      route({ tone: "good", paid: true });
      return true;
    } catch (error) {
      if (!needsLogin(error)) return false;
      fail(error);
      return true;
    }
  };
  const view = provisioningView({ refresh: look });
  say(t.provisioning.lead);
  go(view.node, { live: repeat(look) });
}

/** Somebody came back to the page: from the checkout, from another app, out of the browser's memory. */
async function comeBack() {
  if (document.hidden || !me) return;
  const screen = document.querySelector("[data-state]").dataset.state;
  if (payment && screen === "payment_pending") {
    await api.check(payment.payment_id).catch(() => null); // the screen's own poll sees what comes of it
  } else if ((screen === "active" || screen === "expired") && Date.now() - looked > STALE_VIEW) {
    await read().catch(() => null); // what is on the screen is better than an error
  }
}

async function start() {
  document.documentElement.lang = lang;
  const words = document.getElementById("loading-words");
  if (words) words.textContent = t.loading;
  telegram.hello();
  if (telegram.initData) {
    document.addEventListener("visibilitychange", comeBack);
    window.addEventListener("pageshow", (event) => event.persisted && comeBack());
    return refresh();
  }
  offer = await api.plans().catch(() => offer);
  go(outsideView(offer));
}

start();
