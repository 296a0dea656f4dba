"""Is each Xray up, has it restarted, and does it hold exactly our users? `watch` asks often, `audit` asks thoroughly."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from sqlalchemy import ColumnElement, ScalarSelect, func, select, update
from sqlalchemy.orm import Session

from krotray_core import clock, cutoff, links, provisioning
from krotray_core.db import transaction
from krotray_core.errors import XrayError, XrayServiceMissing, XrayUnavailable
from krotray_core.models import Seat, Server
from krotray_core.xray.client import Account, Remove

log = logging.getLogger(__name__)

AT_ONCE = 32
OURS = re.compile(r"user_[0-9]+", re.ASCII)


@dataclass(slots=True)
class Watched:
    """Servers that want a converge (restarted, or back after an outage), and whether any has come up or gone down."""

    servers: set[int]
    changed: bool


def watch(wants_converge: Callable[[int], object] = lambda _server_id: None) -> Watched:
    """Looks at all servers at once. A restarted Xray has forgotten everybody, so all its wanted seats become dirty.

    Calls `wants_converge` with a server's id as soon as that is known of it: one that does not answer delays no other.
    """
    with transaction() as session:
        servers = session.scalars(select(Server).order_by(Server.id)).all()
    seen = Watched(set(), changed=False)
    if not servers:
        return seen
    with ThreadPoolExecutor(min(AT_ONCE, len(servers)), thread_name_prefix="watch") as pool:
        asked = {pool.submit(_ask, server): server.id for server in servers}
        for answer in as_completed(asked):
            note = _note(asked[answer], answer.result())
            seen.changed |= note is not _Note.AS_BEFORE
            if note is _Note.SEND_AGAIN:
                seen.servers.add(asked[answer])
                wants_converge(asked[answer])
    return seen


def look(server: Server) -> bool:
    """Looks at one server now, as `watch` would: a new one can be used at once when it answers. Returns whether it does."""
    answer = _ask(server)
    _note(server.id, answer)
    return isinstance(answer, Up)


@dataclass(frozen=True, slots=True)
class Up:
    """The server answers. Whole seconds since its Xray started (None where it has no StatsService), asked at `asked`."""

    uptime: int | None
    asked: float


class _Note(Enum):
    AS_BEFORE = auto()
    DOWN = auto()
    SEND_AGAIN = auto()


Answer = Up | XrayError | XrayUnavailable


def _ask(server: Server) -> Answer:
    asked = time.monotonic()
    try:
        xray = provisioning.client(server)
        xray.count()  # a server without our inbound is as good as down
        return Up(xray.uptime(), asked)
    except XrayServiceMissing:  # then only the audits notice a restart
        return Up(None, asked)
    except (XrayError, XrayUnavailable) as error:
        return error


def _note(server_id: int, answer: Answer) -> _Note:
    """Stores what a server said. Moments come from the database's clock alone; seats are locked before their server."""
    with transaction() as session:
        server = session.get(Server, server_id)
        if server is None:
            return _Note.AS_BEFORE
        now = session.scalars(select(func.now())).one()
        if not isinstance(answer, Up):
            was_up = server.is_up is not False
            if was_up:
                log.error("server %s does not answer: %s", server.name, answer)
            if server.is_up is not False:
                server.state_since = now
            server.is_up, server.checked_at, server.last_error = False, now, str(answer)[:500]
            return _Note.DOWN if was_up else _Note.AS_BEFORE
        restarted = _has_restarted(server, answer, now)
        if restarted:
            log.warning("server %s has restarted: its users are sent again", server.name)
            soil(session, server_id, Seat.wanted | (Seat.id == _last_removed(server_id)))
        back = not server.is_up
        if back:
            server.state_since = now
            _end_pauses(session, server_id)
        server.is_up, server.checked_at, server.last_error = True, now, None
        if answer.uptime is not None:
            server.started_at = now - timedelta(seconds=answer.uptime)
        return _Note.SEND_AGAIN if back or restarted else _Note.AS_BEFORE


def _last_removed(server_id: int) -> ScalarSelect[int]:
    """The seat that was given back last: to send it again makes the cut-off rule whole again, which a restart has emptied."""
    removed = select(Seat.id).where(
        Seat.server_id == server_id, ~Seat.wanted, Seat.removed_at > clock.now() - cutoff.KEPT
    )
    return removed.order_by(Seat.removed_at.desc()).limit(1).scalar_subquery()


def _has_restarted(server: Server, answer: Up, now: datetime) -> bool:
    if answer.uptime is None or server.started_at is None:
        return False
    # The answer was true at some moment since we asked, and is rounded down: it cannot have started before this.
    earliest = now - timedelta(seconds=answer.uptime + 1 + time.monotonic() - answer.asked)
    return earliest > server.started_at


def soil(session: Session, server_id: int, which: ColumnElement[bool]) -> int:
    """Makes these seats of a server dirty, so that the next converge sends them again. Returns how many."""
    ids = _locked(session, server_id, which)
    again = update(Seat).where(Seat.id.in_(ids)).values(generation=Seat.generation + 1)
    session.execute(again, execution_options={"synchronize_session": False})
    return len(ids)


def _end_pauses(session: Session, server_id: int) -> None:
    """What the server refused while something was wrong with it (its inbound was missing, say) is tried again at once."""
    ids = _locked(session, server_id, Seat.paused_until.is_not(None))
    on = update(Seat).where(Seat.id.in_(ids)).values(paused_until=None)
    session.execute(on, execution_options={"synchronize_session": False})


def _locked(session: Session, server_id: int, which: ColumnElement[bool]) -> Sequence[int]:
    """The ids of these seats of a server, locked in the order that everybody keeps to."""
    chosen = select(Seat.id).where(Seat.server_id == server_id, which).order_by(Seat.id)
    return session.scalars(chosen.with_for_update()).all()


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
    held, flow = xray.users(), links.flow(provisioning.template(server))
    with transaction() as session:
        seats = {seat.email: seat for seat in session.scalars(select(Seat).where(Seat.server_id == server_id))}
        settled = [seat for seat in seats.values() if not seat.dirty]
        missing = [s.email for s in settled if s.wanted and s.email not in held]
        wrong = [
            s.email
            for s in settled
            if s.wanted and s.email in held and not held[s.email].opens_like(Account(s.uuid, flow))
        ]
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
