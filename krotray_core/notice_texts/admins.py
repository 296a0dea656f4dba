"""What admins are warned of. Pure: from what the notice is about to Telegram's HTML."""

from __future__ import annotations

from datetime import datetime

from krotray_core import money, speech
from krotray_core.notice_texts.parts import Data, Kind, Turn, Words, cut, units
from krotray_core.telegram_html import LONGEST_TEXT

LONGEST_LINE = 300
# What a report may take for its lines; head and foot need far less than the rest.
LONGEST_REPORT = LONGEST_TEXT - 200


def _refund_failed_ru(data: Data, _now: datetime) -> str:
    return (
        f"Возврат не прошёл: {money.to_rubles(data['amount_kopecks'])}, платёж {cut(data['payment_id'])}.\n"
        f"Причина: {cut(data['reason'])}\n\n"
        "Деньги остались у нас, дни у человека не сняты. Посмотрите платёж в кабинете ЮKassa и повторите возврат."
    )


def _refund_failed_en(data: Data, _now: datetime) -> str:
    return (
        f"A refund did not go through: {money.to_rubles(data['amount_kopecks'])}, payment {cut(data['payment_id'])}.\n"
        f"Reason: {cut(data['reason'])}\n\n"
        "The money is still with us, no days were taken. Look at the payment in YooKassa's cabinet and try again."
    )


def _payment_flagged_ru(data: Data, _now: datetime) -> str:
    return (
        f"Платёж пришёл не таким, как мы ждали: {cut(data['payment_id'])}.\n"
        f"Причина: {cut(data['reason'])}\n\n"
        "Дни по нему не начислены, деньги не возвращены. Посмотрите его в кабинете ЮKassa и решите: "
        "вернуть деньги или продлить подписку вручную."
    )


