// The page's own words, in the language of whoever it plays; Telegram's words where Telegram would speak.

const RU = {
  start: "Начать", restart: "Перезапустить", message: "Сообщение", send: "Отправить", commands: "Команды", menu: "Кабинет",
  bot: "бот", away: "бот не запущен: сообщения подождут", noSandbox: "стенд не отвечает", edited: "изм.", copy: "Скопировать",
  copied: "Скопировано", notCopied: "Браузер не дал скопировать", understood: "Понятно", picture: "Картинка от бота",
  what: "Что умеет этот бот?", nothing: "Нажмите «Начать» — и бот ответит.", openLink: "Открыть ссылку?", open: "Открыть",
  cancel: "Отмена", close: "Закрыть", back: "Назад", reload: "Обновить", more: "Ещё", chat: "Переписка с ботом",
  share: "Кому отправить?", got: "Вам прислали приглашение. Нажмите «Начать».", leave: "Закрыть приложение? Изменения не сохранятся.",
  letWrite: "Разрешить боту писать вам?", allow: "Разрешить",
  noFrame: "Здесь приложение открывается в новой вкладке.", settings: "Стенд",
  stand: "Стенд", standLead: "Настоящего Telegram и настоящих денег здесь нет. Остальное — настоящее.", who: "Кто вы",
  newRu: "Новый человек", newEn: "New person", theme: "Тема", light: "Светлая", dark: "Тёмная", device: "Телефон", blocking: "Бот",
  block: "Заблокировать бота", unblock: "Разблокировать", blocked: "Вы заблокировали бота: он не может вам писать.",
  key: "Попробовать ключ", keyLead: "Настоящий VPN-клиент подключится вашим ключом и откроет страницу.",
  keyOther: "Ссылка vless:// или подписка", keyOwn: "пусто — ключ этого человека", keyTry: "Попробовать", keyTrying: "Подключаемся…",
  keyWorks: "Ключ работает", keyVia: (server) => `через ${server}`,
  keySaw: (address, direct, ms) => `Страница пришла за ${ms} мс. Она видит адрес ${address}, а без VPN — ${direct}.`,
  problems: {
    no_key: "Ключа ещё нет. Сначала купите доступ в приложении или в чате.",
    not_a_link: "Это не ссылка vless:// и не адрес подписки.",
    subscription_unreadable: "По этому адресу нет подписки с ключами.",
    refused: "Сервер не пустил с этим ключом: срок вышел, или ключ заменён.",
  },
};

const EN = {
  start: "Start", restart: "Restart", message: "Message", send: "Send", commands: "Commands", menu: "Cabinet",
  bot: "bot", away: "the bot is not running: messages will wait", noSandbox: "the sandbox does not answer", edited: "edited", copy: "Copy",
  copied: "Copied", notCopied: "The browser did not let us copy", understood: "OK", picture: "A picture from the bot",
  what: "What can this bot do?", nothing: "Press Start and the bot will answer.", openLink: "Open this link?", open: "Open",
  cancel: "Cancel", close: "Close", back: "Back", reload: "Reload", more: "More", chat: "Chat with the bot",
  share: "Send to whom?", got: "You were sent an invitation. Press Start.", leave: "Close the app? Changes will be lost.",
  letWrite: "Allow this bot to message you?", allow: "Allow",
  noFrame: "Here the app opens in a new tab.", settings: "Stand",
  stand: "Sandbox", standLead: "No real Telegram and no real money here. Everything else is real.", who: "Who you are",
  newRu: "Новый человек", newEn: "New person", theme: "Theme", light: "Light", dark: "Dark", device: "Phone", blocking: "Bot",
  block: "Block the bot", unblock: "Unblock", blocked: "You have blocked the bot: it cannot write to you.",
  key: "Try this key", keyLead: "A real VPN client connects with your key and opens a page.",
  keyOther: "A vless:// link or a subscription", keyOwn: "empty: this person's key", keyTry: "Try", keyTrying: "Connecting…",
  keyWorks: "The key works", keyVia: (server) => `via ${server}`,
  keySaw: (address, direct, ms) => `The page came in ${ms} ms. It sees the address ${address}; without the VPN it is ${direct}.`,
  problems: {
    no_key: "There is no key yet. Buy access in the app or in the chat first.",
    not_a_link: "That is neither a vless:// link nor the address of a subscription.",
    subscription_unreadable: "There is no subscription with keys at that address.",
    refused: "The server did not let this key in: it has run out, or was replaced.",
  },
};

/** The words in use; `speak` changes them in place. */
export const t = { ...RU };

export function speak(language) {
  Object.assign(t, language === "ru" ? RU : EN);
  document.documentElement.lang = language === "ru" ? "ru" : "en";
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t[element.dataset.t];
  for (const element of document.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t[element.dataset.tLabel]);
  for (const element of document.querySelectorAll("[data-t-hint]")) element.placeholder = t[element.dataset.tHint];
}
