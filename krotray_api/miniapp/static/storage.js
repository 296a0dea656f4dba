// What outlives a reload. Storage may be forbidden (a frame, a private window): then it is simply forgotten.

const guarded = (act) => {
  try {
    return act();
  } catch {
    return null;
  }
};

/** For this window only: the login. */
export const session = {
  get: (key) => guarded(() => sessionStorage.getItem(`krotray.${key}`)),
  set: (key, value) => guarded(() => sessionStorage.setItem(`krotray.${key}`, value)),
};

/** The payment that somebody has begun on this device, kept per person: a phone may have two accounts. */
export const begun = {
  get: (user) => guarded(() => localStorage.getItem(`krotray.payment.${user}`)),
  set: (user, id) => guarded(() => localStorage.setItem(`krotray.payment.${user}`, id)),
  forget: (user) => guarded(() => localStorage.removeItem(`krotray.payment.${user}`)),
};

const LANGUAGES = ["ru", "en"];

/** The language that somebody chose here, if they did: one of ours, or null. */
export const chosenLanguage = {
  get: () => LANGUAGES.find((code) => code === guarded(() => localStorage.getItem("krotray.language"))) ?? null,
  set: (code) => guarded(() => localStorage.setItem("krotray.language", code)),
};
