"""`converge` makes what is in one Xray equal to what our seats say: the only door to Xray's users.

Whatever happens to a person (paid, expired, revoked, key rotated, Xray restarted) only changes seats; this does the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnExpressionArgument,
    Integer,
    any_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from krotray_core import clock, counts, cutoff, links, settings
from krotray_core.db import reading, transaction
from krotray_core.errors import NotFound, XrayUnavailable
from krotray_core.models import Seat, Server
from krotray_core.prepared import Prepared
from krotray_core.xray.operations import Add, Outcome, Remove
from krotray_core.xray.tls import Tls

if TYPE_CHECKING:
    from krotray_core.xray.client import XrayClient

log = logging.getLogger(__name__)

BATCH = 500
_UNSYNCHRONIZED = {"synchronize_session": False}
_THESE = Seat.id == any_(bindparam("ids", type_=ARRAY(BigInteger)))
_DONE = {"leased_until": null(), "observed_generation": Seat.generation, "attempts": 0, "last_error": null()}
# Many times what a batch takes, and as long as a killed worker's people wait. One that does take longer is noticed when
# it is recorded, and done over.
LEASE = timedelta(seconds=20)
LONGEST_PAUSE = timedelta(minutes=5)
# After that long the rest is left to another call, so that no task runs into its time limit in the middle of a batch.
BUDGET_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A dirty seat as it was when this worker took it; `leased_until` proves later that it is still ours."""

    id: int
    email: str
    uuid: UUID
    wanted: bool
    cut_off: bool
    generation: int
    attempts: int
    leased_until: datetime


class _Seen(NamedTuple):
    """The same seat when the server has answered; columns of `models.Seat`."""

    id: int
    leased_until: datetime | None
    generation: int
    observed_generation: int
    dirty_since: datetime | None
    paid_since: datetime | None


@dataclass(slots=True)
class Converged:
    """How many seats the server confirmed, how many it refused (tried again after a pause), and whether more are waiting."""

    confirmed: int = 0
    refused: int = 0
    more: bool = False


def client(server: Server) -> XrayClient:
    """The gRPC client of a server. Raises XrayUnavailable when the files of its TLS cannot be read."""
    # Here and not above: gRPC takes 15 MB, and web, bot and beat never talk to a server.
    from krotray_core.xray.client import XrayClient  # noqa: PLC0415

    tls = Tls(server.tls_ca, server.tls_cert, server.tls_key) if server.tls_ca else None
    return XrayClient(server.target, server.inbound_tag, tls)


def template(own: str | None) -> str:
    """How a server's links look: its own template, else that of the settings ("" where neither has one)."""
    return own or settings.get().vless_url_template or ""


def find(server_id: int) -> Server:
    """The server with this id. Raises NotFound."""
    with reading() as session:
        server = session.get(Server, server_id)
    if server is None:
        raise NotFound(f"no server with id {server_id}")
    return server


def converge(server_id: int, wants_help: Callable[[], object] | None = None) -> Converged:
    """Brings every dirty seat of a server to the server, in batches, until none is left that could be or time is up.

    May run twice at once: a seat is in the hands of one worker at a time. With more to do than one batch `wants_help` is called,
    once, for a second worker: each waits for the server and for the database in turns. Raises NotFound, XrayUnavailable (the
    seats stay dirty); for a server that is known to be down without a try, since `watch` calls when it is back.
    """
    server, result, began = find(server_id), Converged(), time.monotonic()
    if server.is_up is False:
        raise XrayUnavailable(f"{server.name} is down: {server.last_error}")
    while True:
        if time.monotonic() - began > BUDGET_SECONDS:
            result.more = True
            return result
        claims = _claim(server_id)
        if not claims:
            return result
        if wants_help and len(claims) == BATCH:
            wants_help()
            wants_help = None
        outcomes = _send(server, claims)
        _record(claims, outcomes)
        result.confirmed += sum(outcome is None for outcome in outcomes)
        away = next((outcome for outcome in outcomes if isinstance(outcome, XrayUnavailable)), None)
        if away:
            raise away
        result.refused += sum(outcome is not None for outcome in outcomes)


def dirty_servers() -> list[int]:
    """Servers with a dirty seat that nobody is working on; one that is down is left to `watch`, which sees it come back."""
    with transaction() as session:
        dirty = exists().where(Seat.server_id == Server.id, *_to_do(clock.now()))
        return list(session.scalars(select(Server.id).where(Server.is_up.is_not(False), dirty).order_by(Server.id)))


def _to_do(now: datetime | BindParameter[datetime | None]) -> tuple[ColumnExpressionArgument[bool], ...]:
    free = or_(Seat.leased_until.is_(None), Seat.leased_until < now)
    due = or_(Seat.paused_until.is_(None), Seat.paused_until < now)
    return Seat.dirty, free, due


