"""How lines of the ledger read: the story of a ruble or a day, one line a change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from krotray_core import money
from krotray_core.models import Entry

COLUMNS = ("at", "what", "change", "ends_at", "status", "because_of", "by", "note")

_WHAT = {
    ("payment", "opening"): "платёж, каким его застала книга",
    ("payment", "created"): "платёж создан",
    ("payment", "succeeded"): "деньги пришли",
    ("payment", "canceled"): "платёж отменён",
    ("payment", "flagged"): "платёж отложен: нужен человек",
    ("payment", "closed"): "вопрос закрыт",
    ("payment", "adopted"): "состояние принято вручную",
    ("payment", "refunded"): "деньги вернулись",
    ("refund", "created"): "возврат начат",
    ("refund", "succeeded"): "возврат прошёл",
    ("refund", "canceled"): "возврат не прошёл",
    ("subscription", "opening"): "подписка, какой её застала книга",
    ("subscription", "adopted"): "состояние принято вручную",
    ("subscription", "paid"): "дни оплачены",
    ("subscription", "granted"): "дни подарены",
    ("subscription", "refunded"): "дни сняты за возврат",
    ("subscription", "set"): "срок изменён вручную",
    ("subscription", "waited"): "место нашлось: дни ожидания не считаются",
    ("subscription", "revoked"): "доступ отозван",
    ("subscription", "expired"): "срок закончился",
    ("subscription", "key_rotated"): "ключ заменён",
}


def rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The lines as rows to print: for people `what`, `change`, `because_of`; all the rest is as the ledger has it."""
    return [_row(entry) for entry in entries]


def _row(entry: Entry) -> dict[str, Any]:
    shift = entry.ends_at - entry.starts_at if entry.ends_at and entry.starts_at else None
    return {
        "at": entry.at,
        "what": _WHAT.get((entry.subject, entry.event), entry.event),
        "change": _change(entry, shift),
        "ended_at": entry.ended_at,
        "starts_at": entry.starts_at,
        "ends_at": entry.ends_at,
        "status": entry.status,
        "because_of": _cause(entry),
        "by": entry.actor,
        "note": entry.note,
        "subject": entry.subject,
        "event": entry.event,
        "kopecks": entry.kopecks,
        "seconds": shift.total_seconds() if shift is not None else None,
        "payment_id": str(entry.payment_id) if entry.payment_id else None,
        "refund_id": str(entry.refund_id) if entry.refund_id else None,
    }


def _change(entry: Entry, shift: timedelta | None) -> str | None:
    if shift:
        return f"{'+' if shift > timedelta(0) else '−'}{_length(abs(shift))}"
    if entry.kopecks and entry.subject == "payment":
        return f"{'+' if entry.kopecks > 0 else '−'}{money.to_rubles(abs(entry.kopecks))}"
    return None


def _length(length: timedelta) -> str:
    """30 days -> "30 дн.", a part of a day as hours, minutes and seconds."""
    rest = timedelta(seconds=length.seconds, microseconds=length.microseconds)
    parts = [f"{length.days} дн."] if length.days else []
    return " ".join(parts + ([str(rest).partition(".")[0]] if rest or not parts else []))


def _cause(entry: Entry) -> str | None:
    if entry.refund_id:
        return f"возврат {entry.refund_id}"
    return f"платёж {entry.payment_id}" if entry.payment_id else None
