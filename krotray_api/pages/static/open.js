// Launches a VPN program, and helps where that does not work.

import { launchable } from "./launching.js";

const HELP_MS = 2500;

const launcher = document.getElementById("launcher");
const known = JSON.parse(launcher.dataset.known);
const again = document.getElementById("again");
let helping;

function show(view, name) {
  for (const section of launcher.querySelectorAll("[data-view]")) {
    section.hidden = section.dataset.view !== view;
    for (const part of section.querySelectorAll("[data-say]")) part.textContent = part.dataset.say.replace("{app}", name);
  }
  if (view !== "bad") document.title = `${launcher.querySelector(`[data-view="${view}"] h1`).textContent} · KrotRay`;
}

function platform() {
  const agent = navigator.userAgent.toLowerCase();
  if (agent.includes("android")) return "android";
  if (/iphone|ipad|ipod/.test(agent) || (agent.includes("macintosh") && navigator.maxTouchPoints > 1)) return "ios";
  if (agent.includes("windows")) return "windows";
  return agent.includes("macintosh") ? "macos" : "linux";
}

/** Where to get the program: for this device, else wherever there is one. */
function stores(apps) {
  const here = apps.filter((app) => app.stores[platform()]);
  return (here.length ? here : apps.slice(0, 1)).map((app) => {
    const link = document.createElement("a");
    link.className = "button soft";
    link.href = app.stores[platform()] ?? Object.values(app.stores)[0];
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    link.textContent = document.getElementById("stores").dataset.get.replace("{app}", app.name);
    return link;
  });
}

function start() {
  clearTimeout(helping);
  for (const id of ["help", "again-bar", "bot"]) document.getElementById(id).hidden = true;
  again.removeAttribute("href");
  const found = launchable(location.hash, known, [launcher.dataset.origin, location.origin]);
  document.getElementById("language").hash = location.hash;
  if (!found) {
    show("bad", "");
    document.getElementById("bot").hidden = false;
    return;
  }
  const apps = known.filter((app) => app.scheme === found.program.scheme);
  show("opening", apps[0].name);
  document.getElementById("stores").replaceChildren(...stores(apps));
  again.href = found.link;
  document.getElementById("again-bar").hidden = false;
  again.click();
}

again.addEventListener("click", () => {
  clearTimeout(helping);
  helping = setTimeout(() => { document.getElementById("help").hidden = false; }, HELP_MS);
});

// The program has come to the front: whoever returns here needs the next step, not help.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "hidden" || !again.hasAttribute("href")) return;
  clearTimeout(helping);
  const { protocol } = new URL(again.href);
  show("opened", known.find((app) => `${app.scheme}:` === protocol).name);
});

window.addEventListener("hashchange", start);
// Not before the page is complete: leaving it, even to a program, would stop what is still on its way.
if (document.readyState === "complete") start();
else window.addEventListener("load", start);
