"""What a person has: how long it lasts, with which key, and how it ends."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import case, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from krotray_core import clock, placement, users
from krotray_core.db import transaction
from krotray_core.errors import Invalid, NotFound
from krotray_core.models import Subscription, User

EXPIRY_BATCH = 500
LONGEST = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Changed:
    """The subscription after a change, and the servers whose seats it touched: those want a converge."""

    subscription: Subscription
    servers: set[int] = field(default_factory=set)


def extend(session: Session, user_id: int, *, days: int, months: int | None, now: datetime) -> Changed:
    """Adds days to the end, or to `now` if that has passed, and sees to a seat. The key stays what it was.

    Two at once for one user wait for each other on the row and both count.
    """
    statement = insert(Subscription).values(
        user_id=user_id,
        status="active",
        expires_at=now + timedelta(days=days),
        uuid=uuid.uuid4(),
        token=_new_token(),
        tariff_months=months,
    )
    standing_still = Subscription.waiting_since.is_not(None)
    start = case((standing_still, Subscription.expires_at), else_=func.greatest(Subscription.expires_at, now))
    statement = statement.on_conflict_do_update(
        index_elements=[Subscription.user_id],
        set_={
            "status": "active",
            "expires_at": start + timedelta(days=days),
            "tariff_months": func.coalesce(statement.excluded.tariff_months, Subscription.tariff_months),
        },
    )
    subscription = session.scalars(
        statement.returning(Subscription), execution_options={"populate_existing": True}
    ).one()
    server_id = placement.take(session, subscription, now)
    return Changed(subscription, {server_id} if server_id is not None else set())


def grant(telegram_id: int, days: int) -> Changed:
    """A present from an admin; a person who never wrote to us is made known. Raises Invalid for a number of days out of range."""
    if not 1 <= days <= LONGEST.days:
        raise Invalid(f"from 1 to {LONGEST.days} days can be granted at once")
    if telegram_id <= 0:
        raise Invalid("a person's Telegram id is a positive number")
    user = users.greet(users.Person(telegram_id))
    with transaction() as session:
        return extend(session, user.id, days=days, months=None, now=clock.now())


def set_expiry(telegram_id: int, expires_at: datetime) -> Changed:
    """Moves the end to a moment (aware). A moment to come makes the subscription active, a past one leaves it to the sweep.

    Raises NotFound, Invalid.
    """
    now = clock.now()
    if expires_at.tzinfo is None:
        raise Invalid("the time needs a zone, such as 2026-12-31T23:59:59+03:00")
    if expires_at > now + LONGEST:
        raise Invalid(f"the end may be at most {LONGEST.days} days away")
    with transaction() as session:
        subscription = _locked(session, telegram_id)
        # Someone who waits is shown (and given, once seated) the end plus the time waited: take that off again.
        waited = now - subscription.waiting_since if subscription.waiting_since else timedelta(0)
        subscription.expires_at = expires_at.astimezone(UTC) - waited
        if expires_at <= now:
            subscription.waiting_since = None
            return Changed(subscription)
        subscription.status = "active"
        server_id = placement.take(session, subscription, now)
        return Changed(subscription, {server_id} if server_id is not None else set())


def revoke(telegram_id: int) -> Changed:
    """Ends access now. Raises NotFound."""
    now = clock.now()
    with transaction() as session:
        subscription = _locked(session, telegram_id)
        subscription.status = "revoked"
        subscription.expires_at = min(subscription.expires_at, now)
        subscription.waiting_since = None
        return Changed(subscription, placement.release(session, [subscription.id], now))


def rotate_key(telegram_id: int) -> Changed:
    """A new key and a new subscription link: nobody gets in with the old ones any more. Raises NotFound.

    A connection that is already open under the old key lives on until its client closes it: the cut-off rule knows
    e-mails, and the e-mail stays.
    """
    with transaction() as session:
        subscription = _locked(session, telegram_id)
        subscription.uuid = uuid.uuid4()
        subscription.token = _new_token()
        if subscription.status != "active":
            return Changed(subscription)
        server_id = placement.take(session, subscription, clock.now())
        return Changed(subscription, {server_id} if server_id is not None else set())


def expire_due() -> tuple[int, set[int]]:
    """Ends all that have run out, in short transactions. Returns how many, and the servers that must hear of it.

    Those who wait for a place do not run out: they have not had their days yet.
    """
    total, servers = 0, set[int]()
    while True:
        now = clock.now()
        with transaction() as session:
            # The partial index serves only the literal, not a bound parameter (see docs/adr/0005).
            due = (
                select(Subscription.id)
                .where(
                    Subscription.status == literal_column("'active'"),
                    Subscription.expires_at < now,
                    Subscription.waiting_since.is_(None),
                )
                .order_by(Subscription.expires_at)
                .limit(EXPIRY_BATCH)
                .with_for_update(skip_locked=True)
            )
            ids = session.scalars(due).all()
            servers |= _expire(session, ids, now)
        total += len(ids)
        if len(ids) < EXPIRY_BATCH:
            return total, servers


def _expire(session: Session, ids: Collection[int], now: datetime) -> set[int]:
    if not ids:
        return set()
    session.execute(
        update(Subscription)
        .where(Subscription.id.in_(ids))
        .values(status="expired")
        .execution_options(synchronize_session=False)
    )
    return placement.release(session, ids, now)


def _locked(session: Session, telegram_id: int) -> Subscription:
    subscription = session.scalar(
        select(Subscription)
        .join(User, User.id == Subscription.user_id)
        .where(User.telegram_id == telegram_id)
        .with_for_update(of=Subscription)
    )
    if subscription is None:
        raise NotFound(f"Telegram id {telegram_id} has no subscription")
    return subscription


def _new_token() -> str:
    return secrets.token_urlsafe(24)
