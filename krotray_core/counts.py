"""Counters and durations that are the same whichever process is asked, and survive them all: rows in the table `counters`.

A row is added in the transaction that makes the news, so it counts exactly when the news does. No row is ever changed in place
(that would make everybody wait for one row); `fold` puts old ones together now and then. See docs/adr/0011.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from sqlalchemy import ARRAY, BigInteger, Text, bindparam, func, insert, select, text
from sqlalchemy.orm import Session

from krotray_core.db import transaction
from krotray_core.models import Count
from krotray_core.prepared import Prepared

# Seconds. Of a key that comes at once, of one that waits for a sweep, of one that waits for a server or a person.
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0)
BEYOND = "+Inf"
DURATIONS = ("settle", "provisioning", "payment_to_key")
FOLD_AT, FOLD_BATCH = 500, 10_000

_FOLD = """
    WITH taken AS (
        DELETE FROM counters WHERE id IN (SELECT id FROM counters ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED)
        RETURNING name, value
    ), folded AS (
        INSERT INTO counters (name, value) SELECT name, sum(value) FROM taken GROUP BY name HAVING sum(value) <> 0
    )
    SELECT count(*) FROM taken
"""


@dataclass(frozen=True, slots=True)
class Durations:
    """How many took at most so long, as Prometheus writes it (bound, count so far), and all their seconds together."""

    buckets: list[tuple[str, int]]
    seconds: float


def add(session: Session, name: str, value: int = 1) -> None:
    """Counts; nothing is written for 0."""
    _add_all(session, {name: value})


def observe(session: Session, name: str, *took: timedelta) -> None:
    """Counts durations of a kind (one of DURATIONS); a clock that went backwards makes one 0."""
    counted = Counter[str]()
    for one in took:
        seconds = max(one.total_seconds(), 0.0)
        bound = next((str(bound) for bound in BOUNDS if seconds <= bound), BEYOND)
        counted[f"{name}:le:{bound}"] += 1
        counted[f"{name}:ms"] += round(seconds * 1000)
    _add_all(session, counted)


def _add_all(session: Session, counted: Mapping[str, int]) -> None:
    told = {name: value for name, value in counted.items() if value}
    if told:
        _added().within(session, which=list(told), many=list(told.values()))


@cache
def _added() -> Prepared:
    pairs = ("which", ARRAY(Text())), ("many", ARRAY(BigInteger()))
    counted = select(*(func.unnest(bindparam(name, type_=kind)) for name, kind in pairs))
    return Prepared("counters", insert(Count).from_select(["name", "value"], counted))


def read(session: Session) -> dict[str, int]:
    """All counters by name."""
    totals = select(Count.name, func.sum(Count.value)).group_by(Count.name)
    return {row[0]: int(row[1]) for row in session.execute(totals)}


def durations(totals: dict[str, int], name: str) -> Durations:
    """One kind of duration out of what `read` has given."""
    buckets, so_far = [], 0
    for bound in (*map(str, BOUNDS), BEYOND):
        so_far += totals.get(f"{name}:le:{bound}", 0)
        buckets.append((bound, so_far))
    return Durations(buckets, totals.get(f"{name}:ms", 0) / 1000)


def fold() -> None:
    """Puts the rows of each name together, where there are many. May run twice at once: each takes rows of its own."""
    while True:
        with transaction() as session:
            if (session.scalar(select(func.count()).select_from(Count)) or 0) < FOLD_AT:
                return
            if session.scalars(text(_FOLD), {"batch": FOLD_BATCH}).one() < FOLD_BATCH:
                return
