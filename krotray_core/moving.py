"""Moving people between servers: emptying one for good, or because it has been down for too long.

A move is a change of seats like any other: the old seat is released (and removed from its server whenever that answers), a new
one is taken with the same key. Each person moves in a transaction of their own, so a run can stop anywhere and go on later. Who
gets their keys over the subscription link notices nothing; others are told.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from krotray_core import clock, notices, placement, settings
from krotray_core.db import transaction
from krotray_core.errors import Conflict, NotFound
from krotray_core.models import Seat, Server, Subscription, User

log = logging.getLogger(__name__)

# People in one step, at about 10 ms each: no task runs into its time limit.
AT_A_TIME = 1000
# A server counts as down for long only if one of the last so many looks at it has found so.
LOOKS = 6
# A program that has asked for its subscription within this time will ask again.
STILL_ASKS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Moved:
    """How many people were moved, how many are still to be, and the servers that want a converge."""

    people: int
    left: int
    servers: frozenset[int]


def drain(name: str, *, on: bool = True) -> Server:
    """Closes a server to everybody new, or opens it again: then its evacuation is over and cannot be undone. Raises NotFound."""
    with transaction() as session:
        server = _server(session, name)
        server.draining = on
        if not on:
            server.evacuating_since = None
            taken = update(Seat).where(Seat.server_id == server.id, Seat.evacuated_at.is_not(None))
            session.execute(taken.values(evacuated_at=None), execution_options={"synchronize_session": False})
        return server


def evacuate(name: str) -> Server:
    """From now on everybody on this server is moved elsewhere, as room allows, until it is empty. Raises NotFound."""
    with transaction() as session:
        server = _server(session, name)
        server.draining = True
        server.evacuating_since = server.evacuating_since or _now(session)
        return server


def undo(name: str) -> Moved:
    """Opens the server again and moves back whom its evacuation has taken from it, as long as it has room.

    Cut short, it can be called again and goes on. Raises NotFound; Conflict when there is nothing to undo, or it is down.
    """
    former, present = aliased(Seat), aliased(Seat)
    with transaction() as session:
        server = _server(session, name)
        taken = (
            select(former.subscription_id)
            .where(former.server_id == server.id, ~former.wanted, former.evacuated_at.is_not(None))
            .where(exists().where(present.subscription_id == former.subscription_id, present.wanted))
            .order_by(former.subscription_id)
        )
        ids = session.scalars(taken).all()
        if server.evacuating_since is None and not ids:
            raise Conflict(f"{name} is not being evacuated")
        if not server.is_up:
            raise Conflict(f"{name} is down: nobody can be moved back to it")
        server.draining, server.evacuating_since = False, None
    moves = [_move(subscription_id, clock.now(), to=server.id) for subscription_id in ids]
    back = [servers for servers in moves if servers]
    return Moved(len(back), moves.count(None), frozenset().union(*back))


def step() -> Moved:
    """The next people of every evacuation: those that an admin asked for, and of servers that have been down for too long."""
    with transaction() as session:
        sources = session.scalars(select(Server).where(_to_be_emptied(session)).order_by(Server.id)).all()
    people, left, servers = 0, 0, set[int]()
    for source in sources:
        with transaction() as session:
            on_it = select(Seat.subscription_id).where(Seat.server_id == source.id, Seat.wanted)
            ids = session.scalars(on_it.order_by(Seat.id).limit(max(AT_A_TIME // len(sources), 1))).all()
        moved = 0
        for subscription_id in ids:
            touched = _move(subscription_id, clock.now(), away_from=source)
            if touched is None:
                break
            moved += bool(touched)
            servers |= touched
        if moved:
            log.info("moved %d people away from %s", moved, source.name)
        people += moved
        left += on_server(source.id)
    return Moved(people, left, frozenset(servers))


def on_server(server_id: int) -> int:
    """How many people have a seat on a server."""
    with transaction() as session:
        mine = select(func.count()).where(Seat.server_id == server_id, Seat.wanted)
        return session.scalar(mine) or 0


def _to_be_emptied(session: Session) -> ColumnElement[bool]:
    asked = Server.evacuating_since.is_not(None)
    patience = settings.get().evacuate_after_seconds
    if patience is None:
        return asked
    now = _now(session)
    too_long = Server.is_up.is_(False) & (Server.state_since < now - timedelta(seconds=patience))
    # Nobody may have looked for a while: workers that come back after an outage must not believe what was true before it.
    lately = Server.checked_at > now - LOOKS * timedelta(seconds=settings.get().watch_seconds)
    return asked | (too_long & lately)


def _move(
    subscription_id: int, now: datetime, *, away_from: Server | None = None, to: int | None = None
) -> set[int] | None:
    """Moves one person. Returns the servers that must hear of it: none of them when there was nothing to move any more, and

    None when there is no room for them.
    """
    with transaction() as session:
        subscription = session.get(Subscription, subscription_id, with_for_update=True)
        # Its number alone: a seat that this session has read would not see what `release` does to it.
        source = session.scalar(select(Seat.server_id).where(Seat.subscription_id == subscription_id, Seat.wanted))
        if subscription is None or source is None or source == to or (away_from and away_from.id != source):
            return set()
        touched = placement.move(session, subscription, now, only=to)
        if touched is None:
            return None
        if away_from and away_from.evacuating_since:
            left = update(Seat).where(Seat.subscription_id == subscription_id, Seat.server_id == source)
            mark = left.values(evacuated_at=away_from.evacuating_since)
            session.execute(mark, execution_options={"synchronize_session": False})
        _tell(session, subscription, now)
        return touched


def _tell(session: Session, subscription: Subscription, now: datetime) -> None:
    if subscription.fetched_at is not None and now - subscription.fetched_at < STILL_ASKS:
        return
    user = session.get_one(User, subscription.user_id)
    key = f"moved:{subscription.id}:{now.isoformat()}"
    notices.note(session, telegram_id=user.telegram_id, kind="moved", key=key, data={}, now=now)


def _server(session: Session, name: str) -> Server:
    server = session.scalar(select(Server).where(Server.name == name).with_for_update())
    if server is None:
        raise NotFound(f"no server named {name}")
    return server


def _now(session: Session) -> datetime:
    """Servers' moments go by the database's clock, as `health` writes them."""
    return session.scalars(select(func.now())).one()
