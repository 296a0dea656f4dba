"""Seats: a place on the least-loaded healthy server with room, taken and given back inside the caller's transaction.

`servers.active_users` moves together with the seats here and nowhere else. Locks are taken in one order everywhere:
payment, subscription, seat, server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    bindparam,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from krotray_core import ledger, users
from krotray_core.db import transaction
from krotray_core.models import Seat, Server, Subscription
from krotray_core.prepared import Prepared

TRIES = 5
# Of many who choose at once somebody gets the place at each try, so as many tries see that many served evenly.
CHOICES = 20
# People served in one call, each in a transaction of 5 to 10 ms: no task runs into its time limit.
AT_A_TIME = 1000
# How often a server refuses somebody who has never got in before another one is tried.
REFUSALS = 3
# For that long the cut-off rule may still be needed where somebody has left.
LATELY = timedelta(days=1)
_ONE: ColumnElement[int] = literal_column("1")


def take(session: Session, subscription: Subscription, now: datetime, paid_since: datetime | None = None) -> int | None:
    """Sees to it that this (locked, active) subscription has a seat that opens with its present key.

    `paid_since`: from when on the person waits for a new one, as the metrics see it.

    Prefers the server that it was on before. Returns the server's id, or None when no server has room, or others were there
    first: then the subscription waits, and its days stand still until it is its turn.
    """
    # All its seats are locked before any server, former ones too: one of them may be taken again below.
    seats = session.scalars(_seats(), {"whose": subscription.id}).all()
    seat = next((one for one in seats if one.wanted), None)
    if seat:
        if seat.uuid != subscription.uuid:
            seat.uuid, seat.paused_until = subscription.uuid, None
            seat.generation += 1
        return seat.server_id
    server_id = None
    if subscription.waiting_since or not _others_wait(session):
        former = _claim_former(session, seats)
        server_id = former or _claim_least_loaded(session)
    if server_id is None:
        subscription.waiting_since = subscription.waiting_since or now
        return None
    if subscription.waiting_since:
        ended_at = subscription.expires_at
        subscription.expires_at += now - subscription.waiting_since
        paid_since = subscription.waiting_since
        subscription.waiting_since = None
        ledger.subscription(session, subscription, "waited", now, ended_at=ended_at)
    _seat(session, subscription, server_id, paid_since)
    return server_id


def _seat(session: Session, subscription: Subscription, server_id: int, paid_since: datetime | None) -> None:
    """Sits down on a place that has been claimed; where this subscription has been before, on the same chair."""
    _sit_down(session, [_chair(subscription, server_id, paid_since)])


def _chair(subscription: Subscription, server_id: int, paid_since: datetime | None = None) -> dict[str, Any]:
    return {
        "subscription_id": subscription.id,
        "server_id": server_id,
        "email": users.email(subscription.user_id),
        "uuid": subscription.uuid,
        "wanted": True,
        "paid_since": paid_since,
    }


def _sit_down(session: Session, chairs: Iterable[dict[str, Any]]) -> None:
    for chair in chairs:
        _sitting_down().within(session, **chair)


@cache
def _sitting_down() -> Prepared:
    statement = insert(Seat)
    again = {
        "uuid": statement.excluded.uuid,
        "wanted": literal_column("true"),
        "removed_at": null(),
        "gone_at": null(),
        "evacuated_at": null(),
        "paid_since": statement.excluded.paid_since,
        "generation": Seat.generation + 1,
        "observed_generation": 0,  # the server has yet to let them in, as if it were for the first time
        "paused_until": null(),
        "attempts": 0,
        "last_error": null(),
    }
    statement = statement.on_conflict_do_update(index_elements=[Seat.server_id, Seat.email], set_=again)
    return Prepared("seat taken", statement, ("subscription_id", "server_id", "email", "uuid", "wanted", "paid_since"))


def settle(session: Session, places: Sequence[tuple[Subscription, int]]) -> None:
    """Seats these (locked, active) subscriptions, who have no seat, on the server (id) beside each, where they are already.

    They are in Xray now, so nobody is turned away: a server without room for them gets more.
    """
    coming = Counter(server_id for _, server_id in places)
    _sit_down(session, (_chair(*place) for place in places))
    for server_id in sorted(coming):
        taken = Server.active_users + coming[server_id]
        room = func.greatest(Server.max_users, taken)
        grown = update(Server).where(Server.id == server_id).values(active_users=taken, max_users=room)
        session.execute(grown, execution_options={"synchronize_session": False})


def _others_wait(session: Session) -> bool:
    return bool(_who_waits().within(session))


@cache
def _who_waits() -> Prepared:
    return Prepared("anybody waits", select(Subscription.id).where(Subscription.waiting_since.is_not(None)).limit(_ONE))


@cache
def _seats() -> Select[Seat]:
    mine = Seat.subscription_id == bindparam("whose", type_=Seat.subscription_id.type)
    return select(Seat).where(mine).order_by(Seat.id).with_for_update()


def _has_room() -> ColumnElement[bool]:
    return Server.enabled & ~Server.draining & (Server.active_users < Server.max_users) & Server.is_up


def _claim_former(session: Session, left: Iterable[Seat]) -> int | None:
    """The place on the server that was left last."""
    former = max((seat for seat in left if seat.removed_at), key=attrgetter("removed_at"), default=None)
    return _claim(session, _this_one(), server=former.server_id) if former else None


def _claim_least_loaded(session: Session) -> int | None:
    # Of many who choose at the same moment only one may have the emptiest server; the rest look again. When that takes too
    # long, any server with room will do.
    for choice in [_the_emptiest()] * CHOICES + [_one_of_the_emptiest()] * TRIES:
        server_id = _claim(session, choice)
        if server_id is not None:
            return server_id
    return None


def _claim(session: Session, which: Prepared, **values: int) -> int | None:
    session.flush()
    with session.connection().begin_nested() as attempt:
        rows = which.within(session, **values)
        if not rows:
            # The row that we waited for in vain stays locked until here; taken along, such locks end in a deadlock.
            attempt.rollback()
    return int(rows[0][0]) if rows else None


def _claiming(name: str, which: ColumnElement[bool]) -> Prepared:
    # What is asked of the row here is asked again once its lock is ours, so a full server never gets one too many.
    statement = update(Server).where(which, _has_room()).values(active_users=Server.active_users + 1)
    return Prepared(f"place on {name}", statement.returning(Server.id))


@cache
def _this_one() -> Prepared:
    return _claiming("this server", Server.id == bindparam("server", type_=Server.id.type))


@cache
def _the_emptiest() -> Prepared:
    emptiest = _emptiest()
    return _claiming("the emptiest", (Server.id == emptiest.c.id) & (Server.active_users == emptiest.c.active_users))


@cache
def _one_of_the_emptiest() -> Prepared:
    return _claiming("one of the emptiest", Server.id == _emptiest().c.id)


def _emptiest() -> Subquery:
    rooms = select(Server.id, Server.active_users).where(_has_room())
    return rooms.order_by(Server.active_users, func.random()).limit(_ONE).subquery()


def release(session: Session, subscription_ids: Collection[int], now: datetime) -> set[int]:
    """Gives back the seats of these (locked) subscriptions. Returns the ids of the servers that must hear of it."""
    held = select(Seat.id).where(Seat.subscription_id.in_(subscription_ids), Seat.wanted).order_by(Seat.id)
    ids = session.scalars(held.with_for_update()).all()
    given_back = update(Seat).where(Seat.id.in_(ids))
    # From now on a rewrite of the cut-off rule may put the e-mail in, whoever causes it: an add has to take it out again.
    given_back = given_back.values(
        wanted=False,
        removed_at=now,
        gone_at=None,
        generation=Seat.generation + 1,
        cut_off=True,
        paid_since=None,
        paused_until=None,
        attempts=0,
    )
    rows = session.scalars(given_back.returning(Seat.server_id), execution_options={"synchronize_session": False})
    counts = Counter(rows)
    for server_id in sorted(counts):
        session.execute(
            update(Server)
            .where(Server.id == server_id)
            .values(active_users=Server.active_users - counts[server_id])
            .execution_options(synchronize_session=False)
        )
    return set(counts)


def move(session: Session, subscription: Subscription, now: datetime, *, only: int | None = None) -> set[int] | None:
    """Gives the seat of this (locked, active) subscription up for one on another server: `only`, or the emptiest.

    Returns the servers that must hear of it; None when there is no room elsewhere (or no seat), and then nothing has changed.
    """
    mine = select(Seat).where(Seat.subscription_id == subscription.id).order_by(Seat.id)
    seats = session.scalars(mine.with_for_update()).all()
    seat = next((seat for seat in seats if seat.wanted), None)
    if seat is None:
        return None
    source, paid_since = seat.server_id, seat.paid_since
    for _ in range(TRIES):
        target = session.scalar(_elsewhere(subscription, source, now, only))
        if target is None:
            return None
        with session.begin_nested() as attempt:
            # Two servers change here: both are locked first, in the one order.
            both = select(Server.id).where(Server.id.in_((source, target))).order_by(Server.id)
            session.execute(both.with_for_update(key_share=True))
            if _claim(session, _this_one(), server=target) is not None:
                touched = release(session, [subscription.id], now)
                _seat(session, subscription, target, paid_since)
                return touched | {target}
            attempt.rollback()
    return None


def _elsewhere(subscription: Subscription, source: int, now: datetime, only: int | None) -> Select[int]:
    """Where to move to. To where this person has left lately only as a last resort: it would let in again who was cut off there."""
    left = exists().where(
        Seat.server_id == Server.id, Seat.subscription_id == subscription.id, Seat.removed_at > now - LATELY
    )
    room = select(Server.id).where(_has_room(), Server.id != source)
    if only is not None:
        return room.where(Server.id == only)
    return room.order_by(left, Server.active_users, func.random()).limit(1)


def anybody_to_place() -> bool:
    """Whether somebody waits for a place, or might have one that does not work: one cheap look, for after every purchase."""
    return bool(_to_place().rows())


@cache
def _to_place() -> Prepared:
    waits = exists().where(Subscription.waiting_since.is_not(None))
    down_or_refused = Server.is_up.is_(False) | Seat.paused_until.is_not(None)
    stuck = exists().where(Seat.dirty, Seat.wanted, Seat.server_id == Server.id, down_or_refused)
    return Prepared("anybody to place", select(literal_column("1")).where(or_(waits, stuck)))


def seat_waiting(now: datetime) -> set[int]:
    """Seats those who paid and wait, in the order in which they began to, while there is room.

    Each gets a transaction of its own, so many at a time; the next call goes on. Returns the servers that got somebody.
    """
    servers: set[int] = set()
    for _ in range(AT_A_TIME):
        with transaction() as session:
            if not session.scalar(select(func.count()).select_from(Server).where(_has_room())):
                return servers
            subscription = session.scalar(
                select(Subscription)
                .where(Subscription.waiting_since.is_not(None))
                .order_by(Subscription.waiting_since, Subscription.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if subscription is None:
                return servers
            server_id = take(session, subscription, now)
            if server_id is None:
                return servers
            servers.add(server_id)
    return servers


def rescue(now: datetime) -> set[int]:
    """Moves those who paid and never got in, because their server went down first or refuses them, to servers with room.

    Each gets a transaction of its own; who finds no room keeps the old seat. Returns the servers that must hear of it.
    """
    refused = Seat.paused_until.is_not(None) & (Seat.attempts >= REFUSALS)
    stranded = (
        select(Subscription.id)
        .join(Seat, Seat.subscription_id == Subscription.id)
        .join(Server, Server.id == Seat.server_id)
        # Dirty they are all: that is said for its index, or every seat there is would be read.
        .where(Seat.dirty, Seat.wanted, Seat.observed_generation == 0, Server.is_up.is_(False) | refused)
    )
    with transaction() as session:
        ids = session.scalars(stranded.order_by(Subscription.id).limit(AT_A_TIME)).all()
    servers: set[int] = set()
    for subscription_id in ids:
        with transaction() as session:
            still = stranded.where(Subscription.id == subscription_id).with_for_update(
                of=Subscription, skip_locked=True
            )
            if session.scalar(still) is None:
                continue
            touched = move(session, session.get_one(Subscription, subscription_id), now)
        if touched is None:
            return servers
        servers |= touched
    return servers
