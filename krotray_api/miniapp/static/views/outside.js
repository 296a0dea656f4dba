// This is not Telegram.

import { t } from "../texts.js";
import { planList } from "./buy.js";
import { openTelegram } from "./message.js";
import { bar, hero, screen } from "./parts.js";

/** In a plain browser there is nobody to sell to, but the prices are no secret. */
export const outsideView = ({ plans }) =>
  screen("outside", hero("asleep", t.outside.title, t.outside.lead), plans.length ? planList(plans) : null, bar(openTelegram()));
