"""What people are told about their payments, keys and days. Pure: from what the notice is about to Telegram's HTML."""

from __future__ import annotations

from datetime import datetime, timedelta

from krotray_core import money, reasons, speech
from krotray_core.notice_texts.parts import (
    Buttons,
    Data,
    Kind,
    Rows,
    Turn,
    Words,
    code,
    copy,
    length_en,
    length_ru,
    none,
    press,
)

_CANCELED_RU = "Деньги не списаны. Можно попробовать ещё раз или заплатить другим способом."
_CANCELED_EN = "No money was taken. You can try again or pay in another way."


def _paid_ru(data: Data, now: datetime) -> str:
    return (
        f"<b>Оплата прошла, спасибо.</b> {money.to_rubles(data['amount_kopecks'])}\n"
        f"Ключ работает до {speech.date_ru(_end(data), now)} — {speech.days_left_ru(data['days_left'])}.\n\n"
        f"{_key_ru(data)}"
    )


def _paid_en(data: Data, now: datetime) -> str:
    return (
        f"<b>The payment went through, thank you.</b> {money.to_rubles(data['amount_kopecks'])}\n"
        f"Your key works until {speech.date_en(_end(data), now)}, {speech.days_left_en(data['days_left'])}.\n\n"
        f"{_key_en(data)}"
    )


def _key_coming_ru(data: Data, _now: datetime) -> str:
    if data["waits"]:
        return (
            "Оплата прошла. Сейчас все места заняты, мы уже готовим новые; дни пока не идут. "
            "Чат можно закрыть: ключ пришлём сюда сами."
        )
    return "Оплата прошла, ключ готовим — обычно это несколько секунд. Чат можно закрыть: ключ пришлём сюда сами."


def _key_coming_en(data: Data, _now: datetime) -> str:
    if data["waits"]:
        return (
            "The payment went through. All places are taken just now, we are adding more; your days stand still until then. "
            "You may close the chat: the key will come here by itself."
        )
    return (
        "The payment went through, your key is being made, usually within seconds. "
        "You may close the chat: the key will come here by itself."
    )


def _payment_canceled_ru(data: Data, _now: datetime) -> str:
    why = reasons.RU.get(data["reason"], _CANCELED_RU)
    return f"<b>Оплата не прошла</b> ({money.to_rubles(data['amount_kopecks'])}).\n\n{why}"


def _payment_canceled_en(data: Data, _now: datetime) -> str:
    why = reasons.EN.get(data["reason"], _CANCELED_EN)
    return f"<b>The payment did not go through</b> ({money.to_rubles(data['amount_kopecks'])}).\n\n{why}"


def _ends_in_3_days_ru(data: Data, now: datetime) -> str:
    return (
        f"Подписка закончится {speech.date_ru(_end(data), now)} — {speech.days_left_ru(data['days_left'])}.\n\n"
        "Продлить можно уже сейчас: новые дни добавятся к оставшимся, ключ останется прежним."
    )


def _ends_in_3_days_en(data: Data, now: datetime) -> str:
    return (
        f"Your subscription ends on {speech.date_en(_end(data), now)}, {speech.days_left_en(data['days_left'])}.\n\n"
        "You can renew it right now: the new days are added to those you have, and your key stays the same."
    )


def _ends_in_1_day_ru(data: Data, now: datetime) -> str:
    day = {0: "сегодня, ", 1: "завтра, "}.get(_nights(now, _end(data)), "")
    return (
        f"Подписка закончится {day}{speech.date_ru(_end(data), now)}, в {_hour(_end(data))} по Москве.\n\n"
        "Продлите её, и ключ будет работать без перерыва."
    )


def _ends_in_1_day_en(data: Data, now: datetime) -> str:
    day = {0: "today, ", 1: "tomorrow, "}.get(_nights(now, _end(data)), "on ")
    return (
        f"Your subscription ends {day}{speech.date_en(_end(data), now)}, at {_hour(_end(data))} Moscow time.\n\n"
        "Renew it, and your key works on without a break."
    )


