"""What a person has: how long it lasts, with which key, and how it ends."""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from uuid import UUID

from sqlalchemy import Select, bindparam, exists, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from krotray_core import clock, ledger, notices, placement, reminders, traffic, users
from krotray_core.db import transaction
from krotray_core.errors import Invalid, NotFound
from krotray_core.models import Entry, Subscription, User

log = logging.getLogger(__name__)

EXPIRY_BATCH = 500
# So many batches keep those busy who bring them to the servers.
HEARD_EVERY = 4
LONGEST = timedelta(days=3650)
FETCH_NOTED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Changed:
    """The subscription after a change, and the servers whose seats it touched: those want a converge."""

    subscription: Subscription
    servers: set[int] = field(default_factory=set)


def extend(
    session: Session,
    user_id: int,
    *,
    days: int,
    months: int | None,
    now: datetime,
    payment_id: UUID | None = None,
    paid_since: datetime | None = None,
    note: str | None = None,
) -> Changed:
    """Adds days to the end, or to `now` if that has passed, and sees to a seat. The key stays what it was.

    They are those of a payment, or else a present. Two at once for one user wait for each other on the row and both count.
    `note` is kept in the ledger's line; `paid_since` is when their wait for a key began.
    """
    length = timedelta(days=days)
    ended_at, starts_at = None, now
    subscription = _of_user(session, user_id)
    new = _new(session, user_id, now + length, months) if subscription is None else None
    if new is None:
        subscription = subscription or _of_user(session, user_id)
        if subscription is None:
            raise NotFound("the subscription is gone")
        ended_at, starts_at = _prolonged(session, subscription, length, months, now)
    else:
        subscription = new
    event = "paid" if payment_id else "granted"
    ledger.subscription(
        session, subscription, event, now, ended_at=ended_at, starts_at=starts_at, payment_id=payment_id, note=note
    )
    return _seated(session, subscription, now, paid_since)


def take_back(
    session: Session, user_id: int, *, seconds: int, now: datetime, payment_id: UUID, refund_id: UUID
) -> Changed:
    """Takes the days of a refund off the end, wherever that leads; when none are left, access ends at once.

    Raises NotFound for a user without a subscription.
    """
    subscription = _of_user(session, user_id)
    if subscription is None:
        raise NotFound("no subscription to take days from")
    ended_at = subscription.expires_at
    subscription.expires_at = ended_at - timedelta(seconds=seconds)
    servers: set[int] = set()
    if subscription.status == "active" and subscription.expires_at <= (subscription.waiting_since or now):
        subscription.status, subscription.waiting_since = "expired", None
        servers = placement.release(session, [subscription.id], now)
    ledger.subscription(
        session, subscription, "refunded", now, ended_at=ended_at, payment_id=payment_id, refund_id=refund_id
    )
    return Changed(subscription, servers)


def grant(telegram_id: int, days: int, *, once: str | None = None) -> Changed:
    """A present from an admin; a person who never wrote to us is made known. Raises Invalid for a number of days out of range.

    They are told of it, with the key, as soon as that works. `once` names the admin's act (kept in the ledger): a present of
    that name is given to this person only once.
    """
    if not 1 <= days <= LONGEST.days:
        raise Invalid(f"from 1 to {LONGEST.days} days can be granted at once")
    if telegram_id <= 0:
        raise Invalid("a person's Telegram id is a positive number")
    user = users.known(telegram_id)
    with transaction() as session:
        session.get_one(User, user.id, with_for_update={"key_share": True})  # two of one name wait for each other here
        given = _given(session, user.id, once) if once is not None else None
        if given is not None:
            return Changed(given)
        now = clock.now()
        changed = extend(session, user.id, days=days, months=None, now=now, note=once)
        _tell_of_days(session, changed.subscription, now)
        return changed


def _given(session: Session, user_id: int, once: str) -> Subscription | None:
    """The subscription of this user, if the present of this name is in it."""
    line = exists().where(Entry.user_id == user_id, Entry.event == "granted", Entry.note == once)
    return session.scalar(select(Subscription).where(Subscription.user_id == user_id, line))


