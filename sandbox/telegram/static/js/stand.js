// The panel beside the chat: who one is, how Telegram looks, and whether the key works.

import { ask } from "./ask.js";
import { at, made, toast } from "./dom.js";
import { t } from "./words.js";

const NEWCOMERS = {
  ru: ["Мария", "Иван", "Дарья", "Павел", "Ксения", "Тимур", "Вера", "Глеб"],
  en: ["Olivia", "James", "Mia", "Noah", "Ruby", "Leo", "Grace", "Max"],
};

const kept = (name, other) => localStorage.getItem(name) || other;

export const theme = () => kept("theme", matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
export const platform = () => kept("platform", "android");

/** `become(id, or the promise of one)`, `repaint()` when the theme has changed. */
export function set({ become, repaint }) {
  for (const input of document.querySelectorAll("input[name=theme]")) {
    input.checked = input.value === theme();
    input.addEventListener("change", () => {
      localStorage.setItem("theme", input.value);
      paint();
      repaint();
    });
  }
  at("platform").value = platform();
  at("platform").addEventListener("change", () => localStorage.setItem("platform", at("platform").value));
  for (const [language_code, names] of Object.entries(NEWCOMERS)) {
    at(`new-${language_code}`).addEventListener("click", () => {
      const first_name = names[at("people").children.length % names.length];
      become(ask("people", { first_name, language_code }).then(({ id }) => id));
    });
  }
  at("stand-open").addEventListener("click", () => document.body.classList.add("with-stand"));
  for (const id of ["stand-close", "shade"]) at(id).addEventListener("click", hide);
  paint();
}

export const hide = () => document.body.classList.remove("with-stand");

function paint() {
  document.documentElement.dataset.theme = theme();
}

/** The list of people; the one in the chat is marked. */
export function drawPeople(people, chosen, become) {
  at("people").replaceChildren(...people.map((one) => {
    const mark = made("span", "face", { "aria-hidden": "true", style: null }, [...one.first_name][0]);
    mark.style.setProperty("--hue", String((one.id * 47) % 360));
    return made("button", "person", { type: "button", "aria-pressed": String(one.id === chosen), "data-id": one.id, click: () => become(one.id) },
      mark, made("span", "", {}, one.first_name), made("span", "tongue", {}, one.language_code));
  }));
  const list = at("people"), mine = list.querySelector("[aria-pressed=true]");
  list.scrollTop = mine.offsetTop - list.offsetTop - list.clientHeight / 2;
}

/** Lets the person who is in the chat try a key: theirs, or one that was typed. */
export function tryKey(user) {
  at("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = at("key-try"), result = at("key-result");
    button.disabled = true;
    button.textContent = t.keyTrying;
    result.hidden = true;
    try {
      const link = at("key-link").value.trim();
      result.replaceChildren(...told(await ask("try-key", link ? { user_id: user(), link } : { user_id: user() })));
      result.hidden = false;
    } catch (error) {
      toast(error.message);
    }
    button.disabled = false;
    button.textContent = t.keyTry;
  });
}

function told(outcome) {
  at("key-result").dataset.outcome = outcome.problem || "works";
  if (outcome.problem) return [made("p", "", {}, t.problems[outcome.problem])];
  const { server, seen_as, seen_without, milliseconds } = outcome;
  return [
    made("b", "", {}, t.keyWorks),
    ...(server ? [made("span", "via", {}, t.keyVia(server))] : []),
    made("p", "", {}, t.keySaw(seen_as, seen_without, milliseconds)),
  ];
}
