// Which kind of device this is.

import { client } from "./telegram.js";

const DESKTOPS = ["windows", "macos", "linux"];
const KNOWN = { android: "android", android_x: "android", ios: "ios", macos: "macos" };

/** "android", "ios", "windows", "macos" or "linux". Telegram Desktop and Telegram Web do not tell; the browser does. */
export function platform() {
  const known = KNOWN[client()];
  if (known) return known;
  const agent = navigator.userAgent;
  if (/android/i.test(agent)) return "android";
  if (/iphone|ipad|ipod/i.test(agent)) return "ios";
  if (/mac os/i.test(agent)) return navigator.maxTouchPoints > 1 ? "ios" : "macos"; // an iPad says that it is a Mac
  return /windows/i.test(agent) ? "windows" : "linux";
}

export const isDesktop = (name) => DESKTOPS.includes(name);
