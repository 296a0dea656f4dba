"""Is it still true? What is looked at by kind just before a notice goes out, and what its text needs that no row may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import aliased

from krotray_core import billing, broadcasts, cabinet, notice_texts, reminders
from krotray_core.db import transaction
from krotray_core.models import Notice, Payment, Server, User
from krotray_core.notices import Dropped, Later, Ready, Verdict

# How often it is looked whether a key works yet: more and more seldom, the longer it has taken.
_SOONEST, _LATEST = timedelta(seconds=1), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Subject:
    """A notice that is about to go out."""

    id: int
    telegram_id: int
    kind: str
    data: dict[str, Any]
    created_at: datetime


def look(subject: Subject, now: datetime) -> Verdict:
    """Whether a notice may go out now. Raises KeyError or ValueError for data that do not fit its kind."""
    check = _CHECKS.get(subject.kind)
    return check(subject, now) if check else Ready(subject.data)


def _paid(subject: Subject, now: datetime) -> Verdict:
    payment = _payment(subject)
    if payment.status != "succeeded":
        return Dropped(f"the payment is {payment.status}")
    return _with_key(payment.user_id, subject, now, {"amount_kopecks": payment.amount_kopecks})


def _key_coming(subject: Subject, _now: datetime) -> Verdict:
    payment = _payment(subject)
    with transaction() as session:
        told = session.scalar(select(Notice.sent_at).where(Notice.key == f"paid:{payment.id}"))
    seen = cabinet.of_user(payment.user_id)
    if told or payment.status != "succeeded" or seen.state != "provisioning":
        return Dropped("the key is there, or will not come")
    return Ready({"waits": bool(seen.subscription and seen.subscription.waiting_since)})


def _canceled(subject: Subject, _now: datetime) -> Verdict:
    """Not of interest to who has paid since; of several bills that ran out only the latest is."""
    payment, other = _payment(subject), aliased(Payment)
    since = other.created_at > payment.created_at
    paid = other.status.in_(billing.COUNTED) & (other.paid_at >= payment.created_at)
    overtaken = paid | since if subject.kind == "payment_ran_out" else paid
    with transaction() as session:
        later = session.scalar(
            select(exists().where(other.user_id == payment.user_id, other.id != payment.id, overtaken))
        )
    if payment.status != "canceled" or later:
        return Dropped("paid, or about to be, in another way")
    return Ready({"amount_kopecks": payment.amount_kopecks, "reason": payment.cancel_reason or "unknown"})


def _news_of_key(dropped: str, subject: Subject, now: datetime) -> Verdict:
    """Of several of a kind only the latest is of interest: each of them would say the same, which is how things stand now."""
    newer = exists().where(
        Notice.telegram_id == subject.telegram_id, Notice.kind == subject.kind, Notice.id > subject.id
    )
    with transaction() as session:
        user_id = session.scalar(select(User.id).where(User.telegram_id == subject.telegram_id))
        if user_id is None or session.scalar(select(newer)):
            return Dropped(dropped)
    return _with_key(user_id, subject, now, {})


def _with_key(user_id: int, subject: Subject, now: datetime, data: dict[str, Any]) -> Verdict:
    """As soon as the key works: a key that does not work yet would be tried in vain."""
    seen = cabinet.of_user(user_id)
    if seen.state == "provisioning":
        return Later(now + min(max((now - subject.created_at) / 5, _SOONEST), _LATEST))
    if seen.state != "active" or seen.expires_at is None:
        return Dropped("no subscription that runs")
    links = {"subscription_url": seen.subscription_url, "vless_url": seen.vless_url}
    return Ready(data | links | {"ends_at": seen.expires_at.isoformat(), "days_left": seen.days_left})


def _server(up: bool, subject: Subject, _now: datetime) -> Verdict:
    """What waited while Telegram was away may come late, or after the news that followed: the last word must be the true one."""
    with transaction() as session:
        is_up = session.scalar(select(Server.is_up).where(Server.name == subject.data["name"]))
    return Ready(subject.data) if is_up is up else Dropped("not so any more")


def _payment(subject: Subject) -> Payment:
    return billing.find(UUID(subject.data["payment_id"]))


def _broadcast(subject: Subject, now: datetime) -> Verdict:
    return broadcasts.look(subject.data["broadcast"], subject.telegram_id, now)


def _reminder(kind: str, subject: Subject, now: datetime) -> Verdict:
    return reminders.look(kind, subject.data, now)


_CHECKS: dict[str, Callable[[Subject, datetime], Verdict]] = {
    "paid": _paid,
    "key_coming": _key_coming,
    "payment_canceled": _canceled,
    "payment_ran_out": _canceled,
    "key_changed": partial(_news_of_key, "changed once more since"),
    "granted": partial(_news_of_key, "given more since"),
    "server_down": partial(_server, False),
    "server_up": partial(_server, True),
    notice_texts.BROADCAST: _broadcast,
    **{kind: partial(_reminder, kind) for kind in reminders.WINDOWS},
}
