// Pieces about a text that is to be taken elsewhere: the text itself, copying it, its QR code.

import { copy } from "../clipboard.js";
import { h, say } from "../dom.js";
import { nod } from "../native.js";
import { t } from "../texts.js";
import { button } from "./parts.js";

const COPIED_FOR = 2000;

/** The text, to be looked at and selected. */
export const code = (text, label, id) =>
  h("code", { class: "key", tabindex: "0", role: "textbox", "aria-readonly": "true", translate: "no", "data-testid": id, "aria-label": label }, text);

/** A button that copies what stands in `shown`; where that is not allowed, the text is selected for the person to copy. */
export function copyButton(kind, words, shown, id) {
  let timer = null;
  const press = async () => {
    const done = await copy(shown.textContent);
    if (done) nod();
    else getSelection().selectAllChildren(shown);
    act.textContent = done ? t.home.copied : t.home.notCopied;
    act.classList.toggle("done", done);
    say(act.textContent);
    clearTimeout(timer);
    timer = setTimeout(() => {
      act.textContent = words;
      act.classList.remove("done");
    }, COPIED_FOR);
  };
  const act = button(kind, words, press, { "data-testid": id });
  return act;
}

/** A QR code of ours, dark on white whatever the theme: otherwise cameras do not read it. */
export function qr(url) {
  const lost = h("p", { class: "small", hidden: true }, t.connect.qrLost);
  const image = h("img", { class: "qr", src: new URL(url, location.href).pathname, alt: t.connect.qr, width: "200", height: "200", loading: "lazy", "data-testid": "qr" });
  image.addEventListener("error", () => {
    image.hidden = true;
    lost.hidden = false;
  });
  return h("div", { class: "qr-box" }, image, lost);
}
