"""The words of each kind of notice, in Russian and in English: plain text, never longer than Telegram takes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from krotray_core import money, speech
from krotray_core.telegram_api import LONGEST_TEXT

LONGEST_REASON = 300
LONGEST_LINE = 300
# What a report may take for its lines; head and foot need far less than the rest.
LONGEST_REPORT = LONGEST_TEXT - 200

_DAY, _HOUR = 86_400, 3_600

Data = dict[str, Any]


def text(kind: str, data: Data, language_code: str | None, now: datetime) -> str:
    """What to say. Raises KeyError for an unknown kind, KeyError, TypeError or ValueError for data that do not fit it."""
    in_russian, in_english = KINDS[kind]
    return in_russian(data, now) if speech.reads_russian(language_code) else in_english(data, now)


def _refunded_ru(data: Data, now: datetime) -> str:
    amount, taken, ends_at = _refund(data, now)
    said = f"Мы вернули вам {amount}. Деньги придут туда, откуда вы платили, обычно за несколько дней.\n\n"
    if ends_at is None:
        return said + "Подписка закончилась, ключ больше не работает. Продлить её можно в любой момент: /buy"
    until = f"Подписка действует до {speech.date_ru(ends_at, now)}"
    return said + (f"{until}: это на {_length_ru(taken)} меньше. Ключ прежний." if taken else f"{until}, ключ прежний.")


def _refunded_en(data: Data, now: datetime) -> str:
    amount, taken, ends_at = _refund(data, now)
    said = f"We have refunded {amount}. The money goes back where it came from, usually within a few days.\n\n"
    if ends_at is None:
        return said + "Your subscription has ended and the key no longer works. You can renew it at any time: /buy"
    until = f"Your subscription works until {speech.date_en(ends_at, now)}"
    less = f", {_length_en(taken)} less than before" if taken else ""
    return said + f"{until}{less}. Your key stays the same."


def _refund_failed_ru(data: Data, _now: datetime) -> str:
    return (
        f"Возврат не прошёл: {money.to_rubles(data['amount_kopecks'])}, платёж {_cut(data['payment_id'])}.\n"
        f"Причина: {_cut(data['reason'])}\n\n"
        "Деньги остались у нас, дни у человека не сняты. Посмотрите платёж в кабинете ЮKassa и повторите возврат."
    )


def _refund_failed_en(data: Data, _now: datetime) -> str:
    return (
        f"A refund did not go through: {money.to_rubles(data['amount_kopecks'])}, payment {_cut(data['payment_id'])}.\n"
        f"Reason: {_cut(data['reason'])}\n\n"
        "The money is still with us, no days were taken. Look at the payment in YooKassa's cabinet and try again."
    )


def _payment_flagged_ru(data: Data, _now: datetime) -> str:
    return (
        f"Платёж пришёл не таким, как мы ждали: {_cut(data['payment_id'])}.\n"
        f"Причина: {_cut(data['reason'])}\n\n"
        "Дни по нему не начислены, деньги не возвращены. Посмотрите его в кабинете ЮKassa и решите: "
        "вернуть деньги или продлить подписку вручную."
    )


def _payment_flagged_en(data: Data, _now: datetime) -> str:
    return (
        f"A payment is not what we expected: {_cut(data['payment_id'])}.\n"
        f"Reason: {_cut(data['reason'])}\n\n"
        "No days were given for it, no money was returned. Look at it in YooKassa's cabinet and decide: "
        "give the money back or extend the subscription by hand."
    )


def _reconciliation_ru(data: Data, _now: datetime) -> str:
    lines, more, total = _report(data)
    if not total:
        return "Сверка за день: расхождений нет."
    forms = ("расхождение", "расхождения", "расхождений")
    head = f"Сверка за день: {total} {speech.plural_ru(total, *forms)}. Посмотрите каждое.\n\n"
    return head + lines + (f"\n\nИ ещё {more}." if more else "")


def _reconciliation_en(data: Data, _now: datetime) -> str:
    lines, more, total = _report(data)
    if not total:
        return "Daily reconciliation: no differences."
    head = f"Daily reconciliation: {total} {'difference' if total == 1 else 'differences'}. Please look at each.\n\n"
    return head + lines + (f"\n\nAnd {more} more." if more else "")


def _moved_ru(_data: Data, _now: datetime) -> str:
    return (
        "Мы перенесли вас на другой сервер: дни и срок прежние.\n\n"
        "Если вы добавляли ключ вручную, возьмите новый: /key. По ссылке-подписке программа обновится сама."
    )


def _moved_en(_data: Data, _now: datetime) -> str:
    return (
        "We have moved you to another server: your days are as before.\n\n"
        "If you added the key by hand, take the new one: /key. With the subscription link your app updates by itself."
    )


def _server_down_ru(data: Data, _now: datetime) -> str:
    return (
        f"Сервер {_cut(data['name'])} не отвечает: {_cut(data['error'])}\n\nНовые покупатели получают места на других."
    )


def _server_down_en(data: Data, _now: datetime) -> str:
    return f"Server {_cut(data['name'])} does not answer: {_cut(data['error'])}\n\nNew buyers get places on others."


def _server_up_ru(data: Data, _now: datetime) -> str:
    return f"Сервер {_cut(data['name'])} снова отвечает."


def _server_up_en(data: Data, _now: datetime) -> str:
    return f"Server {_cut(data['name'])} answers again."


def _fleet_full_ru(data: Data, _now: datetime) -> str:
    return (
        f"Занято {data['taken']} из {data['room']} мест на серверах, которые принимают новых. "
        "Пора добавить сервер: flask servers add"
    )


def _fleet_full_en(data: Data, _now: datetime) -> str:
    return (
        f"{data['taken']} of {data['room']} places are taken on the servers that are open to buyers. "
        "It is time to add one: flask servers add"
    )


def _people_wait_ru(data: Data, _now: datetime) -> str:
    people = f"{data['people']} {speech.plural_ru(data['people'], 'человек', 'человека', 'человек')}"
    return f"Оплатили и ждут места: {people}. Дни у них не идут. Добавьте сервер: flask servers add"


def _people_wait_en(data: Data, _now: datetime) -> str:
    return f"Paid and waiting for a place: {data['people']}. Their days stand still. Add a server: flask servers add"


# In Russian and in English. The data that each takes:
#   refunded         amount_kopecks, taken_seconds, ends_at (ISO with a zone; null when access has ended)
#   refund_failed    payment_id, amount_kopecks, reason
#   payment_flagged  payment_id, reason
#   reconciliation   lines (texts), more (how many are not among them)
#   moved            nothing
#   server_down      name, error
#   server_up        name
#   fleet_full       taken, room (places on servers that are open to buyers)
#   people_wait      people
KINDS: dict[str, tuple[Callable[[Data, datetime], str], Callable[[Data, datetime], str]]] = {
    "refunded": (_refunded_ru, _refunded_en),
    "refund_failed": (_refund_failed_ru, _refund_failed_en),
    "payment_flagged": (_payment_flagged_ru, _payment_flagged_en),
    "reconciliation": (_reconciliation_ru, _reconciliation_en),
    "moved": (_moved_ru, _moved_en),
    "server_down": (_server_down_ru, _server_down_en),
    "server_up": (_server_up_ru, _server_up_en),
    "fleet_full": (_fleet_full_ru, _fleet_full_en),
    "people_wait": (_people_wait_ru, _people_wait_en),
}


def _refund(data: Data, now: datetime) -> tuple[str, int, datetime | None]:
    """The amount, the seconds taken, and the end of access unless it is over, be it since the refund."""
    ends_at = datetime.fromisoformat(data["ends_at"]) if data["ends_at"] is not None else None
    over = ends_at is None or ends_at <= now
    return money.to_rubles(data["amount_kopecks"]), data["taken_seconds"], None if over else ends_at


def _length_ru(seconds: int) -> str:
    """ "30 дней", "5 часов"; a part of an hour counts as one."""
    if seconds >= _DAY:
        days = round(seconds / _DAY)
        return f"{days} {speech.plural_ru(days, 'день', 'дня', 'дней')}"
    hours = max(round(seconds / _HOUR), 1)
    return f"{hours} {speech.plural_ru(hours, 'час', 'часа', 'часов')}"


def _length_en(seconds: int) -> str:
    if seconds >= _DAY:
        days = round(seconds / _DAY)
        return f"{days} {'day' if days == 1 else 'days'}"
    hours = max(round(seconds / _HOUR), 1)
    return f"{hours} {'hour' if hours == 1 else 'hours'}"


def _report(data: Data) -> tuple[str, int, int]:
    """As many lines as fit, how many are left out, and how many there are in all."""
    given: list[str] = data["lines"]
    shown, room = [], LONGEST_REPORT
    for line in given:
        item = f"• {_cut(line, LONGEST_LINE)}"
        room -= _units(item) + 1
        if room < 0:
            break
        shown.append(item)
    total = len(given) + int(data["more"])
    return "\n".join(shown), total - len(shown), total


def _cut(words: str, longest: int = LONGEST_REASON) -> str:
    """On one line and not too long."""
    words = " ".join(words.split())
    if _units(words) <= longest:
        return words
    return words.encode("utf-16-le")[: 2 * (longest - 1)].decode("utf-16-le", "ignore") + "…"


def _units(words: str) -> int:
    return len(words) + sum(sign > "\uffff" for sign in words)
