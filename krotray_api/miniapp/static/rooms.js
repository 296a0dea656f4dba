// The screens around the subscription: home, connecting, the key, what was paid, inviting.

import * as api from "./api.js";
import { fail, route } from "./app.js";
import { say } from "./dom.js";
import { here, isRunning, seen } from "./here.js";
import * as native from "./native.js";
import { repeat } from "./poll.js";
import { billId, buy, forgetBill, hasEnded, isStale, openBill, settleBegun, waiting } from "./purchase.js";
import { offerToWrite, openBot } from "./reach.js";
import { go, isAtWork, keepOpen } from "./stage.js";
import * as telegram from "./telegram.js";
import { learnReasons, needsLogin, t, trouble } from "./texts.js";
import { view } from "./views.js";
import { menuList, skeleton } from "./views/parts.js";

/** What there is beside the one thing to do. The invitation comes last, for the service has to be asked whether there is one. */
export function menu(more = []) {
  const list = menuList(t.menu.title, [...more, { words: t.menu.payments, act: payments, id: "payments" }]);
  if (here.invite?.url) list.add({ words: t.menu.invite, act: invite, id: "invite" });
  else if (!here.invite) askForInvite(list);
  return list.node;
}

async function askForInvite(list) {
  here.invite = await api.invite().catch(() => null); // asked again the next time
  if (here.invite?.url && list.node.isConnected) list.add({ words: t.menu.invite, act: invite, id: "invite" });
}

/** Nothing bought yet: the shop's window is home. */
export const shop = (note) => buy(note);

/** Home with a subscription that runs or has run out. */
export async function home(note = null) {
  const { activeView, expiredView } = await view("home");
  const { subscription, state } = here.me;
  const renew = () => buy();
  const options = { again: () => home(), fresh };
  let screen = null;

  async function fresh() {
    const now = await api.me();
    if (!screen.isConnected) return;
    const same = JSON.stringify(now) === JSON.stringify(here.me);
    seen(now);
    if (same && !here.payment && !billId()) return;
    const news = await settleBegun();
    if (news || screen.isConnected) await route(news);
  }

  if (state === "expired") {
    screen = expiredView({ subscription, note, renew, menu: menu() });
    return go(screen, options);
  }
  const resume = () => {
    here.left = false;
    return waiting();
  };
  const forget = () => {
    forgetBill();
    return home();
  };
  const rows = menu([{ words: t.menu.key, act: key, id: "key" }]);
  const unpaid = here.payment;
  screen = activeView({ subscription, note, renew, connect, unpaid, resume, forget, openBot: here.bot && openBot, menu: rows });
  if (unpaid) options.live = repeat(() => hasEnded(unpaid, screen));
  go(screen, options);
  if (note?.paid) offerToWrite(screen);
}

/** Paid, or the key was changed, and its server has yet to hear of it; ends by itself. */
export async function provisioning() {
  const { provisioningView } = await view("waiting");
  const why = here.rotated ? "rotated" : here.paid ? "paid" : "settling";
  const look = async () => {
    try {
      const found = await api.me();
      if (!screen.node.isConnected) return true;
      seen(found);
      if (found.state === "provisioning") return false;
      native.nod();
      await route(why === "paid" ? { tone: "good", paid: true } : null);
      return true;
    } catch (error) {
      if (!needsLogin(error)) return false;
      fail(error);
      return true;
    }
  };
  const screen = provisioningView({ refresh: look, why });
  say(t.provisioning[why]);
  go(screen.node, { live: repeat(look), again: provisioning });
}

/** In a plain browser there is nobody to sell to. */
export async function outside() {
  here.offer = await api.plans().catch(() => here.offer);
  const shown = async () => go((await view("outside")).outsideView(here.offer), { again: shown });
  await shown().catch((error) => fail(error, { retry: outside }));
}

const back = () => route();

/** A screen that has to ask first: its bones, then what `made` makes of the answer, or what went wrong. `again` is this very call. */
async function room(name, title, bones, ask, made, again) {
  const waits = skeleton(name, title, bones);
  const put = (screen, found) => {
    const fresh = async () => {
      const [now, me] = await Promise.all([ask(), api.me()]);
      if (!screen.isConnected) return;
      seen(me);
      if (JSON.stringify(now) === JSON.stringify(found)) return;
      const next = await made(now);
      if (!screen.isConnected || isAtWork()) return;
      put(next, now);
      keepOpen(screen, next);
    };
    go(screen, { back, again, fresh, live: screen.live ?? null });
  };
  go(waits, { back, again });
  try {
    const found = await ask();
    const screen = await made(found);
    if (waits.isConnected) put(screen, found);
  } catch (error) {
    if (waits.isConnected) fail(error, { retry: again, back });
  }
}

export const connect = () =>
  room(
    "connect",
    t.connect.title,
    [90, 90, 90],
    api.connect,
    async (found) => (await view("connect")).connectView({ ...found, buy: () => buy(), back }),
    connect,
  );

export const payments = () =>
  room(
    "payments",
    t.payments.title,
    [80, 80, 80],
    async () => (await Promise.all([api.payments(), learnReasons()]))[0],
    async (found) => (await view("payments")).paymentsView({ ...found, isStale, bill: openBill, buy: () => buy(), back }),
    payments,
  );

export const invite = () =>
  room(
    "invite",
    t.invite.title,
    [120],
    async () => (here.invite = await api.invite()),
    async (found) => (await view("invite")).inviteView({ ...found, share: telegram.share, back }),
    invite,
  );

/** The key and the link, and the way to new ones. */
export const key = () =>
  room(
    "key",
    t.key.title,
    [180, 140],
    api.key,
    async (found) => {
      if (!found.subscription_url) return (await view("connect")).nothingView({ buy: () => buy(), back });
      const screen = (await view("key")).keyView({ ...found, rotate: askToRotate, back });
      if (!found.vless_url) screen.live = repeat(() => keyIsThere(screen));
      return screen;
    },
    key,
  );

/** Looks whether the new key works by now, and shows it then. */
async function keyIsThere(screen) {
  const found = await api.key().catch(() => null);
  if (!screen.isConnected) return true;
  if (!found?.vless_url) return false;
  screen.arrived(found.vless_url);
  return true;
}

async function askToRotate() {
  const { confirmView } = await view("key");
  go(confirmView({ rotate, keep: key }), { back: key, again: askToRotate });
}

/** Changes the key. Returns words that say why that did not work, or null. */
async function rotate() {
  const before = here.me.subscription?.subscription_url;
  try {
    await api.rotate();
  } catch (error) {
    if (needsLogin(error)) return void fail(error);
    if (error.status === 404) return t.trouble.noKey;
    const refused = error.status >= 400 && error.status < 500;
    // The answer may have been lost on its way, with the key changed all the same.
    const now = refused ? null : await api.key().catch(() => null);
    if (refused || now?.subscription_url === before) {
      native.shake();
      return trouble(error, "rotate");
    }
    if (!now) return t.trouble.rotateUnknown;
  }
  here.rotated = true;
  native.nod();
  seen(await api.me().catch(() => here.me));
  await rotated();
  return null;
}

async function rotated() {
  const { rotatedView } = await view("key");
  say(t.key.done);
  go(rotatedView({ connect, key }), { back, again: rotated });
}
