"""The expiry sweep with a million subscriptions: its cost must grow with what is due, not with what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from benchmarks import table
from benchmarks.stage import Stage, add, fill
from krotray_core import clock, db, subscriptions

MANY, FEW = 1_000_000, 20_000
DUE = (100, 10_000)
QUIET_MS = 2.0


def rows(stage: Stage) -> Iterator[table.Row]:
    """The lines about the sweep; with 20,000 subscriptions for comparison first."""
    few: dict[int, float] = {}
    many: dict[int, float] = {}
    for database, people, took in (("few", FEW, few), ("million", MANY, many)):
        stage.use(database)
        fill(people, [add(stage.world.nodes[0]).id])
        idle = sorted(_explained() for _ in range(5))[2]
        empty = sorted(table.timed(subscriptions.expire_due) for _ in range(5))[2] * 1000
        for due in DUE:
            took[due] = min(_sweep(due) for _ in range(3))
        if people == MANY:
            keyed = {due: _by_key(due) for due in DUE}
    yield table.Row(
        "expiry sweep of 1,000,000, nothing due: in PostgreSQL",
        *(f"{idle:.2f} ms", f"{QUIET_MS:g} ms", idle / QUIET_MS, "under 2 ms", idle < QUIET_MS),
    )
    yield table.Row("the same, whole sweep as seen by the worker", f"{empty:.1f} ms", "", None, "", None)
    for due in DUE:
        ratio = many[due] / few[due]
        yield table.Row(
            f"expiry sweep, {due:,} due of 1,000,000 (limit: of {FEW:,})",
            *(f"{many[due] * 1000:,.0f} ms", f"{few[due] * 1000:,.0f} ms", ratio, "at most 1.5x", ratio <= 1.5),
        )
        yield table.Row(
            f"the same beside SELECT of {due:,} rows by primary key",
            *(f"{many[due] * 1e6 / due:,.0f} us a row", f"{keyed[due] * 1e6 / due:,.0f} us a row"),
            *(many[due] / keyed[due], "", None),
        )


def _explained() -> float:
    """Milliseconds of planning and execution of the statement that looks for what is due."""
    due = subscriptions._due(clock.now()).limit(subscriptions.EXPIRY_BATCH)
    compiled = due.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    with db.transaction() as session:
        plan = session.scalars(text(f"EXPLAIN (ANALYZE, BUFFERS) {compiled}".replace(":", r"\:"))).all()
    return sum(float(found) for found in re.findall(r"(?:Planning|Execution) Time: ([0-9.]+) ms", "\n".join(plan)))


def _sweep(due: int) -> float:
    with db.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        # Spread over the whole table, as people's ends are.
        session.execute(
            text(
                "UPDATE subscriptions SET expires_at = now() - interval '1 second' WHERE id IN (SELECT id FROM subscriptions"
                " WHERE status = 'active' AND id % ((SELECT count(*) FROM subscriptions) / :due) = 1 LIMIT :due)"
            ),
            {"due": due},
        )
    ended = 0

    def sweep() -> None:
        nonlocal ended
        ended, _ = subscriptions.expire_due()

    took = table.timed(sweep)
    if ended != due:
        raise RuntimeError(f"{ended} have ended, not {due}")
    _undo()
    return took


def _undo() -> None:
    """They run again, as they did."""
    with db.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(
            text(
                "UPDATE subscriptions SET status = 'active', expires_at = now() + interval '30 days' WHERE status = 'expired'"
            )
        )
        session.execute(
            text(
                "UPDATE seats SET wanted = true, removed_at = NULL, cut_off = false, generation = 1, observed_generation = 1"
                " WHERE NOT wanted"
            )
        )
        session.execute(text("UPDATE servers SET active_users = (SELECT count(*) FROM seats WHERE wanted)"))
        session.execute(text("DELETE FROM notices"))


def _by_key(many: int) -> float:
    """Seconds of a SELECT of so many rows, by their ids."""
    statement = text("SELECT * FROM subscriptions WHERE id = ANY(:ids)")

    def read() -> None:
        with db.transaction() as session:
            session.execute(statement, {"ids": ids}).all()

    with db.transaction() as session:
        picked = text("SELECT id FROM subscriptions WHERE id % (1000000 / :many) = 1 LIMIT :many")
        ids = list(session.scalars(picked, {"many": many}))
    return sorted(table.timed(read) for _ in range(3))[1]
