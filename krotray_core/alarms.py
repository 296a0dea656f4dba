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

FULL = 0.9
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
    places = select(func.coalesce(func.sum(Server.active_users), 0), func.coalesce(func.sum(Server.max_users), 0))
    taken, room = session.execute(places.where(Server.enabled, ~Server.draining, Server.is_up.is_(True))).one()
    full = bool(room and taken >= FULL * int(room))
    _tell(session, "fleet_full", full, {"taken": int(taken), "room": int(room)}, now)
    people = session.scalar(select(func.count()).where(Subscription.waiting_since.is_not(None))) or 0
    _tell(session, "people_wait", bool(people), {"people": people}, now)


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
    _tell(session, "people_refused", bool(people), data, now)


def _tell(session: Session, kind: str, wrong: bool, data: dict[str, Any], now: datetime) -> None:
    """Tells of it when it begins and once a day while it lasts; when it has ended and begins anew, again."""
    name = f"alarm:{kind}"
    if not wrong:
        session.execute(delete(Mark).where(Mark.name == name))
        return
    began = insert(Mark).values(name=name, at=now).on_conflict_do_nothing(index_elements=[Mark.name])
    session.execute(began)
    since = session.scalars(select(Mark.at).where(Mark.name == name)).one()
    day = (now - since).days
    notices.tell_admins(session, kind=kind, key=f"{kind}:{since.isoformat()}:{day}", data=data, now=now)


def _server(session: Session, server: Server, now: datetime) -> None:
    key = f"{server.id}:{server.state_since.isoformat() if server.state_since else ''}"
    if not server.is_up:
        data = {"name": server.name, "error": server.last_error or ""}
        notices.tell_admins(session, kind="server_down", key=f"server_down:{key}", data=data, now=now)
        return
    about_it = or_(*(Notice.key.startswith(f"{kind}:{server.id}:") for kind in ("server_down", "server_up")))
    if session.scalar(select(Notice.kind).where(about_it).order_by(Notice.id.desc()).limit(1)) == "server_down":
        data = {"name": server.name}
        notices.tell_admins(session, kind="server_up", key=f"server_up:{key}", data=data, now=now)
