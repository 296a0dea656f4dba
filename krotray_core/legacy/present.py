"""What is here already: read at the beginning of a takeover, so that a second one finds what the first one did."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from krotray_core.models import Payment, Plan, Server

ACTOR = "import"
# Who has a line in a book that is never altered keeps the id that it names; invitations are moved along.
TOUCHED = """
    SELECT u.id, u.telegram_id,
        EXISTS (SELECT FROM payments WHERE user_id = u.id) OR EXISTS (SELECT FROM subscriptions WHERE user_id = u.id)
        OR EXISTS (SELECT FROM ledger WHERE user_id = u.id) touched
    FROM users u"""
SUBSCRIPTIONS = """
    SELECT s.id, s.user_id, s.status, s.expires_at, s.uuid, t.server_id, line.taken_until,
        coalesce(line.opened, false) opened, coalesce(line.rotated, false) rotated
    FROM subscriptions s
    LEFT JOIN seats t ON t.subscription_id = s.id AND t.wanted
    LEFT JOIN (
        SELECT subscription_id, max(ends_at) FILTER (WHERE actor = :actor AND event IN ('opening', 'adopted')) taken_until,
            bool_or(actor = :actor AND event = 'opening') opened,
            bool_or(actor <> :actor AND event = 'key_rotated') rotated
        FROM ledger WHERE subject = 'subscription' GROUP BY 1
    ) line ON line.subscription_id = s.id"""


@dataclass(frozen=True, slots=True)
class Held:
    """A subscription of ours. `taken_until`: the latest end that a takeover gave it; `opened`: one has made it;
    `rotated`: its key was changed here."""

    id: int
    user_id: int
    status: str
    expires_at: datetime
    key: UUID
    server_id: int | None
    taken_until: datetime | None
    opened: bool
    rotated: bool


@dataclass(slots=True)
class Present:
    """Our people, subscriptions (by user id), servers and tariffs (days by months)."""

    telegram_ids: dict[int, int] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    subscriptions: dict[int, Held] = field(default_factory=dict)
    servers: Sequence[Server] = ()
    days: dict[int, int] = field(default_factory=dict)


def read(session: Session) -> Present:
    """All of it, in a transaction of the caller's."""
    found = Present()
    for user_id, telegram_id, touched in session.execute(text(TOUCHED)):
        found.telegram_ids[user_id] = telegram_id
        if touched:
            found.touched.add(user_id)
    for row in session.execute(text(SUBSCRIPTIONS), {"actor": ACTOR}):
        found.subscriptions[row.user_id] = Held(*row)
    found.servers = session.scalars(select(Server).order_by(Server.id)).all()
    for plan in session.scalars(select(Plan).order_by(Plan.on_sale, Plan.code)):
        found.days[plan.months] = plan.days
    return found


def payments(session: Session, ids: Collection[UUID], external_ids: Collection[str]) -> list[Payment]:
    """Our payments with one of these ids, or one of these ids of YooKassa's."""
    return list(session.scalars(select(Payment).where(or_(Payment.id.in_(ids), Payment.external_id.in_(external_ids)))))