def set_expiry(telegram_id: int, expires_at: datetime) -> Changed:
    """Moves the end to a moment (aware). A moment to come makes the subscription active, a past one leaves it to the sweep.

    Who gets more days is told so, with the key. Who loses some is not: mostly an admin takes back a slip, and else they talk to
    the person themselves; what was not sent yet says the new date, and so do the reminders. Raises NotFound, Invalid.
    """
    now = clock.now()
    if expires_at.tzinfo is None:
        raise Invalid("the time needs a zone, such as 2026-12-31T23:59:59+03:00")
    if expires_at > now + LONGEST:
        raise Invalid(f"the end may be at most {LONGEST.days} days away")
    with transaction() as session:
        subscription = _locked(session, telegram_id)
        # Someone who waits is shown (and given, once seated) the end plus the time waited: take that off again.
        waits = subscription.waiting_since is not None and expires_at > now
        waited = now - subscription.waiting_since if waits and subscription.waiting_since else timedelta(0)
        ended_at = subscription.expires_at
        subscription.expires_at = expires_at.astimezone(UTC) - waited
        longer = subscription.status != "active" or subscription.expires_at > ended_at
        if expires_at <= now:
            subscription.waiting_since = None
        else:
            subscription.status = "active"
            if longer:
                _tell_of_days(session, subscription, now)
            if ended_at <= now:
                traffic.begin_period(session, subscription.id, now)
        ledger.subscription(session, subscription, "set", now, ended_at=ended_at)
        if expires_at > now:
            return _seated(session, subscription, now)
        if subscription.status == "expired":  # what the sweep has noted was about another end
            reminders.note_ended(session, [subscription.id], now)
        return Changed(subscription)


def revoke(telegram_id: int) -> Changed:
    """Ends access now. Raises NotFound."""
    now = clock.now()
    with transaction() as session:
        subscription = _locked(session, telegram_id)
        ended_at = subscription.expires_at
        subscription.status = "revoked"
        subscription.expires_at = min(ended_at, now)
        subscription.waiting_since = None
        ledger.subscription(session, subscription, "revoked", now, ended_at=ended_at)
        return Changed(subscription, placement.release(session, [subscription.id], now))


def rotate_key(telegram_id: int) -> Changed:
    """A new key and a new subscription link: nobody gets in with the old ones any more. Raises NotFound.

    The seat moves to another server if one has room: on the one before, the cut-off rule then ends connections that are open
    under the old key. Where there is no other server they live on until their client closes them, for the rule knows e-mails
    only, and the e-mail stays.
    """
    with transaction() as session:
        subscription = _locked(session, telegram_id)
        subscription.uuid = uuid.uuid4()
        subscription.token = _new_token()
        now = clock.now()
        ledger.subscription(session, subscription, "key_rotated", now, ended_at=subscription.expires_at)
        if subscription.status != "active":
            return Changed(subscription)
        key = f"key_changed:{subscription.id}:{now.isoformat()}"
        notices.tell_user(session, subscription.user_id, kind="key_changed", key=key, data={}, now=now)
        moved = placement.move(session, subscription, now)
        return _seated(session, subscription, now) if moved is None else Changed(subscription, moved)


def note_fetch(subscription_id: int, last: datetime | None) -> None:
    """A VPN program has fetched this subscription's link, `last` before; written down once an hour at most."""
    now = clock.now()
    if last is not None and now - last < FETCH_NOTED:
        return
    with transaction() as session:
        statement = update(Subscription).where(Subscription.id == subscription_id).values(fetched_at=now)
        session.execute(statement.execution_options(synchronize_session=False))


def expire_due(wants_converge: Callable[[int], object] = lambda _server_id: None) -> tuple[int, set[int]]:
    """Ends all that have run out, in short transactions. Returns how many, and the servers that must hear of it.

    With many more to come a server need not wait: `wants_converge` is called with its id after the first batch, and every few more.

    Those who wait for a place do not run out: they have not had their days yet. One whose end the database refuses (a wrong
    counter, say) is logged and left, and holds up nobody else.
    """
    total, servers, unaware, after = 0, set[int](), set[int](), 0
    for number in count(1):
        ids, ended, touched = _end_batch(after, clock.now())
        total += ended
        unaware |= touched
        servers |= touched
        if len(ids) < EXPIRY_BATCH:
            break
        after = ids[-1]
        if number % HEARD_EVERY == 1:
            for server_id in sorted(unaware):
                wants_converge(server_id)
            unaware = set()
    return total, servers


