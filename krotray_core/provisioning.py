"""`converge` makes what is in one Xray equal to what our seats say: the only door to Xray's users.

Whatever happens to a person (paid, expired, revoked, key rotated, Xray restarted) only changes seats; this does the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnExpressionArgument, exists, or_, select, update
from sqlalchemy.orm import Session

from krotray_core import clock, counts, cutoff, links, settings
from krotray_core.db import transaction
from krotray_core.errors import NotFound, XrayUnavailable
from krotray_core.models import Seat, Server
from krotray_core.xray.channels import Tls
from krotray_core.xray.client import Add, Outcome, Remove, XrayClient

log = logging.getLogger(__name__)

BATCH = 500
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
    leased_until: datetime


@dataclass(slots=True)
class Converged:
    """How many seats the server confirmed, how many it refused (tried again after a pause), and whether more are waiting."""

    confirmed: int = 0
    refused: int = 0
    more: bool = False


def client(server: Server) -> XrayClient:
    """The gRPC client of a server. Raises XrayUnavailable when the files of its TLS cannot be read."""
    tls = Tls(server.tls_ca, server.tls_cert, server.tls_key) if server.tls_ca else None
    return XrayClient(server.target, server.inbound_tag, tls)


def template(server: Server) -> str:
    """How this server's links look: its own template, else that of the settings ("" where neither has one)."""
    return server.vless_url_template or settings.get().vless_url_template or ""


def find(server_id: int) -> Server:
    """The server with this id. Raises NotFound."""
    with transaction() as session:
        server = session.get(Server, server_id)
    if server is None:
        raise NotFound(f"no server with id {server_id}")
    return server


def converge(server_id: int) -> Converged:
    """Brings every dirty seat of a server to the server, in batches, until none is left that could be or time is up.

    May run twice at once: a seat is in the hands of one worker at a time. Raises NotFound, XrayUnavailable (the seats
    stay dirty); for a server that is known to be down without a try, since `watch` calls when it is back.
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


def _to_do(now: datetime) -> tuple[ColumnExpressionArgument[bool], ...]:
    free = or_(Seat.leased_until.is_(None), Seat.leased_until < now)
    due = or_(Seat.paused_until.is_(None), Seat.paused_until < now)
    return Seat.dirty, free, due


def _claim(server_id: int) -> list[Claim]:
    now = clock.now()
    with transaction() as session:
        seats = session.scalars(
            select(Seat)
            .where(Seat.server_id == server_id, *_to_do(now))
            .order_by(Seat.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        until = now + LEASE
        session.execute(
            update(Seat)
            .where(Seat.id.in_([seat.id for seat in seats]))
            .values(leased_until=until, attempts=Seat.attempts + 1)
            .execution_options(synchronize_session=False)
        )
        return [Claim(s.id, s.email, s.uuid, s.wanted, s.cut_off, s.generation, until) for s in seats]


def _send(server: Server, claims: Sequence[Claim]) -> list[Outcome]:
    """All operations of a batch, then the cut-off rule where the batch concerns it. No transaction is open here."""
    try:
        xray = client(server)
    except XrayUnavailable as error:
        return [error] * len(claims)
    flow = links.flow(template(server))
    outcomes = xray.apply([Add(c.email, c.uuid, flow) if c.wanted else Remove(c.email) for c in claims])
    concerned = [position for position, c in enumerate(claims) if not c.wanted or c.cut_off]
    if any(outcomes[position] is None for position in concerned):
        fault = cutoff.rewrite(server.id, xray)
        if fault:
            for position in concerned:
                outcomes[position] = outcomes[position] or fault
    return outcomes


def _record(claims: Sequence[Claim], outcomes: Sequence[Outcome]) -> None:
    """Notes each answer, unless the seat has changed meanwhile: then it stays dirty and is done again."""
    now = clock.now()
    with transaction() as session:
        rows = session.scalars(
            select(Seat).where(Seat.id.in_([c.id for c in claims])).order_by(Seat.id).with_for_update()
        )
        seats = {seat.id: seat for seat in rows}
        for claim, outcome in zip(claims, outcomes, strict=True):
            seat = seats.get(claim.id)
            if seat is None:  # the server has been removed
                continue
            if seat.leased_until != claim.leased_until:
                # We were too slow and another worker went ahead: what it did may have been undone by us just now.
                seat.generation += 1
                continue
            seat.leased_until = None
            if seat.generation != claim.generation:
                continue
            if outcome is None:
                _measure(session, seat, now)
                seat.observed_generation = seat.generation
                seat.cut_off = not seat.wanted
                if not seat.wanted:
                    seat.gone_at = seat.gone_at or now
                seat.attempts, seat.last_error = 0, None
            else:
                seat.last_error = str(outcome)[:500]
                if isinstance(outcome, XrayUnavailable):
                    seat.attempts = max(seat.attempts - 1, 0)  # it was not refused
                else:
                    log.error("seat %s (%s) was refused: %s", seat.id, seat.email, outcome)
                    seat.paused_until = now + min(timedelta(seconds=2 ** min(seat.attempts, 10)), LONGEST_PAUSE)


def _measure(session: Session, seat: Seat, now: datetime) -> None:
    """How long somebody has waited whom the server has just let in for the first time."""
    if not seat.wanted or seat.observed_generation:
        return
    if seat.dirty_since:
        counts.observe(session, "provisioning", now - seat.dirty_since)
    if seat.paid_since:
        counts.observe(session, "payment_to_key", now - seat.paid_since)
        seat.paid_since = None
