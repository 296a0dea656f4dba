"""When YooKassa is asked about what has no end yet: claimed by one sweep at a time, often at first, then less and less."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, select

from krotray_core import clock, settings
from krotray_core.db import transaction
from krotray_core.models import Payment, Refund

BATCH = 200

# A request goes out right after its row is written; until then the sweep keeps its hands off.
CREATION_GRACE = timedelta(seconds=20)
# YooKassa remembers an Idempotence-Key for 24 hours; repeating later would make a second payment or refund.
KEY_LIFETIME = timedelta(hours=23)
# Money that we may not honour waits for a person; now and then we look whether it has gone back.
FLAGGED_PAUSE = timedelta(hours=1)

_Row = TypeVar("_Row", Payment, Refund)


def pause(age: timedelta) -> timedelta:
    """How long the sweep leaves something alone of which it first heard this long ago."""
    return max(timedelta(seconds=settings.get().settle_sweep_seconds / 2), age / 20)


def claim(kind: type[_Row], is_open: ColumnElement[bool]) -> list[UUID]:
    """The open ones that it is time to ask about, at most a batch; nobody else gets them before their pause is over."""
    now = clock.now()
    with transaction() as session:
        due = select(kind).where(is_open, kind.next_check_at <= now).order_by(kind.next_check_at)
        claimed = session.scalars(due.limit(BATCH).with_for_update(skip_locked=True)).all()
        for row in claimed:
            row.next_check_at = now + _pause(row, now)
        return [row.id for row in claimed]


def _pause(row: Payment | Refund, now: datetime) -> timedelta:
    if isinstance(row, Refund):
        return pause(now - row.created_at)
    if row.hinted_at is not None:  # fresh news, however old the payment is
        return pause(now - row.hinted_at)
    return FLAGGED_PAUSE if row.flagged_at is not None else pause(now - row.created_at)
