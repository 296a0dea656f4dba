"""The state of the service in numbers, counted in the database at the moment of asking."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from krotray_core.db import transaction
from krotray_core.models import Payment, Seat, Server, Subscription


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts by kind; `servers` has one row (name, up, active, room) for each."""

    payments: dict[str, int]
    flagged_payments: int
    subscriptions: dict[str, int]
    waiting: int
    dirty_seats: int
    servers: list[tuple[str, bool | None, int, int]]


def count() -> Figures:
    """Counts it all, in one read-only transaction."""
    with transaction() as session:
        by_state = select(Payment.status, func.count()).group_by(Payment.status)
        flagged = select(func.count()).where(Payment.flagged_at.is_not(None))
        by_status = select(Subscription.status, func.count()).group_by(Subscription.status)
        waiting = select(func.count()).where(Subscription.waiting_since.is_not(None))
        dirty = select(func.count()).where(Seat.dirty)
        fleet = select(Server.name, Server.is_up, Server.active_users, Server.max_users).order_by(Server.name)
        return Figures(
            payments=_counted(session, by_state),
            flagged_payments=session.scalar(flagged) or 0,
            subscriptions=_counted(session, by_status),
            waiting=session.scalar(waiting) or 0,
            dirty_seats=session.scalar(dirty) or 0,
            servers=[(row[0], row[1], row[2], row[3]) for row in session.execute(fleet)],
        )


def _counted(session: Session, statement: Select[str, int]) -> dict[str, int]:
    return {row[0]: row[1] for row in session.execute(statement)}
