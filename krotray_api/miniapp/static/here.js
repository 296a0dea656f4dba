// What the app knows at this moment; the modules that move through it share it.

export const here = {
  me: null, // as /api/me said
  offer: { plans: [], receipt: { email_required: false, consent: null } },
  chosen: {}, // what somebody wanted to buy last: {code, method, email}
  payment: null, // begun on this device and without an end yet
  left: false, // its owner went home without paying
  rotated: false, // the key was changed here and its server has yet to hear of it
  paid: false, // a payment has just counted, and its key is still to come
  bot: null, // the address of the bot, for somebody whom it may not write to
  invite: null, // as /api/invite said
};

export const user = () => here.me.user.telegram_id;

export const isRunning = () => here.me.state === "active" || here.me.state === "provisioning";

/** Keeps what /api/me said. */
export function seen(me) {
  here.me = me;
  if (me.state !== "provisioning") here.rotated = false;
}