def _end_batch(after: int, now: datetime) -> tuple[Sequence[int], int, set[int]]:
    """Ends the next batch of subscriptions. Returns which they were, how many have ended, and the servers that must hear of it."""
    ids: Sequence[int] = ()
    try:
        with transaction() as session:
            ids = session.scalars(_due(now).where(Subscription.id > after).limit(EXPIRY_BATCH)).all()
            return ids, len(ids), _expire(session, ids, now)
    except IntegrityError:
        log.exception("a batch of ends was refused: now one by one")
    ended, servers = 0, set[int]()
    for subscription_id in ids:
        try:
            with transaction() as session:
                still = session.scalars(_due(now).where(Subscription.id == subscription_id)).all()
                servers |= _expire(session, still, now)
                ended += len(still)
        except IntegrityError:
            log.exception("subscription %s cannot be ended", subscription_id)
    return ids, ended, servers


def _due(now: datetime) -> Select[int]:
    # The partial index serves only the literal, not a bound parameter (see docs/adr/0005).
    due = select(Subscription.id).where(
        Subscription.status == literal_column("'active'"),
        Subscription.expires_at < now,
        Subscription.waiting_since.is_(None),
    )
    return due.order_by(Subscription.id).with_for_update(skip_locked=True)


def _expire(session: Session, ids: Collection[int], now: datetime) -> set[int]:
    if not ids:
        return set()
    session.execute(
        update(Subscription)
        .where(Subscription.id.in_(ids))
        .values(status="expired")
        .execution_options(synchronize_session=False)
    )
    ledger.expired(session, ids, now)
    reminders.note_ended(session, ids, now)
    return placement.release(session, ids, now)


def _tell_of_days(session: Session, subscription: Subscription, now: datetime) -> None:
    key = f"granted:{subscription.id}:{now.isoformat()}"
    notices.tell_user(session, subscription.user_id, kind="granted", key=key, data={}, now=now)


def _seated(session: Session, subscription: Subscription, now: datetime, paid_since: datetime | None = None) -> Changed:
    server_id = placement.take(session, subscription, now, paid_since)
    return Changed(subscription, {server_id} if server_id is not None else set())


def _of_user(session: Session, user_id: int) -> Subscription | None:
    return session.scalar(_mine(), {"whose": user_id}, execution_options={"populate_existing": True})


@cache
def _mine() -> Select[Subscription]:
    mine = Subscription.user_id == bindparam("whose", type_=Subscription.user_id.type)
    return select(Subscription).where(mine).with_for_update()


def _new(session: Session, user_id: int, ends_at: datetime, months: int | None) -> Subscription | None:
    """The first subscription of this user, who has none; None when somebody was quicker, and has committed."""
    values = {
        "status": "active",
        "expires_at": ends_at,
        "tariff_months": months,
        "uuid": uuid.uuid4(),
        "token": _new_token(),
    }
    statement = insert(Subscription).values(user_id=user_id, **values)
    return session.scalar(
        statement.on_conflict_do_nothing(index_elements=[Subscription.user_id]).returning(Subscription)
    )


def _prolonged(
    session: Session, subscription: Subscription, length: timedelta, months: int | None, now: datetime
) -> tuple[datetime, datetime]:
    """Adds to the end of this (locked) subscription. Returns the end before, and from when on what was added counts."""
    ended_at = subscription.expires_at
    # The days of somebody who waits stand still: they have not begun to pass.
    starts_at = ended_at if subscription.waiting_since else max(ended_at, now)
    subscription.expires_at = starts_at + length
    subscription.status = "active"
    subscription.tariff_months = months or subscription.tariff_months
    traffic.begin_period(session, subscription.id, now)
    return ended_at, starts_at


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
