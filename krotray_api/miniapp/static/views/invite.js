// A link of one's own for a friend.

import { h } from "../dom.js";
import { count, t } from "../texts.js";
import { backButton, bar, button, hero, screen } from "./parts.js";
import { code, copyButton } from "./share.js";

export function inviteView({ url, came, share, back }) {
  if (!url) {
    return screen("invite", hero("asleep", t.invite.off, t.invite.offLead), bar(button("primary", t.toHome, back, { "data-testid": "home" })));
  }
  const shown = code(url, t.invite.link, "invite-url");
  return screen(
    "invite",
    hero("sun", t.invite.title, t.invite.lead, h("p", { class: "strong", "data-testid": "came" }, came ? count(came, t.invite.came) : t.invite.nobody)),
    h("div", { class: "card" }, h("h2", {}, t.invite.link), shown, copyButton("soft", t.invite.copy, shown, "copy-invite")),
    bar(backButton(t.buy.back, back), button("primary", t.invite.share, () => share(url, t.invite.text), { "data-testid": "share" })),
  );
}
