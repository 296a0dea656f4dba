"""Is each Xray up, has it restarted, and does it hold exactly our users? `watch` asks often, `audit` asks thoroughly."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, bindparam, false, func, select, text, true, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from krotray_core import counts, cutoff, links, provisioning
from krotray_core.db import transaction
from krotray_core.errors import XrayError, XrayServiceMissing, XrayUnavailable
from krotray_core.models import Seat, Server
from krotray_core.prepared import Prepared
from krotray_core.xray.operations import Account, Remove

log = logging.getLogger(__name__)

AT_ONCE = 32
# A row that is held for longer is left for the next look.
LOCK_SECONDS = 1
OURS = re.compile(r"user_[0-9]+", re.ASCII)


@dataclass(slots=True)
class Watched:
    """What a look at all servers has found.

    `servers` want a converge: they have restarted, or are back after an outage. `doubtful` ones want an audit: they hold fewer
    users than they have confirmed. `changed`: one has come up or gone down.
    """

    servers: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)
    changed: bool = False


def watch(wants_converge: Callable[[int], object] = lambda _server_id: None) -> Watched:
    """Looks at all servers at once. A restarted Xray has forgotten everybody, so all its wanted seats become dirty.

    Calls `wants_converge` with a server's id as soon as that is known of it: one that does not answer delays no other.
    """
    with transaction() as session:
        servers = session.scalars(select(Server).order_by(Server.id)).all()
    seen = Watched()
    if not servers:
        return seen
    with ThreadPoolExecutor(min(AT_ONCE, len(servers)), thread_name_prefix="watch") as pool:
        asked = {pool.submit(copy_context().run, _ask, server): server for server in servers}
        for answer in as_completed(asked):
            server = asked[answer]
            try:
                note = _note(server.id, answer.result())
            except SQLAlchemyError as error:  # a row that somebody holds, a server removed meanwhile: the others go on
                log.warning("what %s answered could not be noted: %s", server.name, type(error).__name__)
                continue
            seen.changed |= note in (_Note.BACK, _Note.DOWN)
            if note in (_Note.BACK, _Note.RESTARTED):
                seen.servers.add(server.id)
                wants_converge(server.id)
            elif note is _Note.DOUBTFUL:
                seen.doubtful.add(server.id)
    return seen


def look(server: Server) -> bool:
    """Looks at one server now, as `watch` would: a new one can be used at once when it answers. Returns whether it does."""
    answer = _ask(server)
    _note(server.id, answer)
    return isinstance(answer, Up)


@dataclass(frozen=True, slots=True)
class Up:
    """The server answers. Whole seconds since its Xray started (None where it has no StatsService), and how many users it holds."""

    uptime: int | None
    users: int
    asked: float


class _Note(Enum):
    AS_BEFORE = auto()
    DOWN = auto()
    BACK = auto()
    RESTARTED = auto()
    DOUBTFUL = auto()


Answer = Up | XrayError | XrayUnavailable


def _ask(server: Server) -> Answer:
    asked = time.monotonic()
    try:
        xray = provisioning.client(server)
        users = xray.count()  # a server without our inbound, or whose API does not offer it, is as good as down
        try:
            return Up(xray.uptime(), users, asked)
        except XrayServiceMissing:
            return Up(None, users, asked)
    except (XrayError, XrayUnavailable) as error:
        return error


def _note(server_id: int, answer: Answer) -> _Note:
    """Stores what a server said. Moments come from the database's clock alone."""
    with transaction() as session:
        session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        server, present = session.get(Server, server_id), _at_present().within(session, server=server_id)
        if server is None or not present:  # it was removed meanwhile
            return _Note.AS_BEFORE
        ((now, confirmed),) = present
        if not isinstance(answer, Up):
            return _is_down(server, answer, now)
        restarted, back = _has_restarted(server, answer, now), not server.is_up
        if restarted or back:
            # All that changes is locked at once, in the order that everybody keeps to, and before the server.
            again = Seat.wanted | (Seat.id == _last_removed(server_id)) if restarted else false()
            ids = _locked(session, server_id, again | Seat.paused_until.is_not(None))
            _change(session, ids, again, generation=Seat.generation + 1)
            # What the server refused while something was wrong with it (its inbound was missing, say) is tried again at once.
            _change(session, ids, Seat.paused_until.is_not(None), paused_until=None)
        if restarted:
            log.warning("server %s has restarted: its users are sent again", server.name)
        if back:
            server.state_since = now
        server.is_up, server.checked_at, server.last_error = True, now, None
        if answer.uptime is not None:
            server.started_at = now - timedelta(seconds=answer.uptime)
        if back or restarted:
            return _Note.BACK if back else _Note.RESTARTED
        return _Note.DOUBTFUL if answer.users < confirmed else _Note.AS_BEFORE


