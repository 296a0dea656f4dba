"""Is each Xray up, has it restarted, and does it hold exactly our users? `watch` asks often, `audit` asks thoroughly."""

from __future__ import annotations

import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from krotray_core import provisioning
from krotray_core.db import transaction
from krotray_core.errors import XrayError, XrayUnavailable
from krotray_core.models import Seat, Server
from krotray_core.xray.client import Remove, same_key

log = logging.getLogger(__name__)

AT_ONCE = 32
OURS = re.compile(r"user_[0-9]+", re.ASCII)


def watch() -> set[int]:
    """Asks all servers at once for their uptime. Returns those that want a converge: restarted, or back after an outage.

    A restarted Xray has forgotten everybody, so all its wanted seats become dirty.
    """
    with transaction() as session:
        servers = session.scalars(select(Server).order_by(Server.id)).all()
    if not servers:
        return set()
    with ThreadPoolExecutor(min(AT_ONCE, len(servers)), thread_name_prefix="watch") as pool:
        answers = list(pool.map(_uptime, servers))
    return {server.id for server, answer in zip(servers, answers, strict=True) if _note(server.id, answer)}


@dataclass(frozen=True, slots=True)
class Uptime:
    """Whole seconds since an Xray started, and how many seconds it took to find out."""

    seconds: int
    asking: float


Answer = Uptime | XrayError | XrayUnavailable


def _uptime(server: Server) -> Answer:
    asked = time.monotonic()
    try:
        return Uptime(provisioning.client(server).uptime(), time.monotonic() - asked)
    except (XrayError, XrayUnavailable) as error:
        return error


def _note(server_id: int, answer: Answer) -> bool:
    """Stores what a server said; whether that calls for a converge. Moments come from the database's clock alone."""
    with transaction() as session:
        server = session.get(Server, server_id, with_for_update=True)
        if server is None:
            return False
        server.checked_at = now = session.scalars(select(func.now())).one()
        if not isinstance(answer, Uptime):
            if server.is_up is not False:
                log.error("server %s does not answer: %s", server.name, answer)
            server.is_up, server.last_error = False, str(answer)[:500]
            return False
        back = server.is_up is False
        # The answer was true at some moment while we asked, and rounded down: it started between these two.
        latest = now - timedelta(seconds=answer.seconds)
        earliest = latest - timedelta(seconds=1 + answer.asking)
        restarted = server.started_at is not None and earliest > server.started_at
        server.is_up, server.last_error = True, None
        server.started_at = latest if restarted or server.started_at is None else min(latest, server.started_at)
        if restarted:
            log.warning("server %s has restarted: its users are sent again", server.name)
            soil(session, server_id, Seat.wanted.is_(True))
        return back or restarted


def soil(session: Session, server_id: int, which: ColumnElement[bool]) -> int:
    """Makes these seats of a server dirty, so that the next converge sends them again. Returns how many."""
    ids = session.scalars(
        select(Seat.id).where(Seat.server_id == server_id, which).order_by(Seat.id).with_for_update()
    ).all()
    session.execute(
        update(Seat)
        .where(Seat.id.in_(ids))
        .values(generation=Seat.generation + 1)
        .execution_options(synchronize_session=False)
    )
    return len(ids)


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found on a server and set right: e-mails, sorted."""

    missing: list[str]
    wrong_key: list[str]
    left_over: list[str]

    @property
    def clean(self) -> bool:
        """Whether the server held exactly whom it should."""
        return not (self.missing or self.wrong_key or self.left_over)


def audit(server_id: int) -> Audit:
    """Compares all users that an Xray really holds with our seats; differences become dirty seats for the next converge.

    Users whose e-mail is not of our form are never touched. Raises NotFound, XrayUnavailable, XrayInboundMissing.
    """
    server = provisioning.find(server_id)
    xray = provisioning.client(server)
    held = xray.users()
    with transaction() as session:
        seats = {seat.email: seat for seat in session.scalars(select(Seat).where(Seat.server_id == server_id))}
        settled = [seat for seat in seats.values() if seat.generation == seat.observed_generation]
        missing = [s.email for s in settled if s.wanted and s.email not in held]
        wrong = [s.email for s in settled if s.wanted and s.email in held and not _same(held[s.email], s.uuid)]
        undead = [s.email for s in settled if not s.wanted and s.email in held]
        strays = [email for email in held if email not in seats and OURS.fullmatch(email)]
        soil(session, server_id, Seat.email.in_(missing + wrong + undead))
    if strays:
        xray.apply([Remove(email) for email in strays])
        with transaction() as session:
            # Somebody may have been given a seat here between the two looks: then they are sent again.
            soil(session, server_id, Seat.email.in_(strays))
    found = Audit(sorted(missing), sorted(wrong), sorted(undead + strays))
    if not found.clean:
        log.warning(
            "audit of %s: %d missing, %d with another key, %d left over",
            *(server.name, len(found.missing), len(found.wrong_key), len(found.left_over)),
        )
    return found


def _same(held: UUID | None, wanted: UUID) -> bool:
    return held is not None and same_key(held, wanted)
