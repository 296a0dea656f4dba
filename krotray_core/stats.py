"""How the business is doing, for its admins: today and this month by Moscow's calendar, and one person at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, literal_column, select
from sqlalchemy.orm import Session

from krotray_core import billing, cabinet, clock, invites, servers
from krotray_core.cabinet import Cabinet
from krotray_core.db import transaction
from krotray_core.models import Payment, Server, Subscription, User

MOSCOW = ZoneInfo("Europe/Moscow")
LATEST_PAYMENTS = 5
# A payment lives for an hour, or a day where its making was in doubt; one that came in later than that is not looked for.
LATEST_PAID = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of people, subscriptions and payments; revenue in kopecks: what came in, less what of it went back."""

    active: int
    new_users: int
    revenue_today: int
    revenue_month: int
    waiting: int
    open_payments: int
    flagged_payments: int
    servers: list[Server]


@dataclass(frozen=True, slots=True)
class About:
    """One person: what they have, who brought them and whom they brought, and their latest payments, the newest first."""

    user: User
    cabinet: Cabinet
    invited_by: User | None
    came: int
    payments: list[Payment]


def count() -> Stats:
    """Counts it all now, by indexes where there is one for it."""
    now = clock.now()
    with transaction() as session:
        active = select(func.count()).where(
            # The partial index serves only the literal (see docs/adr/0005).
            Subscription.status == literal_column("'active'"),
            (Subscription.expires_at > now) | Subscription.waiting_since.is_not(None),
        )
        waiting = select(func.count()).where(Subscription.waiting_since.is_not(None))
        # Likewise: both are among those of `ix_payments_open`.
        pending = select(func.count()).where(
            Payment.status == literal_column("'pending'"), Payment.flagged_at.is_(None)
        )
        flagged = select(func.count()).where(Payment.flagged_at.is_not(None))
        new = select(func.count()).where(User.created_at >= day_began(now))
        today, month = _revenue(session, now)
        counted = [session.scalar(one) or 0 for one in (active, new, waiting, pending, flagged)]
    return Stats(
        active=counted[0],
        new_users=counted[1],
        revenue_today=today,
        revenue_month=month,
        waiting=counted[2],
        open_payments=counted[3],
        flagged_payments=counted[4],
        servers=servers.everyone(),
    )


def about(user: User) -> About:
    """What an admin wants to know of a person."""
    with transaction() as session:
        inviter = session.get(User, user.invited_by_id) if user.invited_by_id is not None else None
    return About(
        user=user,
        cabinet=cabinet.of_user(user.id),
        invited_by=inviter,
        came=invites.came(user.id),
        payments=billing.latest(user_id=user.id, limit=LATEST_PAYMENTS),
    )


def day_began(now: datetime) -> datetime:
    """Moscow's last midnight, aware."""
    return now.astimezone(MOSCOW).replace(hour=0, minute=0, second=0, microsecond=0)


def month_began(now: datetime) -> datetime:
    """The midnight with which Moscow's month began, aware."""
    return day_began(now).replace(day=1)


def _revenue(session: Session, now: datetime) -> tuple[int, int]:
    """Of Moscow's day and month so far: payments that counted then, less what has gone back of them since."""
    kept = Payment.amount_kopecks - Payment.refunded_kopecks
    today, month = session.execute(
        select(
            func.coalesce(func.sum(kept).filter(Payment.paid_at >= day_began(now)), 0),
            func.coalesce(func.sum(kept), 0),
        ).where(
            Payment.created_at >= month_began(now) - LATEST_PAID,  # an index finds these, none knows `paid_at`
            Payment.paid_at >= month_began(now),
        )
    ).one()
    return int(today), int(month)
