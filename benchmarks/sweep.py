"""The expiry sweep with a million subscriptions: its cost must grow with what is due, not with what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from statistics import median
from unittest import mock

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from benchmarks import table
from benchmarks.stage import Stage, add, fill, vacuum
from krotray_core import clock, db, subscriptions

MANY, FEW = 1_000_000, 50_000
DUE = (100, 10_000)
ROUNDS = 3
QUIET_MS = 2.0
# Each round has its own people, who run out together at an hour of their own: as in life they are spread over the whole table.
HOURS = {(due, turn): 1 + number for number, (due, turn) in enumerate(product(DUE, range(ROUNDS)))}


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds for so many, each the median of its rounds: the sweep, a SELECT and an UPDATE by primary key."""

    sweep: float
    select: float
    update: float


def rows(stage: Stage) -> Iterator[table.Row]:
    """The lines about the sweep; with 50,000 subscriptions for comparison first."""
    taken: dict[tuple[int, int], Taken] = {}
    for database, people in (("few", FEW), ("million", MANY)):
        stage.use(database)
        fill(people, [add(stage.world.nodes[0]).id])
        _let_run_out(people)
        idle = median(_explained() for _ in range(5))
        empty = median(table.timed(subscriptions.expire_due) for _ in range(5)) * 1000
        for due in DUE:
            rounds = [_round(people, due, turn) for turn in range(ROUNDS)]
            taken[people, due] = Taken(*(median(column) for column in zip(*rounds, strict=True)))
    yield table.Row(
        "expiry sweep of 1,000,000, nothing due: in PostgreSQL",
        *(f"{idle:.2f} ms", f"{QUIET_MS:g} ms", idle / QUIET_MS, "under 2 ms", idle < QUIET_MS),
    )
    yield table.Row("the same, whole sweep as seen by the worker", f"{empty:.1f} ms", "", None, "", None)
    for due in DUE:
        many, few = taken[MANY, due], taken[FEW, due]
        yield table.at_most(
            f"expiry sweep, {due:,} due of 1,000,000 (limit: of {FEW:,})",
            *(many.sweep * 1000, few.sweep * 1000, 1.5, "ms"),
            digits=0,
        )
        yield _told(f"an UPDATE of {due:,} rows by primary key, likewise", many.update, few.update)
        yield _told(f"a SELECT of {due:,} rows by primary key, likewise", many.select, few.select)


def _told(what: str, ours: float, limit: float) -> table.Row:
    return table.Row(what, f"{ours * 1000:,.1f} ms", f"{limit * 1000:,.1f} ms", ours / limit, "", None)


def _explained() -> float:
    """Milliseconds of planning and execution of the statement that looks for what is due."""
    due = subscriptions._due(clock.now()).limit(subscriptions.EXPIRY_BATCH)
    compiled = due.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    with db.transaction() as session:
        plan = session.scalars(text(f"EXPLAIN (ANALYZE, BUFFERS) {compiled}".replace(":", r"\:"))).all()
    return sum(float(found) for found in re.findall(r"(?:Planning|Execution) Time: ([0-9.]+) ms", "\n".join(plan)))


def _let_run_out(people: int) -> None:
    """Sets the ends, and puts the rows back where they lay: an UPDATE has moved those that it changed to the same few pages."""
    with db.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        for (due, turn), hours in HOURS.items():
            ends = "UPDATE subscriptions SET expires_at = now() + make_interval(hours => :hours) WHERE id = ANY(:ids)"
            session.execute(text(ends), {"hours": hours, "ids": _ids(people, due, turn)})
        session.execute(text("CLUSTER subscriptions USING pk_subscriptions"))
    vacuum()


def _ids(people: int, due: int, turn: int) -> list[int]:
    """So many, spread evenly over all; no two of these lists, nor that of those who never run out (turn 3), share anybody."""
    step = people // max(DUE)
    first = turn if due == max(DUE) else turn * step + 4
    return list(range(first + 1, people + 1, people // due))


def _round(people: int, due: int, turn: int) -> tuple[float, float, float]:
    """Seconds of the sweep, and of a SELECT and an UPDATE of as many others by primary key."""
    ended, real = 0, clock.now

    def later() -> datetime:
        return real() + timedelta(hours=HOURS[due, turn], minutes=1)

    def sweep() -> None:
        nonlocal ended
        ended, _ = subscriptions.expire_due()

    with mock.patch.object(clock, "now", later):
        took = table.timed(sweep)
    if ended != due:
        raise RuntimeError(f"{ended} have ended, not {due}")
    others = {"ids": _ids(people, due, ROUNDS)}
    with db.transaction() as session:
        read = table.timed(
            lambda: session.execute(text("SELECT * FROM subscriptions WHERE id = ANY(:ids)"), others).all()
        )
        # An indexed column, as a sweep changes it.
        changed = "UPDATE subscriptions SET expires_at = expires_at + interval '1 second' WHERE id = ANY(:ids)"
        written = table.timed(lambda: session.execute(text(changed), others))
        session.rollback()
    return took, read, written