def _claim(server_id: int) -> list[Claim]:
    now = clock.now()
    until = now + LEASE
    rows = _claiming().rows(server=server_id, now=now, until=until, most=BATCH)
    return [Claim(*(*row, until)) for row in sorted(rows, key=itemgetter(0))]


@cache
def _claiming() -> Prepared:
    now, until = (bindparam(name, type_=Seat.leased_until.type) for name in ("now", "until"))
    here = Seat.server_id == bindparam("server", type_=Seat.server_id.type)
    free = select(Seat.id).where(here, *_to_do(now)).order_by(Seat.id).limit(bindparam("most", type_=Integer()))
    chosen = free.with_for_update(skip_locked=True).cte()
    taken = update(Seat).where(Seat.id == chosen.c.id).values(leased_until=until, attempts=Seat.attempts + 1)
    told = taken.returning(Seat.id, Seat.email, Seat.uuid, Seat.wanted, Seat.cut_off, Seat.generation, Seat.attempts)
    return Prepared("dirty seats", told)


def _send(server: Server, claims: Sequence[Claim]) -> list[Outcome]:
    """All operations of a batch, then the cut-off rule where the batch concerns it. No transaction is open here."""
    try:
        xray = client(server)
    except XrayUnavailable as error:
        return [error] * len(claims)
    flow = links.flow(template(server.vless_url_template))
    outcomes = xray.apply([Add(c.email, c.uuid, flow) if c.wanted else Remove(c.email) for c in claims])
    concerned = [position for position, c in enumerate(claims) if not c.wanted or c.cut_off]
    if any(outcomes[position] is None for position in concerned):
        fault = cutoff.rewrite(server.id, xray)
        if fault:
            for position in concerned:
                outcomes[position] = outcomes[position] or fault
    return outcomes


def _record(claims: Sequence[Claim], outcomes: Sequence[Outcome]) -> None:
    """Notes each answer, unless the seat has changed meanwhile: then it stays dirty and is done again.

    A statement for each kind of answer, not for each seat: a batch of 500 has one kind as a rule.
    """
    now = clock.now()
    lost, changed, let_in, gone = list[int](), list[int](), list[int](), list[int]()
    with transaction() as session:
        seats = {row[0]: _Seen(*row) for row in _locking().within(session, ids=[claim.id for claim in claims])}
        new: list[_Seen] = []
        for claim, outcome in zip(claims, outcomes, strict=True):
            seat = seats.get(claim.id)
            if seat is None:  # the server has been removed
                continue
            if seat.leased_until != claim.leased_until:
                # We were too slow and another worker went ahead: what it did may have been undone by us just now.
                lost.append(claim.id)
            elif seat.generation != claim.generation:
                changed.append(claim.id)
            elif outcome is not None:
                _change(session, [claim.id], leased_until=None, **_refused(claim, outcome, now))
            else:
                (let_in if claim.wanted else gone).append(claim.id)
                if claim.wanted and not seat.observed_generation:
                    new.append(seat)
        _measure(session, new, now)
        _change(session, lost, generation=Seat.generation + 1)
        _change(session, changed, leased_until=None)
        if let_in:
            _letting_in().within(session, ids=let_in)
        _change(session, gone, **_DONE, cut_off=True, gone_at=func.coalesce(Seat.gone_at, now))


@cache
def _locking() -> Prepared:
    columns = (getattr(Seat, name) for name in _Seen._fields)
    return Prepared("seats answered", select(*columns).where(_THESE).order_by(Seat.id).with_for_update())


@cache
def _letting_in() -> Prepared:
    waited = case((Seat.observed_generation == 0, null()), else_=Seat.paid_since)
    done = update(Seat).where(_THESE).values(**_DONE, cut_off=literal_column("false"), paid_since=waited)
    return Prepared("seats let in", done)


def _change(session: Session, ids: Sequence[int], **values: Any) -> None:
    if ids:
        changed = update(Seat).where(Seat.id.in_(ids)).values(**values)
        session.execute(changed, execution_options=_UNSYNCHRONIZED)


def _refused(claim: Claim, outcome: Exception, now: datetime) -> dict[str, Any]:
    said = str(outcome)[:500]
    if isinstance(outcome, XrayUnavailable):
        return {"last_error": said, "attempts": func.greatest(Seat.attempts - 1, 0)}  # it was not refused
    log.error("seat %s (%s) was refused: %s", claim.id, claim.email, outcome)
    pause = min(timedelta(seconds=2 ** min(claim.attempts, 10)), LONGEST_PAUSE)
    return {"last_error": said, "paused_until": now + pause}


def _measure(session: Session, seats: Sequence[_Seen], now: datetime) -> None:
    """How long those have waited whom the server has just let in for the first time."""
    counts.observe(session, "provisioning", *(now - seat.dirty_since for seat in seats if seat.dirty_since))
    counts.observe(session, "payment_to_key", *(now - seat.paid_since for seat in seats if seat.paid_since))