def _ended_ru(data: Data, now: datetime) -> str:
    return (
        f"Подписка закончилась {speech.date_ru(_end(data), now)}, ключ сейчас не работает.\n\n"
        "Продлите её: ключ и ссылка останутся прежними."
    )


def _ended_en(data: Data, now: datetime) -> str:
    return (
        f"Your subscription ended on {speech.date_en(_end(data), now)}, the key does not work at the moment.\n\n"
        "Renew it: the key and the link stay the same."
    )


def _ended_yesterday_ru(data: Data, now: datetime) -> str:
    return (
        f"Напоминаем: подписка закончилась {speech.date_ru(_end(data), now)}.\n\n"
        "Если доступ ещё нужен, продлите её: заново ничего настраивать не придётся. Больше напоминать не будем."
    )


def _ended_yesterday_en(data: Data, now: datetime) -> str:
    return (
        f"A reminder: your subscription ended on {speech.date_en(_end(data), now)}.\n\n"
        "If you still want access, renew it: there is nothing to set up again. We will not remind you any more."
    )


def _key_changed_ru(data: Data, _now: datetime) -> str:
    return f"<b>Ключ заменён.</b> Старые ключ и ссылка больше не работают, дни и срок прежние.\n\n{_key_ru(data)}"


def _key_changed_en(data: Data, _now: datetime) -> str:
    said = "The old key and link do not work any more; your days are as before."
    return f"<b>Your key was changed.</b> {said}\n\n{_key_en(data)}"


def _granted_ru(data: Data, now: datetime) -> str:
    return (
        "<b>Мы добавили вам дни.</b>\n"
        f"Ключ работает до {speech.date_ru(_end(data), now)} — {speech.days_left_ru(data['days_left'])}.\n\n"
        f"{_key_ru(data)}"
    )


def _granted_en(data: Data, now: datetime) -> str:
    return (
        "<b>We have added days for you.</b>\n"
        f"Your key works until {speech.date_en(_end(data), now)}, {speech.days_left_en(data['days_left'])}.\n\n"
        f"{_key_en(data)}"
    )


def _refunded_ru(data: Data, now: datetime) -> str:
    amount, taken, ends_at = _refund(data, now)
    said = f"Мы вернули вам {amount}. Деньги придут туда, откуда вы платили, обычно за несколько дней.\n\n"
    if ends_at is None:
        return said + "Подписка закончилась, ключ больше не работает. Продлить её можно в любой момент."
    until = f"Подписка действует до {speech.date_ru(ends_at, now)}"
    return said + (f"{until}: это на {length_ru(taken)} меньше. Ключ прежний." if taken else f"{until}, ключ прежний.")


def _refunded_en(data: Data, now: datetime) -> str:
    amount, taken, ends_at = _refund(data, now)
    said = f"We have refunded {amount}. The money goes back where it came from, usually within a few days.\n\n"
    if ends_at is None:
        return said + "Your subscription has ended and the key no longer works. You can renew it at any time."
    until = f"Your subscription works until {speech.date_en(ends_at, now)}"
    less = f", {length_en(taken)} less than before" if taken else ""
    return said + f"{until}{less}. Your key stays the same."


def _moved_ru(_data: Data, _now: datetime) -> str:
    return (
        "Мы перенесли вас на другой сервер: дни и срок прежние.\n\n"
        "Если вы добавляли ключ вручную, возьмите новый. По ссылке-подписке программа обновится сама."
    )


def _moved_en(_data: Data, _now: datetime) -> str:
    return (
        "We have moved you to another server: your days are as before.\n\n"
        "If you added the key by hand, take the new one. With the subscription link your app updates by itself."
    )


def _renew(_data: Data, russian: bool) -> Rows:
    """Under everything that is about to end, or has."""
    return [[press("Продлить" if russian else "Renew", "buy")]]


def _try_again(_data: Data, russian: bool) -> Rows:
    """Under a payment that came to nothing."""
    return [[press("Попробовать ещё раз" if russian else "Try again", "buy")]]