def _payment_flagged_en(data: Data, _now: datetime) -> str:
    return (
        f"A payment is not what we expected: {cut(data['payment_id'])}.\n"
        f"Reason: {cut(data['reason'])}\n\n"
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


def _server_down_ru(data: Data, _now: datetime) -> str:
    return f"Сервер {cut(data['name'])} не отвечает: {cut(data['error'])}\n\nНовые покупатели получают места на других."


def _server_down_en(data: Data, _now: datetime) -> str:
    return f"Server {cut(data['name'])} does not answer: {cut(data['error'])}\n\nNew buyers get places on others."


def _server_up_ru(data: Data, _now: datetime) -> str:
    return f"Сервер {cut(data['name'])} снова отвечает."


def _server_up_en(data: Data, _now: datetime) -> str:
    return f"Server {cut(data['name'])} answers again."


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


def _server_full_ru(data: Data, _now: datetime) -> str:
    return (
        f"Сервер {cut(data['name'])} заполнен: {data['taken']} из {data['room']} мест. Новых он не берёт, на других свободно: "
        f"{data['free']}.\n\nЕсли он потянет больше, поднимите предел: flask servers change --max-users"
    )


def _server_full_en(data: Data, _now: datetime) -> str:
    return (
        f"Server {cut(data['name'])} is full: {data['taken']} of {data['room']} places. It takes nobody new; free on the others: "
        f"{data['free']}.\n\nIf it can bear more, raise the limit: flask servers change --max-users"
    )


def _people_wait_ru(data: Data, _now: datetime) -> str:
    people = f"{data['people']} {speech.plural_ru(data['people'], 'человек', 'человека', 'человек')}"
    return f"Оплатили и ждут места: {people}. Дни у них не идут. Добавьте сервер: flask servers add"


def _people_wait_en(data: Data, _now: datetime) -> str:
    return f"Paid and waiting for a place: {data['people']}. Their days stand still. Add a server: flask servers add"


def _people_refused_ru(data: Data, _now: datetime) -> str:
    return (
        f"Серверы не впускают оплативших: {data['people']}; {cut(data['servers'])}.\n"
        f"Последний ответ: {cut(data['error'])}\n\nПосмотрите: flask servers check"
    )


def _people_refused_en(data: Data, _now: datetime) -> str:
    return (
        f"Servers refuse people who have paid: {data['people']}; {cut(data['servers'])}.\n"
        f"The last answer: {cut(data['error'])}\n\nHave a look: flask servers check"
    )


def _workers_away_ru(data: Data, _now: datetime) -> str:
    return (
        f"Никто не работает: последний воркер отзывался {_minutes(data)} мин назад. Оплаты не засчитываются, ключи не выдаются.\n\n"
        "Посмотрите: flask doctor; затем systemctl restart krotray"
    )


def _workers_away_en(data: Data, _now: datetime) -> str:
    return (
        f"Nobody is at work: no worker was heard of for {_minutes(data)} min. Payments do not count, keys are not given out.\n\n"
        "Have a look: flask doctor; then systemctl restart krotray"
    )


_STANDS_RU = {"money": "Оплаты не засчитываются.", "access": "Ключи не выдаются и не отключаются."}
_STANDS_EN = {"money": "Payments do not count.", "access": "Keys are neither given out nor ended."}


def _queue_away_ru(data: Data, _now: datetime) -> str:
    stands = _STANDS_RU.get(data["queue"], "Сроки не истекают, уведомления и проверки стоят.")
    return (
        f"Очередь {cut(data['queue'])} никто не разбирает уже {_minutes(data)} мин. {stands}\n\n"
        "Посмотрите: flask doctor; затем запустите воркер этой очереди: systemctl restart krotray"
    )


def _queue_away_en(data: Data, _now: datetime) -> str:
    stands = _STANDS_EN.get(data["queue"], "Nothing expires; notices and checks wait.")
    return (
        f"Nobody has worked on the queue {cut(data['queue'])} for {_minutes(data)} min. {stands}\n\n"
        "Have a look: flask doctor; then start a worker for it: systemctl restart krotray"
    )


def _beat_away_ru(_data: Data, _now: datetime) -> str:
    return (
        "Не работает beat: сроки не истекают, потерянные сообщения никто не находит.\n\n"
        "Посмотрите: flask doctor; затем systemctl restart krotray"
    )


def _beat_away_en(_data: Data, _now: datetime) -> str:
    return (
        "No beat is running: nothing expires, and no lost message is made up for.\n\n"
        "Have a look: flask doctor; then systemctl restart krotray"
    )


def _paid_without_key_ru(data: Data, _now: datetime) -> str:
    return (
        f"Оплачено, но ключ не работает: {data['people']}, дольше всего ждут {_minutes(data)} мин.\n\n"
        "Посмотрите: flask servers check"
    )


def _paid_without_key_en(data: Data, _now: datetime) -> str:
    return (
        f"Paid, but without a key that works: {data['people']}, for up to {_minutes(data)} min.\n\n"
        "Have a look: flask servers check"
    )


def _payments_unheard_ru(data: Data, _now: datetime) -> str:
    return (
        f"ЮKassa сообщила о платежах, но узнать подробности не удаётся: {data['payments']}, дольше всего {_minutes(data)} мин. "
        "Скорее всего люди заплатили и ждут ключа.\n\n"
        "Посмотрите: flask doctor (отвечает ли ЮKassa, разбирают ли очередь money)"
    )


def _payments_unheard_en(data: Data, _now: datetime) -> str:
    return (
        f"YooKassa has told of payments, and we cannot ask what became of them: {data['payments']}, for up to {_minutes(data)} min."
        " Most likely people have paid and wait for a key.\n\n"
        "Have a look: flask doctor (does YooKassa answer, does anybody work on the queue money)"
    )


def _minutes(data: Data) -> int:
    return max(int(data["seconds"]) // 60, 1)


def _report(data: Data) -> tuple[str, int, int]:
    """As many lines as fit, how many are left out, and how many there are in all."""
    given: list[str] = data["lines"]
    shown, room = [], LONGEST_REPORT
    for line in given:
        item = f"• {cut(line, LONGEST_LINE)}"
        room -= units(item) + 1
        if room < 0:
            break
        shown.append(item)
    total = len(given) + int(data["more"])
    return "\n".join(shown), total - len(shown), total


def _warning(in_russian: Words, in_english: Words) -> Kind:
    return Kind(in_russian, in_english, turn=Turn.URGENT, by_night=True)


# The data that each takes:
#   refund_failed    payment_id, amount_kopecks, reason
#   payment_flagged  payment_id, reason
#   reconciliation   lines (texts), more (how many are not among them)
#   server_down      name, error
#   server_up        name
#   fleet_full       taken, room (places on servers that are open to buyers)
#   server_full      name, taken, room (of this one), free (places on the others)
#   people_wait      people
#   people_refused   people, servers (their names), error
#   workers_away     seconds (since a worker was heard of)
#   queue_away       queue, seconds (since a worker on it was heard of)
#   beat_away        nothing
#   paid_without_key people, seconds (of who has waited longest)
#   payments_unheard payments, seconds (of the one that was told of first)
KINDS = {
    "refund_failed": _warning(_refund_failed_ru, _refund_failed_en),
    "payment_flagged": _warning(_payment_flagged_ru, _payment_flagged_en),
    "reconciliation": _warning(_reconciliation_ru, _reconciliation_en),
    "server_down": _warning(_server_down_ru, _server_down_en),
    "server_up": _warning(_server_up_ru, _server_up_en),
    "fleet_full": _warning(_fleet_full_ru, _fleet_full_en),
    "server_full": _warning(_server_full_ru, _server_full_en),
    "people_wait": _warning(_people_wait_ru, _people_wait_en),
    "people_refused": _warning(_people_refused_ru, _people_refused_en),
    "workers_away": _warning(_workers_away_ru, _workers_away_en),
    "queue_away": _warning(_queue_away_ru, _queue_away_en),
    "beat_away": _warning(_beat_away_ru, _beat_away_en),
    "paid_without_key": _warning(_paid_without_key_ru, _paid_without_key_en),
    "payments_unheard": _warning(_payments_unheard_ru, _payments_unheard_en),
}
