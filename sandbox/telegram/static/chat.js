// The chat of one person with the bot. Everything shown is put in as text, never as HTML.
"use strict";

const WAIT_SECONDS = 20;
const at = (id) => document.getElementById(id);
const chat = at("chat"), person = at("person"), text = at("text");

const told = new Set(); // answers to presses that have been shown
let version = null; // of the conversation on the screen
let waiting = new AbortController(); // ends the waiting for news of the person who was picked before
let drawn = "";
let botIsThere = null;

async function ask(path, body, signal) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const options = body ? post : { signal };
  const answer = await fetch(`/sandbox/${path}`, options);
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error || `HTTP ${answer.status}`);
  return said;
}

function made(tag, className, content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (content !== undefined) element.append(content);
  return element;
}

let toastEnds = 0;
function toast(words) {
  at("toast").textContent = words;
  at("toast").hidden = false;
  clearTimeout(toastEnds);
  toastEnds = setTimeout(() => (at("toast").hidden = true), 4500);
}

const copy = (value) =>
  navigator.clipboard.writeText(value).then(() => toast("Скопировано"), () => toast("Браузер не дал скопировать"));

// Entities may be nested; each character is shown under all tags that cover it. Offsets count UTF-16 units, as strings here do.
const TAGS = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "code", blockquote: "q", spoiler: "span" };
function marked(message) {
  const whole = document.createDocumentFragment();
  const cuts = new Set([0, message.text.length]);
  for (const { offset, length } of message.entities) cuts.add(offset).add(offset + length);
  const edges = [...cuts].sort((a, b) => a - b);
  for (let i = 0; i + 1 < edges.length; i++) {
    let piece = document.createTextNode(message.text.slice(edges[i], edges[i + 1]));
    for (const entity of message.entities) {
      if (entity.offset > edges[i] || entity.offset + entity.length < edges[i + 1]) continue;
      if (entity.type === "text_link" && /^https?:/.test(entity.url)) {
        const link = made("a", "", piece);
        Object.assign(link, { href: entity.url, target: "_blank", rel: "noopener" });
        piece = link;
      } else if (TAGS[entity.type]) {
        const value = message.text.substr(entity.offset, entity.length);
        piece = made(TAGS[entity.type], "", piece);
        if (piece.tagName === "CODE") {
          piece.title = "Скопировать";
          piece.addEventListener("click", () => copy(value));
        }
      }
    }
    whole.append(piece);
  }
  return whole;
}

function buttonOf(message, button, unanswered) {
  if (button.opens) {
    const link = made("a", "outward", button.text);
    Object.assign(link, { href: button.opens, target: "_blank", rel: "noopener" });
    return link;
  }
  const element = made("button", "", button.text);
  element.type = "button";
  if (button.copies) element.addEventListener("click", () => copy(button.copies));
  else {
    if (unanswered.has(`${message.message_id} ${button.callback_data}`)) element.setAttribute("aria-busy", "true");
    element.addEventListener("click", () =>
      ask("press", { user_id: Number(person.value), message_id: message.message_id, button: button.callback_data })
        .catch((error) => toast(error.message)));
  }
  return element;
}

function draw(seen) {
  const unanswered = new Set(seen.presses.filter((p) => !p.answer).map((p) => `${p.message_id} ${p.data}`));
  const picture = JSON.stringify([seen.messages, [...unanswered]]);
  if (picture === drawn) return;
  const first = drawn === "";
  const atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 120;
  drawn = picture;
  at("start").hidden = seen.messages.length > 0;
  at("writer").hidden = seen.messages.length === 0;
  at("empty").hidden = seen.messages.length > 0;
  chat.querySelectorAll(".message").forEach((old) => old.remove());
  for (const message of seen.messages) {
    const block = made("div", `message ${message.from}`);
    const bubble = made("div", "bubble", marked(message));
    const hour = new Date(message.date * 1000).toLocaleTimeString("ru", { hour: "2-digit", minute: "2-digit" });
    bubble.append(made("time", "", message.edited ? `изм. ${hour}` : hour));
    const rows = made("div", "rows");
    for (const row of message.buttons) {
      const line = made("div", "row");
      line.append(...row.map((button) => buttonOf(message, button, unanswered)));
      rows.append(line);
    }
    block.append(bubble, ...(message.buttons.length ? [rows] : []));
    chat.append(block);
  }
  if (first || atEnd) chat.scrollTop = chat.scrollHeight;
}

function tell(presses, silently) {
  for (const { callback_query_id: id, answer } of presses) {
    if (!answer || told.has(id)) continue;
    told.add(id);
    if (silently || !answer.text) continue;
    if (answer.show_alert) {
      at("alert").querySelector("p").textContent = answer.text;
      if (!at("alert").open) at("alert").showModal();
    } else toast(answer.text);
  }
}

async function follow() {
  for (;;) {
    const { signal } = waiting;
    try {
      const since = version === null ? "" : `?since=${version}&wait=${WAIT_SECONDS}`;
      const seen = await ask(`chat/${person.value}${since}`, null, signal);
      if (signal.aborted) continue;
      tell(seen.presses, version === null);
      version = seen.version;
      draw(seen);
    } catch {
      if (signal.aborted) continue;
      at("state").textContent = "стенд не отвечает";
      await new Promise((next) => setTimeout(next, 1500));
    }
  }
}

async function watchBot() {
  for (;;) {
    try {
      const bot = await ask("bot");
      // Between two polls nobody waits for a moment: only the second look in a row counts as "away".
      at("state").textContent = bot.polls || botIsThere ? "бот на связи" : "бот не запущен: сообщения подождут";
      botIsThere = bot.polls;
      const language = person.selectedOptions[0]?.dataset.language;
      const commands = bot.commands[language] || bot.commands[""] || [];
      at("commands").replaceChildren(...commands.map((command) => {
        const option = made("option");
        option.value = `/${command.command}`;
        option.label = command.description;
        return option;
      }));
    } catch {
      at("state").textContent = "стенд не отвечает";
    }
    await new Promise((next) => setTimeout(next, 2000));
  }
}

async function fillPeople(chosen) {
  const { people } = await ask("people");
  const options = people.map((one) => {
    const option = made("option", "", `${one.first_name} · ${one.language_code}`);
    option.value = one.id;
    option.dataset.language = one.language_code;
    return option;
  });
  const another = made("option", "", "Новый человек…");
  another.value = "new";
  person.replaceChildren(...options, another);
  person.value = people.some((one) => one.id === chosen) ? chosen : people[0].id;
  turnTo();
}

function turnTo() {
  location.hash = person.value;
  waiting.abort();
  waiting = new AbortController();
  version = null;
  drawn = "";
  const menu = at("menu");
  menu.hidden = !document.body.dataset.miniApp;
  menu.href = `/sandbox/mini-app/${person.value}`;
}

async function write(words) {
  if (!words.trim()) return;
  text.value = "";
  try {
    await ask("message", { user_id: Number(person.value), text: words });
    chat.scrollTop = chat.scrollHeight;
  } catch (error) {
    text.value = words;
    toast(error.message);
  }
}

at("writer").addEventListener("submit", (event) => {
  event.preventDefault();
  write(text.value);
});
at("start").addEventListener("click", () => write("/start"));
person.addEventListener("change", async () => {
  if (person.value !== "new") return turnTo();
  const one = await ask("people", { first_name: "Гость" });
  await fillPeople(one.id);
});

fillPeople(Number(location.hash.slice(1))).then(() => {
  follow();
  watchBot();
}, () => (at("state").textContent = "стенд не отвечает"));
