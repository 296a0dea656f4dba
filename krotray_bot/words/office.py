"""What the bot says to its admins, in both languages. Texts are Telegram's HTML; `{...}` is filled in, already escaped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from krotray_core import speech


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeWords:
    """One language."""

    commands: tuple[str, ...]
    days: Callable[[int], str]

    # Buttons.
    refresh: str
    servers: str
    close: str
    open: str
    yes: str
    no: str
    gift: str

    # The whole business.
    stats: str
    flagged: str
    no_servers: str
    more_servers: str

    # One server.
    choose_server: str
    unknown_server: str
    up: str
    down: str
    unseen: str
    closed: str
    evacuating: str
    disabled: str
    last_error: str
    ask_close: str
    ask_open: str

    # One person.
    how_user: str
    unknown_user: str
    card: str
    invited_by: str
    brought: str
    unreachable: str
    ends: str
    on_server: str
    states: dict[str, str]
    namesakes: str
    payments: str
    no_payments: str
    payment_states: dict[str, str]
    payment_flagged: str

    # A present.
    how_grant: str
    days_out_of_range: str
    ask_grant: str
    ask_grant_stranger: str
    granted: str
    waits: str


RU = OfficeWords(
    commands=("Как идут дела", "Сервер", "Человек", "Подарить дни"),
    days=lambda number: f"{number} {speech.plural_ru(number, 'день', 'дня', 'дней')}",
    refresh="Обновить",
    servers="Серверы",
    close="Закрыть для новых",
    open="Открыть для новых",
    yes="Да",
    no="Нет",
    gift="+{days}",
    stats=(
        "<b>Как идут дела</b>\n"
        "Активных подписок: {active}\n"
        "Новых людей сегодня: {new}\n"
        "Выручка сегодня: {today}\n"
        "Выручка за месяц: {month}\n"
        "Ждут места: {waiting}\n"
        "Открытых счетов: {open}"
    ),
    flagged="Платежей, которым нужен человек: {number}",
    no_servers="Серверов пока нет: flask servers add",
    more_servers="и ещё {number}",
    choose_server="<b>Серверы</b>\nКакой показать?",
    unknown_server="Такого сервера нет. Какой показать?",
    up="отвечает с {since}",
    down="не отвечает с {since}",
    unseen="ещё не проверен",
    closed="новых не принимает",
    evacuating="людей переносят на другие серверы",
    disabled="выключен",
    last_error="Последняя ошибка: {error}",
    ask_close="Закрыть {name} для новых? Кто на нём сейчас, останется.",
    ask_open="Открыть {name} для новых? Если людей с него переносят, перенос прекратится.",
    how_user="Напишите id или имя: /user 123456789 или /user @anna",
    unknown_user="Такого человека бот не знает. Напишите id или имя: /user 123456789 или /user @anna",
    card="<b>{name}</b>{username}\nid <code>{telegram_id}</code> · с нами с {since}",
    invited_by="По приглашению: {name} (<code>{telegram_id}</code>)",
    brought="По ссылке этого человека пришли: {number}",
    unreachable="Бот заблокирован с {since}: сообщения не доходят",
    ends="Срок: {date}, {days_left}",
    on_server="Сервер: {name}",
    states={
        "no_subscription": "Подписки нет",
        "payment_pending": "Ждём оплату",
        "provisioning": "Оплачено, ключ готовится",
        "active": "Ключ работает",
        "expired": "Подписка закончилась",
    },
    namesakes="То же имя было ещё у: {others}",
    payments="Последние платежи:",
    no_payments="Платежей не было",
    payment_states={"pending": "ждёт", "succeeded": "оплачен", "canceled": "отменён", "refunded": "возвращён"},
    payment_flagged="нужен человек",
    how_grant="Напишите, кому и сколько дней: /grant 123456789 30 или /grant @anna 30",
    days_out_of_range="За один раз можно подарить от 1 до {most} дней.",
    ask_grant="Подарить {days} человеку {name} (<code>{telegram_id}</code>)?",
    ask_grant_stranger="Человек с id <code>{telegram_id}</code> боту ещё не писал. Подарить ему {days}?",
    granted="Подарено: {days}.",
    waits="Свободного места на серверах нет: ключ появится, как только оно будет, дни до тех пор не идут.",
)

EN = OfficeWords(
    commands=("How things are", "A server", "A person", "Give days"),
    days=lambda number: f"{number} {'day' if number == 1 else 'days'}",
    refresh="Refresh",
    servers="Servers",
    close="Close to newcomers",
    open="Open to newcomers",
    yes="Yes",
    no="No",
    gift="+{days}",
    stats=(
        "<b>How things are</b>\n"
        "Active subscriptions: {active}\n"
        "New people today: {new}\n"
        "Revenue today: {today}\n"
        "Revenue this month: {month}\n"
        "Waiting for a place: {waiting}\n"
        "Open payments: {open}"
    ),
    flagged="Payments that need a person: {number}",
    no_servers="No servers yet: flask servers add",
    more_servers="and {number} more",
    choose_server="<b>Servers</b>\nWhich one?",
    unknown_server="There is no such server. Which one?",
    up="answers since {since}",
    down="has not answered since {since}",
    unseen="not looked at yet",
    closed="takes nobody new",
    evacuating="its people are being moved to others",
    disabled="switched off",
    last_error="Last error: {error}",
    ask_close="Close {name} to newcomers? Those who are on it stay.",
    ask_open="Open {name} to newcomers? If its people are being moved away, that ends.",
    how_user="Write an id or a name: /user 123456789 or /user @anna",
    unknown_user="The bot knows nobody like that. Write an id or a name: /user 123456789 or /user @anna",
    card="<b>{name}</b>{username}\nid <code>{telegram_id}</code> · here since {since}",
    invited_by="Invited by {name} (<code>{telegram_id}</code>)",
    brought="Came through this person's link: {number}",
    unreachable="The bot has been blocked since {since}: messages do not arrive",
    ends="Ends: {date}, {days_left}",
    on_server="Server: {name}",
    states={
        "no_subscription": "No subscription",
        "payment_pending": "Waiting for the payment",
        "provisioning": "Paid, the key is being made",
        "active": "The key works",
        "expired": "The subscription has ended",
    },
    namesakes="Others who have had this name: {others}",
    payments="Latest payments:",
    no_payments="No payments",
    payment_states={"pending": "open", "succeeded": "paid", "canceled": "canceled", "refunded": "refunded"},
    payment_flagged="needs a person",
    how_grant="Write to whom and how many days: /grant 123456789 30 or /grant @anna 30",
    days_out_of_range="From 1 to {most} days can be given at once.",
    ask_grant="Give {days} to {name} (<code>{telegram_id}</code>)?",
    ask_grant_stranger="Whoever has the id <code>{telegram_id}</code> has not written to the bot yet. Give them {days}?",
    granted="Given: {days}.",
    waits="No server has room: the key appears as soon as one does, and the days stand still until then.",
)