def _is_down(server: Server, answer: Exception, now: datetime) -> _Note:
    was_up = server.is_up is not False
    if was_up:
        log.error("server %s does not answer: %s", server.name, answer)
        server.state_since = now
    server.is_up, server.checked_at, server.last_error = False, now, str(answer)[:500]
    return _Note.DOWN if was_up else _Note.AS_BEFORE


@cache
def _at_present() -> Prepared:
    """The database's time, and how many users a server has said it holds: it may have restarted twice in a moment, which its uptime
    does not show.
    """
    # All who should be there but for the few who are on their way: to count the others would take longer the more there are.
    coming = select(func.count()).where(Seat.server_id == Server.id, Seat.wanted, Seat.dirty).scalar_subquery()
    here = Server.id == bindparam("server", type_=Server.id.type)
    return Prepared("server at present", select(func.now(), Server.active_users - coming).where(here))


def _last_removed(server_id: int) -> ScalarSelect[int]:
    """The seat that was given back last: to send it again makes the cut-off rule whole again, which a restart has emptied."""
    removed = select(Seat.id).where(*cutoff.belongs(server_id))
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
    _change(session, ids, true(), generation=Seat.generation + 1)
    return len(ids)


def _locked(session: Session, server_id: int, which: ColumnElement[bool]) -> Sequence[int]:
    """The ids of these seats of a server, locked in the order that everybody keeps to."""
    chosen = select(Seat.id).where(Seat.server_id == server_id, which).order_by(Seat.id)
    return session.scalars(chosen.with_for_update()).all()


def _change(session: Session, ids: Sequence[int], which: ColumnElement[bool], **values: Any) -> None:
    changed = update(Seat).where(Seat.id.in_(ids), which).values(**values)
    session.execute(changed, execution_options={"synchronize_session": False})


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
    held, flow = xray.users(), links.flow(provisioning.template(server.vless_url_template))
    with transaction() as session:
        # Columns and not objects, of which a server has thousands.
        columns = select(Seat.email, Seat.uuid, Seat.wanted, Seat.dirty)
        seats = {seat.email: seat for seat in session.execute(columns.where(Seat.server_id == server_id))}
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
    # A paid user whom somebody has left in the cut-off rule would be found by nothing else.
    fault = cutoff.rewrite(server_id, xray)
    if fault:
        log.warning("the cut-off rule of %s could not be written: %s", server.name, fault)
    if strays:
        outcomes = xray.apply([Remove(email) for email in strays])
        with transaction() as session:
            # Somebody may have been given a seat here between the two looks: then they are sent again.
            soil(session, server_id, Seat.email.in_(strays))
        strays = [email for email, outcome in zip(strays, outcomes, strict=True) if outcome is None]
    found = Audit(sorted(missing), sorted(wrong), sorted(undead + strays))
    if not found.clean:
        with transaction() as session:
            for kind in ("missing", "wrong_key", "left_over"):
                counts.add(session, f"drift:{kind}", len(getattr(found, kind)))
        log.warning(
            "audit of %s: %d missing, %d with another key, %d left over",
            *(server.name, len(found.missing), len(found.wrong_key), len(found.left_over)),
        )
    return found
