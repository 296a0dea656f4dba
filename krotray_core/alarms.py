"""What the admins are warned of before people notice: servers that went down, a fleet that fills up, people who wait."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from krotray_core import clock, notices, placement, settings
from krotray_core.db import transaction
from krotray_core.models import Mark, Notice, Seat, Server, Subscription

# The fleet fills up from the first on, and has room again below the second: one buyer who comes and goes is no news.
FULL, ROOM_AGAIN = 0.9, 0.85
# One server is full at its last place, and has room again below this part of them.
SERVER_ROOM_AGAIN = 0.9
# An alarm that begins anew is told of at the earliest so long after it was told of last. Nobody rents a server within less, so
# hearing of it more often helps nobody; a day still has room for a morning's and an evening's.
REST = timedelta(hours=4)
# Sooner where people who have paid cannot get in, but not with each of them.
PEOPLE_REST = timedelta(hours=1)
# What lasts is told of again after that.
LASTS = timedelta(days=1)
# One that is away for a moment is nobody's alarm.
DOWN_FOR = timedelta(seconds=30)


def look() -> None:
    """Writes a notice to the admins for everything that is wrong now and that they have not been told of yet."""
    if not settings.get().admin_telegram_ids:
        return
    now = clock.now()
    with transaction() as session:
        _fleet(session, now)
        _refusals(session, now)
        moment = session.scalars(select(func.now())).one()  # servers' moments go by the database's clock
        for server in session.scalars(select(Server).where(Server.state_since < moment - DOWN_FOR).order_by(Server.id)):
            _server(session, server, now)


def _fleet(session: Session, now: datetime) -> None:
    open_to_buyers = (Server.enabled, ~Server.draining, Server.is_up.is_(True))
    places = select(func.coalesce(func.sum(Server.active_users), 0), func.coalesce(func.sum(Server.max_users), 0))
    taken, room = map(int, session.execute(places.where(*open_to_buyers)).one())
    limit = ROOM_AGAIN if _lasts(session, "fleet_full") else FULL
    full = bool(room and taken >= limit * room)
    _tell(session, "fleet_full", full, {"taken": taken, "room": room}, now)
    for server in session.scalars(select(Server).where(*open_to_buyers).order_by(Server.id)):
        # With a full fleet the way out is the same, and has been said; each server's own word would be one too many.
        _server_full(session, server, now, quietly=full, free=room - taken)
    people = session.scalar(select(func.count()).where(Subscription.waiting_since.is_not(None))) or 0
    _tell(session, "people_wait", bool(people), {"people": people}, now, rest=PEOPLE_REST)


def _server_full(session: Session, server: Server, now: datetime, *, quietly: bool, free: int) -> None:
    """One that is full while others have room: told of once, for it can stay so for months, and nothing is broken."""
    full = server.active_users >= server.max_users
    if (full and quietly) or (not full and server.active_users >= SERVER_ROOM_AGAIN * server.max_users):
        return
    data = {"name": server.name, "taken": server.active_users, "room": server.max_users, "free": free}
    _tell(session, "server_full", full, data, now, name=f"server_full:{server.id}", repeats=False)


def _refusals(session: Session, now: datetime) -> None:
    """Something is wrong with a server, or with a link's template: nobody who comes there gets in."""
    refused = (
        select(func.count(), func.string_agg(Server.name.distinct(), ", "), func.max(Seat.last_error))
        .select_from(Seat)
        .join(Server, Server.id == Seat.server_id)
        .where(Seat.dirty, Seat.wanted, Seat.paused_until.is_not(None), Seat.attempts >= placement.REFUSALS)
    )
    people, names, error = session.execute(refused).one()
    data = {"people": people, "servers": names or "", "error": error or ""}
    _tell(session, "people_refused", bool(people), data, now, rest=PEOPLE_REST)


def _tell(
    session: Session,
    kind: str,
    wrong: bool,
    data: dict[str, Any],
    now: datetime,
    *,
    name: str | None = None,
    rest: timedelta = REST,
    repeats: bool = True,
) -> None:
    """Tells of it when it begins, and (if it `repeats`) once a day while it lasts; when it begins anew, again.

    Then only `rest` after it was told of last. `name` is what it is called where there are several of a kind.
    """
    name = name or kind
    if not wrong:
        session.execute(delete(Mark).where(Mark.name == f"alarm:{name}"))
        return
    began = insert(Mark).values(name=f"alarm:{name}", at=now).on_conflict_do_nothing(index_elements=[Mark.name])
    session.execute(began)
    since = session.scalars(select(Mark.at).where(Mark.name == f"alarm:{name}")).one()
    told = insert(Mark).values(name=f"told:{name}", at=now)
    due = (Mark.at < since) & (Mark.at <= now - rest)
    if repeats:
        due |= Mark.at <= now - LASTS
    # A mark is written by one of several at once; the key is the moment that it holds.
    told = told.on_conflict_do_update(index_elements=[Mark.name], set_={"at": now}, where=due)
    if session.scalar(told.returning(Mark.name)) is not None:
        notices.tell_admins(session, kind=kind, key=f"{name}:{now.isoformat()}", data=data, now=now)


def _lasts(session: Session, name: str) -> bool:
    return session.get(Mark, f"alarm:{name}") is not None


def _server(session: Session, server: Server, now: datetime) -> None:
    key = f"{server.id}:{server.state_since.isoformat() if server.state_since else ''}"
    if not server.is_up:
        if not server.enabled and not server.active_users:
            return  # emptied, and switched off on purpose
        data = {"name": server.name, "error": server.last_error or ""}
        notices.tell_admins(session, kind="server_down", key=f"server_down:{key}", data=data, now=now)
        return
    about_it = or_(*(Notice.key.startswith(f"{kind}:{server.id}:") for kind in ("server_down", "server_up")))
    if session.scalar(select(Notice.kind).where(about_it).order_by(Notice.id.desc()).limit(1)) == "server_down":
        data = {"name": server.name}
        notices.tell_admins(session, kind="server_up", key=f"server_up:{key}", data=data, now=now)
