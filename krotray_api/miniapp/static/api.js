// Calls to our own service.

import { initData } from "./telegram.js";

const PATIENCE = 25_000;

/** A call that did not work out; `code` is the service's own, or `offline`, `unreachable`, `unreadable`. `wait`: seconds, if it said. */
export class ApiError extends Error {
  constructor(code, status = 0, wait = null) {
    super(code);
    this.code = code;
    this.status = status;
    this.wait = wait;
  }
}

let skew = 0;

/** The time at the service: the clock of a phone may be hours off. */
export const now = () => Date.now() + skew;

async function call(method, path, body) {
  const headers = { Accept: "application/json" };
  if (initData) headers["X-Telegram-Init-Data"] = initData;
  if (body) headers["Content-Type"] = "application/json";
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PATIENCE);
  try {
    const options = { method, headers, body: body && JSON.stringify(body), signal: abort.signal, cache: "no-store" };
    const response = await fetch(`/api/${path}`, options).catch(() => {
      throw new ApiError(navigator.onLine === false ? "offline" : "unreachable");
    });
    const there = Date.parse(response.headers.get("Date"));
    if (there) skew = there - Date.now();
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw new ApiError(answer?.code ?? "unreadable", response.status, Number(response.headers.get("Retry-After")) || null);
    if (answer === null) throw new ApiError("unreadable", response.status);
    return answer;
  } finally {
    clearTimeout(timer);
  }
}

/** `{plans, receipt}`: what is sold, and what a receipt asks of the buyer. */
export const plans = () => call("GET", "plans");
export const me = () => call("GET", "me");
export const pay = (tariff, method, email) => call("POST", "payments/create", { tariff, method, email });
/** `{payments}`, the newest first. */
export const payments = () => call("GET", "payments");
export const payment = (id) => call("GET", `payments/${encodeURIComponent(id)}`);
export const check = (id) => call("POST", `payments/${encodeURIComponent(id)}/check`);
export const key = () => call("GET", "key");
/** Another key; answers as `key` does. */
export const rotate = () => call("POST", "key/rotate");
/** `{subscription_url, qr_url, platforms}`: the VPN programs, and the links that hand the subscription to them. */
export const connect = () => call("GET", "connect");
/** `{url, came}`; `url` may be null. */
export const invite = () => call("GET", "invite");
