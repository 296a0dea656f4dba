// What outlives a reload. Storage may be forbidden (a frame, a private window): then it is simply forgotten.

const guarded = (act) => {
  try {
    return act();
  } catch {
    return null;
  }
};

/** For this window only: the login, and the bill that it has left for the checkout. */
export const session = {
  get: (key) => guarded(() => sessionStorage.getItem(`krotray.${key}`)),
  set: (key, value) => guarded(() => sessionStorage.setItem(`krotray.${key}`, value)),
};

const kept = (name) => ({
  get: (user) => guarded(() => localStorage.getItem(`krotray.${name}.${user}`)),
  set: (user, value) => guarded(() => localStorage.setItem(`krotray.${name}.${user}`, value)),
  forget: (user) => guarded(() => localStorage.removeItem(`krotray.${name}.${user}`)),
});

// Kept per person: a phone may have two accounts.

/** The payment that somebody has begun on this device. */
export const begun = kept("payment");

/** The bill that somebody who has days does not want to see any more. */
export const forgotten = kept("forgotten");

/** Whether they were asked to let the bot write to them. */
export const asked = kept("asked");

const LANGUAGES = ["ru", "en"];

/** The language that somebody chose here, if they did: one of ours, or null. */
export const chosenLanguage = {
  get: () => LANGUAGES.find((code) => code === guarded(() => localStorage.getItem("krotray.language"))) ?? null,
  set: (code) => guarded(() => localStorage.setItem("krotray.language", code)),
};
