"""The ledger: a line for every change of a payment's state, of a refund's, and of a subscription's end or state.

Whoever makes the change writes the line in the same transaction, under the same row lock, so the lines of one thing stand in the
order of its changes. Lines are never altered (a trigger refuses); `ledger_audit` recomputes the present state from them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, insert, inspect, literal, select
from sqlalchemy.orm import Session

from krotray_core.db import transaction
from krotray_core.models import Entry, Payment, Refund, Subscription
from krotray_core.prepared import Prepared

_COLUMNS = tuple(column.key for column in inspect(Entry).column_attrs if column.key != "id")

_actor: ContextVar[str] = ContextVar("who acts", default="service")


@contextmanager
def acting(actor: str) -> Iterator[None]:
    """Lines written inside name this one as the cause: "user", "webhook", "admin anna" ... Set at the doors of the house."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def payment(
    session: Session, row: Payment, event: str, now: datetime, *, kopecks: int = 0, note: str | None = None
) -> None:
    """The payment is now in the state that its row says; `kopecks` came in (or, below zero, went back)."""
    _write(
        session,
        now,
        subject="payment",
        event=event,
        user_id=row.user_id,
        payment_id=row.id,
        status=row.status,
        kopecks=kopecks,
        note=note,
    )


def refund(session: Session, row: Refund, user_id: int, event: str, now: datetime, *, note: str | None = None) -> None:
    """The refund is now in the state that its row says."""
    _write(
        session,
        now,
        subject="refund",
        event=event,
        user_id=user_id,
        payment_id=row.payment_id,
        refund_id=row.id,
        status=row.status,
        kopecks=-row.amount_kopecks if row.status == "succeeded" else 0,
        note=note,
    )


def subscription(
    session: Session,
    row: Subscription,
    event: str,
    now: datetime,
    *,
    ended_at: datetime | None,
    starts_at: datetime | None = None,
    payment_id: UUID | None = None,
    refund_id: UUID | None = None,
    note: str | None = None,
) -> None:
    """The subscription now ends when its row says. It ended at `ended_at` before (None: it is new).

    What was given or taken counts from `starts_at`, by default from the end before.
    """
    _write(
        session,
        now,
        subject="subscription",
        event=event,
        user_id=row.user_id,
        payment_id=payment_id,
        refund_id=refund_id,
        subscription_id=row.id,
        status=row.status,
        ended_at=ended_at,
        starts_at=starts_at or ended_at,
        ends_at=row.expires_at,
        note=note,
    )


def adopt_payment(session: Session, row: Payment, reason: str, now: datetime) -> None:
    """The (locked) payment is taken as it stands, whatever its lines say."""
    mine = select(func.coalesce(func.sum(Entry.kopecks), 0)).where(
        Entry.payment_id == row.id, Entry.subject == "payment"
    )
    holds = row.amount_kopecks - row.refunded_kopecks if row.status in ("succeeded", "refunded") else 0
    payment(session, row, "adopted", now, kopecks=holds - int(session.scalar(mine) or 0), note=reason)


def adopt_subscription(session: Session, row: Subscription, reason: str, now: datetime) -> None:
    """The (locked) subscription is taken as it stands: its lines go on from here."""
    last = select(Entry.ends_at).where(Entry.subscription_id == row.id, Entry.subject == "subscription")
    ended_at = session.scalar(last.order_by(Entry.id.desc()).limit(1))
    subscription(session, row, "adopted", now, ended_at=ended_at, starts_at=row.expires_at, note=reason)


def _write(session: Session, now: datetime, **line: Any) -> None:
    # What the line is about is written before it, the next change after it.
    _line().within(session, **(dict.fromkeys(_COLUMNS) | line | {"at": now, "actor": _actor.get()}))


@cache
def _line() -> Prepared:
    return Prepared("ledger", insert(Entry), _COLUMNS)


def expired(session: Session, subscription_ids: Collection[int], now: datetime) -> None:
    """These (locked) subscriptions have run out: their state changed, their end did not. One statement, however many."""
    lines = select(
        literal(now),
        literal(_actor.get()),
        literal("subscription"),
        literal("expired"),
        Subscription.user_id,
        Subscription.id,
        Subscription.status,
        Subscription.expires_at,
        Subscription.expires_at,
        Subscription.expires_at,
    ).where(Subscription.id.in_(subscription_ids))
    columns = (
        "at",
        "actor",
        "subject",
        "event",
        "user_id",
        "subscription_id",
        "status",
        "ended_at",
        "starts_at",
        "ends_at",
    )
    session.execute(insert(Entry).from_select(columns, lines))


def opened(
    session: Session, kind: type[Payment | Subscription], ids: Collection[Any], now: datetime, note: str
) -> None:
    """These rows are new here and come with a state from elsewhere: their first lines. One statement, however many."""
    first = (literal(now), literal(_actor.get()), literal("opening"), literal(note), kind.user_id, kind.status)
    columns = ["at", "actor", "event", "note", "user_id", "status", "subject"]
    if kind is Payment:
        came = case((Payment.status == "succeeded", Payment.amount_kopecks), else_=0)
        lines = select(*first, literal("payment"), Payment.id, came)
        columns += ["payment_id", "kopecks"]
    else:
        end = Subscription.expires_at
        lines = select(*first, literal("subscription"), Subscription.id, end, end)
        columns += ["subscription_id", "starts_at", "ends_at"]
    session.execute(insert(Entry).from_select(columns, lines.where(kind.id.in_(ids)).order_by(kind.id)))


def of_user(user_id: int) -> list[Entry]:
    """All lines about a user, oldest first."""
    with transaction() as session:
        return list(session.scalars(select(Entry).where(Entry.user_id == user_id).order_by(Entry.id)))


def of_payment(payment_id: UUID) -> list[Entry]:
    """All lines about a payment, its refunds, and the days that they gave and took, oldest first."""
    with transaction() as session:
        return list(session.scalars(select(Entry).where(Entry.payment_id == payment_id).order_by(Entry.id)))
