// Three steps to a working VPN: the program, the subscription in it, the switch.

import { isDesktop, platform as thisDevice } from "../device.js";
import { h, say } from "../dom.js";
import { tick } from "../native.js";
import { openBeside } from "../telegram.js";
import { t } from "../texts.js";
import { backButton, bar, button, hero, screen, title } from "./parts.js";
import { code, copyButton, qr } from "./share.js";

let picked = null; // another device than this one, as long as the app is open

/** Without a subscription that runs there is nothing to connect. */
export const nothingView = ({ buy, back }) =>
  screen(
    "connect",
    hero("asleep", t.connect.nothing, t.connect.nothingLead),
    bar(backButton(t.buy.back, back), button("primary", t.connect.buy, buy, { "data-testid": "shop" })),
  );

export function connectView({ subscription_url: link, qr_url: code_url, platforms, buy, back }) {
  if (!link || !platforms.length) return nothingView({ buy, back });
  const own = thisDevice();
  const desktop = isDesktop(own);
  let platform = platforms.find(({ id }) => id === (picked ?? own)) ?? platforms[0];
  let app = platform.apps[0];

  const lead = h("p", { class: "lead", "data-testid": "three" });
  const steps = h("ol", { class: "steps" });
  const devices = h("fieldset", { class: "chips" });
  const apps = h("fieldset", { class: "chips" });
  const status = h("p", { class: "small", hidden: true, "data-testid": "gone" });
  const manual = byHand(link, desktop ? null : code_url);
  const add = button("primary", "", () => {
    openBeside(app.open_url);
    status.textContent = t.connect.gone(app.name);
    status.hidden = false;
    manual.open = true;
    say(status.textContent);
  }, { "data-testid": "add" });

  function draw() {
    const name = t.connect.devices[platform.id] ?? platform.id;
    lead.textContent = desktop && platform.id === own ? t.connect.computer(name) : t.connect.three(name);
    const store = () => openBeside(app.store_url);
    steps.replaceChildren(
      step(t.connect.install(app.name), t.connect.installHint, button("soft", t.connect.download, store, { "data-testid": "store" })),
      step(t.connect.add, t.connect.addHint(app.name)),
      step(t.connect.switchOn, t.connect.switchOnHint(app.name)),
    );
    add.textContent = t.connect.go(app.name);
    status.hidden = true;
  }

  function drawApps() {
    const pick = (one) => {
      app = one;
      draw();
    };
    chips(apps, t.connect.apps, "app", platform.apps.map((one) => ({ id: one.id, words: one.name, pick: () => pick(one) })), app.id);
    apps.hidden = platform.apps.length < 2;
  }

  const pickDevice = (one) => {
    platform = one;
    picked = one.id;
    app = one.apps[0];
    drawApps();
    draw();
  };
  const choices = platforms.map((one) => ({ id: one.id, words: t.connect.devices[one.id] ?? one.id, pick: () => pickDevice(one) }));
  chips(devices, t.connect.device, "device", choices, platform.id);
  drawApps();
  draw();

  return screen(
    "connect",
    h("div", { class: "head" }, title(t.connect.title), desktop ? null : lead),
    desktop && h("div", { class: "card" }, h("h2", {}, t.connect.phone), h("p", { class: "small" }, t.connect.phoneHint), code_url && qr(code_url)),
    desktop && lead,
    steps,
    h("details", { class: "card", "data-testid": "other-device" }, h("summary", {}, t.connect.other), devices, apps),
    manual,
    bar(status, backButton(t.buy.back, back), add),
  );
}

const step = (heading, hint, ...rest) => h("li", { class: "card step" }, h("div", {}, h("h2", {}, heading), h("p", { class: "small" }, hint)), ...rest);

/** One of several, as small buttons that are radios. */
function chips(box, legend, name, choices, chosen) {
  const chip = ({ id, words, pick }) => {
    const onchange = () => {
      tick();
      pick();
    };
    const input = h("input", { type: "radio", class: "for-ears", name, value: id, checked: id === chosen, onchange });
    return h("label", { class: "chip", "data-testid": `${name}-${id}` }, input, h("span", {}, words));
  };
  box.replaceChildren(h("legend", { class: "caption" }, legend), ...choices.map(chip));
}

function byHand(link, code_url) {
  const shown = code(link, t.connect.link, "subscription-url");
  return h(
    "details",
    { class: "card", "data-testid": "manual" },
    h("summary", {}, t.connect.manual),
    h("p", { class: "small" }, t.connect.manualHint),
    code_url && qr(code_url),
    shown,
    copyButton("soft", t.connect.copy, shown, "copy-subscription"),
  );
}
