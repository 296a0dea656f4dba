// One screen at a time: what it asks in the background, where its back button leads, how it is made anew.

import { show } from "./dom.js";
import * as native from "./native.js";

let polling = null;
let make = null;

/** Shows a screen. `back` leads back from it, `live` is a poll that ends with it, `again` makes it anew in another language. */
export function go(screen, { back = null, live = null, again = null } = {}) {
  polling?.stop();
  polling = live;
  make = again;
  show(screen);
  native.back(back);
  native.main(screen.querySelector(".bar .primary"));
}

/** Makes the screen anew: the language has changed. */
export const again = () => make?.();
