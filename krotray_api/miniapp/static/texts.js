// All words of the app, in Russian and in English.

import { day, plural, price } from "./format.js";
import * as reasons from "./reasons.js";
import { language } from "./telegram.js";

const ru = {
  loading: "Ищем ваш ключ…",
  buy: {
    asleep: "Крот пока спит",
    lead: "Выберите срок, и он пророет вам тоннель.",
    title: "Выберите срок",
    renew: "Новые дни прибавятся к тем, что остались.",
    again: "Ключ останется прежним.",
    plans: "Срок",
    methods: "Как оплатить",
    sbp: "СБП",
    card: "Карта",
    pay: (sum) => `Оплатить ${sum}`,
    opening: "Открываем оплату…",
    saves: (sum) => `выгода ${sum}`,
    perMonth: (sum) => `${sum} в месяц`,
    back: "Назад",
    email: "E-mail для чека",
    bill: "Открыть последний счёт",
    changed: "Тарифы изменились, деньги не списаны. Выберите заново.",
    nothing: "Сейчас ничего не продаётся",
    nothingLead: "Подписка, которая уже идёт, работает как прежде. Загляните чуть позже.",
    refresh: "Проверить ещё раз",
  },
  months: { one: "#~месяц", few: "#~месяца", many: "#~месяцев", other: "#~месяца" },
  days: { one: "#~день", few: "#~дня", many: "#~дней", other: "#~дня" },
  // "через …"
  seconds: { one: "#~секунду", few: "#~секунды", many: "#~секунд", other: "#~секунды" },
  minutes: { one: "#~минуту", few: "#~минуты", many: "#~минут", other: "#~минуты" },
  left: { one: "остался #~день", few: "осталось #~дня", many: "осталось #~дней", other: "осталось #~дня" },
  until: (date) => `до ${date}`,
  home: {
    works: "Доступ работает",
    server: (name) => `Сервер ${name}`,
    key: "Ваш ключ",
    keyHint: "Скопируйте и вставьте в программу для VPN.",
    copyKey: "Скопировать ключ",
    link: "Ссылка-подписка",
    linkHint: "С ней программа сама узнаёт о смене сервера.",
    copyLink: "Скопировать ссылку",
    copied: "Скопировано",
    notCopied: "Выделите текст и скопируйте",
    renew: "Продлить",
    paid: (date) => `Оплата прошла, доступ открыт до ${date}.`,
    partReturned: (sum) => `Из этой оплаты ${sum} вернулись вам.`,
    unpaid: (sum) => `Ждёт оплаты счёт на ${sum}.`,
    unpaidGo: "Продолжить оплату",
    expired: "Доступ закончился",
    expiredOn: (date) => `Он работал до ${date}. Продлите, и крот снова выйдет на свет.`,
  },
  waiting: {
    title: "Ждём оплату",
    lead: "Как только деньги придут, ключ появится здесь сам. Окно можно закрыть: оплата не потеряется.",
    leadElsewhere: "Оплата начата. Если вы уже заплатили, подождите минуту: ключ появится здесь сам.",
    order: (months, sum) => `${months}, ${sum}`,
    go: "Перейти к оплате",
    check: "Проверить оплату",
    checking: "Проверяем…",
    notYet: "Деньги пока не пришли. Если вы уже заплатили, подождите минуту: они не потеряются.",
    other: "Выбрать другой срок или способ",
    home: "К моему ключу",
  },
  provisioning: {
    title: "Готовим ключ",
    lead: "Оплата прошла, ключ готовим — обычно это несколько секунд. Можно закрыть окно.",
    long: "Это дольше обычного. Оплата у нас, ничего делать не нужно: ключ появится здесь сам.",
    refresh: "Проверить сейчас",
  },
  outside: {
    title: "Откройте KrotRay в Telegram",
    lead: "Ключ выдаём там: откройте чат с ботом KrotRay и нажмите «Открыть». Если вы только что оплатили, вернитесь в Telegram: деньги не потеряются.",
    open: "Открыть Telegram",
  },
  canceled: {
    title: "Оплата не прошла",
    reasons: reasons.ru,
    other: "Оплата не прошла, деньги не списаны. Можно попробовать ещё раз или заплатить другим способом.",
    pay: { sbp: "Оплатить через СБП", card: "Оплатить картой" },
  },
  notice: {
    stale: "Этот счёт уже закрыт. Если вы успели заплатить, деньги не потеряются: доступ появится сам.",
    refunded: (sum) => `Эта оплата возвращена: ${sum} вернутся туда, откуда пришли, обычно за несколько дней.`,
  },
  retry: "Попробовать ещё раз",
  close: "Закрыть окно",
  trouble: {
    title: "Не получилось загрузить",
    expiredTitle: "Откройте приложение заново",
    // What happened, then what it means for the money in each place, then what to do.
    offline: "Нет связи с интернетом.",
    unreachable: "Не удалось связаться с сервисом.",
    busy: "Сервис сейчас отвечает с перебоями.",
    broken: "У нас что-то сломалось.",
    load: "С вашими деньгами и ключом ничего не случилось: попробуйте ещё раз чуть позже.",
    pay: "Деньги не списаны: попробуйте ещё раз чуть позже.",
    wait: "Если вы уже заплатили, деньги не потеряются: мы проверим оплату сами.",
    gateway: "Касса не ответила, деньги не списаны. Попробуйте ещё раз через минуту.",
    refused: "Касса не приняла этот способ оплаты, деньги не списаны. Попробуйте другой.",
    tariff: "Этот тариф больше не продаётся, деньги не списаны. Выберите другой.",
    email: "Укажите e-mail, на него придёт чек. Деньги не списаны.",
    notEmail: "Не похоже на e-mail, проверьте адрес. Деньги не списаны.",
    bills: "У вас несколько неоплаченных счетов: новый не открыт, деньги не списаны. Оплатите последний или подождите час.",
    often: "Слишком много попыток подряд.",
    later: (time) => `Деньги не списаны: попробуйте ещё раз через ${time}.`,
    expired: "Вход устарел. Закройте это окно и откройте KrotRay из чата с ботом. Деньги и ключ на месте.",
    invalid: "Telegram не подтвердил, что это вы. Закройте это окно и откройте KrotRay из чата с ботом. Деньги и ключ на месте.",
  },
};