def _key_help(data: Data, russian: bool) -> Rows:
    """Under a key."""
    rows = copy("Скопировать ссылку" if russian else "Copy the link", data["subscription_url"])
    return [*rows, [press("Как подключиться" if russian else "How to connect", "connect")]]


def _my_key(_data: Data, russian: bool) -> Rows:
    """Where the key has to be looked at anew."""
    return [[press("Мой ключ" if russian else "My key", "key")]]


def _after_refund(data: Data, russian: bool) -> Rows:
    """Under a refund that ended access."""
    return _renew(data, russian) if data["ends_at"] is None else []


def _key_ru(data: Data) -> str:
    links = code("Ссылка подписки:", data["subscription_url"]) + code("Или сам ключ:", data["vless_url"])
    return f"{links}Нажмите на строку, чтобы скопировать, и вставьте в VPN-приложение."


def _key_en(data: Data) -> str:
    links = code("Subscription link:", data["subscription_url"]) + code("Or the key itself:", data["vless_url"])
    return f"{links}Tap a line to copy it, then paste it into your VPN app."


def _end(data: Data) -> datetime:
    return datetime.fromisoformat(data["ends_at"])


def _hour(moment: datetime) -> str:
    return f"{moment.astimezone(speech.MOSCOW):%H:%M}"


def _nights(now: datetime, moment: datetime) -> int:
    """How many of Moscow's midnights lie between the two."""
    between: timedelta = moment.astimezone(speech.MOSCOW).date() - now.astimezone(speech.MOSCOW).date()
    return between.days


def _refund(data: Data, now: datetime) -> tuple[str, int, datetime | None]:
    """What went back, the seconds that went with it, and when access ends; None if it has ended."""
    ends_at = datetime.fromisoformat(data["ends_at"]) if data["ends_at"] else None
    return (
        money.to_rubles(data["amount_kopecks"]),
        data["taken_seconds"],
        ends_at if ends_at and ends_at > now else None,
    )


def _just_paid(in_russian: Words, in_english: Words, buttons: Buttons = none) -> Kind:
    """For somebody who is awake: they have paid, or tried to, a moment ago."""
    return Kind(in_russian, in_english, buttons, turn=Turn.URGENT, by_night=True)


# The data that each takes; what is not stored with a notice (keys never are) is found out at the moment of sending:
#   paid             amount_kopecks, ends_at (ISO with a zone), days_left, subscription_url, vless_url (or null)
#   key_coming       waits (whether all places are taken)
#   payment_canceled, payment_ran_out    amount_kopecks, reason
#   ends_in_3_days, ends_in_1_day, ended, ended_yesterday    ends_at, days_left
#   key_changed      subscription_url, vless_url (or null)
#   granted          ends_at, days_left, subscription_url, vless_url (or null)
#   refunded         amount_kopecks, taken_seconds, ends_at (null when access has ended)
#   moved            nothing
KINDS = {
    "paid": _just_paid(_paid_ru, _paid_en, _key_help),
    "key_coming": _just_paid(_key_coming_ru, _key_coming_en),
    "payment_canceled": _just_paid(_payment_canceled_ru, _payment_canceled_en, _try_again),
    # Nobody is at the till any more: an hour has passed.
    "payment_ran_out": Kind(_payment_canceled_ru, _payment_canceled_en, _try_again),
    "ends_in_3_days": Kind(_ends_in_3_days_ru, _ends_in_3_days_en, _renew),
    "ends_in_1_day": Kind(_ends_in_1_day_ru, _ends_in_1_day_en, _renew),
    "ended": Kind(_ended_ru, _ended_en, _renew),
    "ended_yesterday": Kind(_ended_yesterday_ru, _ended_yesterday_en, _renew),
    "key_changed": Kind(_key_changed_ru, _key_changed_en, _key_help),
    "granted": Kind(_granted_ru, _granted_en, _key_help),
    "refunded": Kind(_refunded_ru, _refunded_en, _after_refund),
    "moved": Kind(_moved_ru, _moved_en, _my_key),
}
