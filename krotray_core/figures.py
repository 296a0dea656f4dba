"""The state of the service in numbers. Each part is asked for by itself, reads by an index alone, and may not take long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ColumnExpressionArgument, case, func, literal_column, select, text
from sqlalchemy.orm import Mapped, Session

from krotray_core import counts, notices
from krotray_core.counts import Durations
from krotray_core.db import transaction
from krotray_core.models import Notice, Payment, Seat, Server, Subscription

# A part that takes longer than that is given up: whoever asks will ask again.
LONGEST_MS = 2000
# Of what piles up no more is counted than that.
MOST = 100_000

PAYMENTS = ("pending", "succeeded", "canceled", "refunded")
SUBSCRIPTIONS = ("active", "expired", "revoked")
DRIFT = ("missing", "wrong_key", "left_over")


@dataclass(frozen=True, slots=True)
class Pile:
    """How much there is of something that should go away (at most MOST), and how many seconds the oldest has been there."""

    number: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """One server. `silent_seconds`: since it last answered; None if it never did."""

    name: str
    up: bool
    open: bool
    enabled: bool
    users: int
    max_users: int
    silent_seconds: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What the table `counters` holds: payments and subscriptions by state, drift by kind, durations by kind."""

    payments: dict[str, int]
    subscriptions: dict[str, int]
    drift: dict[str, int]
    durations: dict[str, Durations]


@contextmanager
def _briefly() -> Iterator[Session]:
    with transaction() as session:
        session.execute(text(f"SET LOCAL statement_timeout = {LONGEST_MS}"))
        yield session


def totals() -> Totals:
    """Everything that is counted as it happens."""
    with _briefly() as session:
        all_of_them = counts.read(session)
    return Totals(
        payments={state: all_of_them.get(f"payments:{state}", 0) for state in PAYMENTS},
        subscriptions={state: all_of_them.get(f"subscriptions:{state}", 0) for state in SUBSCRIPTIONS},
        drift={kind: all_of_them.get(f"drift:{kind}", 0) for kind in DRIFT},
        durations={kind: counts.durations(all_of_them, kind) for kind in counts.DURATIONS},
    )


def flagged() -> Pile:
    """Payments that a person must look at."""
    return _pile(Payment.flagged_at, Payment.flagged_at.is_not(None))


def hinted() -> Pile:
    """Payments of which YooKassa has told us something (money, mostly), while we could not yet ask it what."""
    return _pile(Payment.hinted_at, Payment.hinted_at.is_not(None))


def waiting() -> Pile:
    """People who have paid while no server had room."""
    return _pile(Subscription.waiting_since, Subscription.waiting_since.is_not(None))


def dirty() -> Pile:
    """Seats that their server has not confirmed as they are now."""
    return _pile(Seat.dirty_since, Seat.dirty)


def unprovisioned() -> Pile:
    """Seats that should let somebody in, and whose server has not said that they do."""
    return _pile(Seat.dirty_since, Seat.dirty, Seat.wanted)


def overdue() -> Pile:
    """Subscriptions that have run out, and that no sweep has ended yet."""
    # The partial index serves only the literal, not a bound parameter (see docs/adr/0005).
    active = Subscription.status == literal_column("'active'")
    due = (active, Subscription.expires_at < func.now(), Subscription.waiting_since.is_(None))
    return _pile(Subscription.expires_at, *due)


def notices_due() -> Pile:
    """What people and admins should have been told by now. A notice that waits for the morning is not among them."""
    return _pile(Notice.next_try_at, *notices.still_open(), Notice.next_try_at < func.now())


def servers() -> list[ServerFigures]:
    """Every server, by name."""
    # One that is down answered last when it went down, as near as we know.
    answered = case((Server.is_up.is_(True), Server.checked_at), (Server.is_up.is_(False), Server.state_since))
    is_open = Server.enabled & ~Server.draining & Server.is_up.is_(True)
    columns = (
        Server.name,
        func.coalesce(Server.is_up, False),
        func.coalesce(is_open, False),
        Server.enabled,
        Server.active_users,
        Server.max_users,
    )
    with _briefly() as session:
        rows = session.execute(select(*columns, _seconds_since(answered)).order_by(Server.name)).all()
    return [
        ServerFigures(name, up, open_, enabled, users, max_users, None if silent is None else max(float(silent), 0.0))
        for name, up, open_, enabled, users, max_users, silent in rows
    ]


def _pile(since: Mapped[Any], *which: ColumnExpressionArgument[bool]) -> Pile:
    some = select(since.label("since")).where(*which).limit(MOST).subquery()
    with _briefly() as session:
        number, oldest = session.execute(
            select(func.count(), _seconds_since(func.min(some.c.since))).select_from(some)
        ).one()
    return Pile(number, max(float(oldest or 0), 0.0))


def _seconds_since(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """By the database's clock, which all the moments come from."""
    return func.extract("epoch", func.now() - moment)