const en = {
  loading: "Looking for your key…",
  buy: {
    asleep: "The mole is asleep",
    lead: "Choose a period and it will dig a tunnel for you.",
    title: "Choose a period",
    renew: "New days are added to those you have left.",
    again: "Your key stays the same.",
    plans: "Period",
    methods: "How to pay",
    sbp: "SBP",
    card: "Card",
    pay: (sum) => `Pay ${sum}`,
    opening: "Opening the checkout…",
    saves: (sum) => `save ${sum}`,
    perMonth: (sum) => `${sum} a month`,
    back: "Back",
    email: "E-mail for the receipt",
    bill: "Open the latest bill",
    changed: "Our plans have changed, no money was taken. Please choose again.",
    nothing: "Nothing is on sale right now",
    nothingLead: "A subscription that runs works as before. Please look in a little later.",
    refresh: "Check again",
  },
  months: { one: "#~month", other: "#~months" },
  days: { one: "#~day", other: "#~days" },
  seconds: { one: "#~second", other: "#~seconds" },
  minutes: { one: "#~minute", other: "#~minutes" },
  left: { one: "#~day left", other: "#~days left" },
  until: (date) => `until ${date}`,
  home: {
    works: "Your access works",
    server: (name) => `Server ${name}`,
    key: "Your key",
    keyHint: "Copy it and paste it into your VPN app.",
    copyKey: "Copy the key",
    link: "Subscription link",
    linkHint: "With it the app learns of a new server by itself.",
    copyLink: "Copy the link",
    copied: "Copied",
    notCopied: "Select the text and copy it",
    renew: "Renew",
    paid: (date) => `Payment received, access is open until ${date}.`,
    partReturned: (sum) => `Of this payment ${sum} went back to you.`,
    unpaid: (sum) => `A bill of ${sum} is not paid yet.`,
    unpaidGo: "Continue to payment",
    expired: "Your access has ended",
    expiredOn: (date) => `It worked until ${date}. Renew, and the mole comes out again.`,
  },
  waiting: {
    title: "Waiting for the payment",
    lead: "As soon as the money arrives, the key appears here by itself. You may close the window: the payment will not be lost.",
    leadElsewhere: "A payment was begun. If you have already paid, give it a minute: the key appears here by itself.",
    order: (months, sum) => `${months}, ${sum}`,
    go: "Go to the checkout",
    check: "Check the payment",
    checking: "Checking…",
    notYet: "The money has not arrived yet. If you have already paid, give it a minute: it will not be lost.",
    other: "Choose another period or method",
    home: "To my key",
  },
  provisioning: {
    title: "Making your key",
    lead: "Payment received, we are making your key — usually a few seconds. You may close the window.",
    long: "This takes longer than usual. We have your payment and there is nothing to do: the key appears here by itself.",
    refresh: "Check now",
  },
  outside: {
    title: "Open KrotRay in Telegram",
    lead: "Keys are handed out there: open the chat with the KrotRay bot and press “Open”. If you have just paid, go back to Telegram: the money is not lost.",
    open: "Open Telegram",
  },
  canceled: {
    title: "The payment did not go through",
    reasons: reasons.en,
    other: "The payment did not go through, no money was taken. You can try again or pay in another way.",
    pay: { sbp: "Pay by SBP", card: "Pay by card" },
  },
  notice: {
    stale: "This bill is closed. If you did pay in time, the money is not lost: access will appear by itself.",
    refunded: (sum) => `This payment was returned: ${sum} goes back where it came from, usually within a few days.`,
  },
  retry: "Try again",
  close: "Close the window",
  trouble: {
    title: "Could not load",
    expiredTitle: "Open the app again",
    offline: "There is no internet connection.",
    unreachable: "The service could not be reached.",
    busy: "The service has trouble answering right now.",
    broken: "Something broke on our side.",
    load: "Your money and your key are fine: try again a little later.",
    pay: "No money was taken: try again a little later.",
    wait: "If you have already paid, the money is not lost: we check the payment ourselves.",
    gateway: "The checkout did not answer, no money was taken. Try again in a minute.",
    refused: "The checkout did not accept this way of paying, no money was taken. Try another one.",
    tariff: "This plan is no longer sold, no money was taken. Choose another one.",
    email: "Please give an e-mail address for the receipt. No money was taken.",
    notEmail: "This does not look like an e-mail address, please check it. No money was taken.",
    bills: "You have several unpaid bills: no new one was opened, no money was taken. Pay the latest one or wait an hour.",
    often: "Too many attempts in a row.",
    later: (time) => `No money was taken: try again in ${time}.`,
    expired: "Your login is too old. Close this window and open KrotRay from the chat with the bot. Your money and key are safe.",
    invalid: "Telegram did not confirm that it is you. Close this window and open KrotRay from the chat with the bot. Your money and key are safe.",
  },
};

