// The screens, each loaded when it is first needed: the first view is small, and whatever follows is fetched behind it.

import { ApiError } from "./api.js";

const KEPT = {};

/** A module of views/. Raises ApiError where it cannot be fetched. */
export async function view(name) {
  KEPT[name] ??= await load(name);
  return KEPT[name];
}

const load = (name) =>
  import(`./views/${name}.js`)
    // Some browsers remember a failure under the address for good.
    .catch(() => import(`./views/${name}.js?${Date.now()}`))
    .catch(() => {
      throw new ApiError(navigator.onLine === false ? "offline" : "unreachable");
    });

/** Fetches the others while nobody waits for them: later there may be no connection, or only a poor one. */
export const fetchAll = () =>
  setTimeout(() => ["buy", "home", "connect", "key", "payments", "invite", "waiting", "canceled"].forEach((name) => view(name).catch(() => null)), 1500);
