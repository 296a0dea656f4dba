// Whether the bot can write: who came by a link straight into the app has never talked to it, and would hear of nothing.

import * as api from "./api.js";
import { here, seen, user } from "./here.js";
import * as native from "./native.js";
import { asked } from "./storage.js";
import * as telegram from "./telegram.js";
import { view } from "./views.js";

/** After a purchase, once: asks them to let the bot write, else puts the way to its chat at the end of this screen. */
export async function offerToWrite(screen) {
  if (telegram.mayWrite() || asked.get(user())) return;
  asked.set(user(), "yes");
  if (await native.askToWrite()) {
    seen(await api.me().catch(() => here.me)); // an earlier notice may have been refused: who comes to the service can be reached again
    return;
  }
  here.invite ??= await api.invite().catch(() => null);
  if (!here.invite?.url) return;
  here.bot = here.invite.url.split("?")[0];
  if (screen.isConnected) screen.querySelector(".bar").before((await view("home")).silentCard(openBot));
}

/** To the bot's chat, where a press on "Start" lets it write. */
export function openBot() {
  telegram.openChat(here.bot);
  here.bot = null;
}
