"""The queries of the sweeps read only what is due: what PostgreSQL plans for them among 20,000 people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from krotray_core import db, provisioning, subscriptions
from sandbox.world import World


@pytest.fixture
def crowd(fresh: World) -> Iterator[list[str]]:
    """20,000 people: a hundred have run out, twenty seats are dirty. Yields the statements that our code sends, for EXPLAIN."""
    assert fresh
    with db.transaction() as session:
        for statement in (
            "INSERT INTO users (telegram_id) SELECT n FROM generate_series(1, 20000) n",
            "INSERT INTO servers (name, host, grpc_port, inbound_tag, max_users, active_users)"
            " VALUES ('A', 'h', 1, 't', 30000, 20000)",
            "INSERT INTO subscriptions (user_id, status, expires_at, uuid)"
            " SELECT id, CASE WHEN telegram_id % 2 = 0 THEN 'active' ELSE 'expired' END,"
            " now() + CASE WHEN telegram_id % 200 = 0 THEN -1 ELSE telegram_id END * interval '1 minute', gen_random_uuid()"
            " FROM users",
            "INSERT INTO seats (subscription_id, server_id, email, uuid, wanted, observed_generation)"
            " SELECT s.id, v.id, 'user_' || s.user_id, s.uuid, true, CASE WHEN s.user_id % 1000 = 0 THEN 0 ELSE 1 END"
            " FROM subscriptions s, servers v",
        ):
            session.execute(text(statement))
    with db.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE users, servers, subscriptions, seats"))
    plans: list[str] = []

    def explain(_connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            cursor.execute("EXPLAIN " + statement, parameters)
            plans.append("\n".join(row[0] for row in cursor.fetchall()))

    event.listen(db.engine(), "before_cursor_execute", explain)
    yield plans
    event.remove(db.engine(), "before_cursor_execute", explain)


@pytest.mark.writes_past_the_ledger
def test_expiring_reads_only_what_has_run_out(crowd: list[str]) -> None:
    assert subscriptions.expire_due()[0] == 100
    assert "ix_subscriptions_due" in crowd[0]
    assert "Seq Scan on subscriptions" not in crowd[0]


@pytest.mark.writes_past_the_ledger
def test_converging_reads_only_dirty_seats(crowd: list[str]) -> None:
    (server_id,) = provisioning.dirty_servers()
    assert len(provisioning._claim(server_id)) == 20
    for plan in crowd:
        assert "ix_seats_dirty" in plan