export const lang = language().toLowerCase().startsWith("ru") ? "ru" : "en";
export const t = lang === "ru" ? ru : en;

export const rubles = (amount) => price(amount, lang);
export const date = (iso) => day(iso, lang);
export const count = (number, forms) => plural(number, forms, lang);

const LOGIN = { init_data_expired: "expired", init_data_invalid: "invalid", init_data_missing: "invalid" };
const OWN = {
  gateway_unavailable: "gateway",
  gateway_not_found: "gateway",
  gateway_denied: "gateway",
  gateway_rejected: "refused",
  unknown_tariff: "tariff",
  unknown_method: "refused",
  email_required: "email",
  email_invalid: "notEmail",
  too_many_open_payments: "bills",
};

/** Whether only a fresh start from the bot's chat helps. */
export const needsLogin = (error) => error.code in LOGIN;

/** An error in words: what happened, what became of the money, what to do. `where` is "load", "pay" or "wait". */
export function trouble(error, where) {
  const own = LOGIN[error.code] ?? OWN[error.code];
  if (own) return t.trouble[own];
  if (error.status === 502) return t.trouble.gateway;
  if (error.status === 429) return `${t.trouble.often} ${where === "pay" ? t.trouble.later(inTime(error.wait ?? 60)) : t.trouble[where]}`;
  const far = { offline: t.trouble.offline, unreachable: t.trouble.unreachable };
  const what = far[error.code] ?? (error.status === 500 ? t.trouble.broken : t.trouble.busy);
  return `${what} ${t.trouble[where]}`;
}

const inTime = (seconds) => (seconds < 100 ? count(seconds, t.seconds) : count(Math.ceil(seconds / 60), t.minutes));

/** Whether it is about the e-mail address that was given, or was not. */
export const aboutEmail = (error) => error.code === "email_required" || error.code === "email_invalid";

/** The heading above such words. */
export const troubleTitle = (error) => (needsLogin(error) ? t.trouble.expiredTitle : t.trouble.title);

/** Why a payment came to nothing; YooKassa may have reasons that we have not heard of. */
export const why = (payment) => t.canceled.reasons[payment.cancel_reason] ?? t.canceled.other;
