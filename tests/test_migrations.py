"""Migrations: up from nothing, down, up again; they say what the models say, and the database keeps what the house rests on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError

from krotray_core.models import Base
from sandbox.process import wait_until
from sandbox.world import ROOT, World
from tests.conftest import flask, run_flask

TABLES = {
    "users",
    "servers",
    "subscriptions",
    "payments",
    "seats",
    "leases",
    "plans",
    "refunds",
    "ledger",
    "notices",
    "marks",
    "broadcasts",
    "bot_accounts",
    "traffic",
    "traffic_servers",
    "traffic_seen",
    "counters",
}

# What PostgreSQL itself says about everything in a schema, in words that can be compared.
DESCRIPTION = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2""",
    "indexes": """
        SELECT indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1""",
}


@pytest.fixture(scope="module")
def url(world: World) -> str:
    """An empty database of these tests' own."""
    return world.postgres.create(f"migrations_{uuid4().hex}")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """A plain way into it, past everything of ours."""
    made = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    yield made
    made.dispose()


@pytest.fixture
def migrated(engine: Engine, url: str) -> Engine:
    """With all tables, all of them empty."""
    flask("db", "upgrade", DATABASE_URL=url)
    with engine.begin() as connection:
        _empty(connection)
    return engine


def _empty(connection: Connection) -> None:
    connection.execute(text("SET LOCAL session_replication_role = replica"))  # or the ledger's own trigger refuses
    connection.execute(text(f"TRUNCATE {', '.join(TABLES)}"))
    connection.execute(text("SET LOCAL session_replication_role = origin"))


def tables(engine: Engine) -> set[str]:
    """The tables that there are."""
    with engine.connect() as connection:
        found = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return set(found) - {"alembic_version"}


def described(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All columns, constraints and indexes."""
    return {name: [tuple(row) for row in connection.execute(text(query))] for name, query in DESCRIPTION.items()}


def test_two_upgrades_of_an_empty_database_at_the_same_moment(url: str, engine: Engine) -> None:
    flask("db", "downgrade", "base", DATABASE_URL=url)
    assert tables(engine) == set()
    command = [sys.executable, "-m", "flask", "db", "upgrade"]
    environment = os.environ | {"DATABASE_URL": url}
    options = {"cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = [subprocess.Popen(command, **options) for _ in range(2)]  # noqa: S603 - our own command
    said = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert tables(engine) == TABLES


def test_down_to_nothing_and_up_again(url: str, engine: Engine) -> None:
    flask("db", "upgrade", DATABASE_URL=url)
    assert tables(engine) == TABLES
    with engine.connect() as connection:
        before = described(connection)
    flask("db", "downgrade", "base", DATABASE_URL=url)
    assert tables(engine) == set()
    flask("db", "upgrade", DATABASE_URL=url)
    flask("db", "upgrade", DATABASE_URL=url)
    with engine.connect() as connection:
        assert described(connection) == before


def test_a_revision_that_fails_leaves_nothing_half_done(url: str, engine: Engine) -> None:
    """All in one transaction: `leases`, which is made first, is gone again when `users` cannot be made."""
    flask("db", "downgrade", "base", DATABASE_URL=url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (in_the_way int)"))
    try:
        assert run_flask("db", "upgrade", DATABASE_URL=url).returncode != 0
        assert tables(engine) == {"users"}
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE users"))
    flask("db", "upgrade", DATABASE_URL=url)


def test_alembic_sees_no_difference_to_the_models(migrated: Engine) -> None:
    with migrated.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    # Alembic compares defaults by computing both sides, and a random token never equals itself; see the next test for it.
    assert [one for one in found if "token" not in str(one)] == []


def test_postgresql_sees_no_difference_to_the_models(world: World, migrated: Engine) -> None:
    """Made from the models instead, everything is the same to the letter: checks and partial indexes too."""
    modelled = create_engine(
        world.postgres.create(f"models_{uuid4().hex}").replace("postgresql:", "postgresql+psycopg2:")
    )
    try:
        Base.metadata.create_all(modelled)
        with modelled.connect() as one, migrated.connect() as other:
            assert described(one) == described(other)
    finally:
        modelled.dispose()


def test_the_names_that_the_outside_relies_on(migrated: Engine) -> None:
    promised = {
        "users": "telegram_id username first_name",
        "servers": "name host grpc_port active_users max_users enabled inbound_tag vless_url_template",
        "subscriptions": "user_id status expires_at uuid",
        "payments": "id user_id external_id status amount_kopecks currency method plan_code",
        "seats": "subscription_id server_id email uuid wanted",
    }
    with migrated.connect() as connection:
        rows = described(connection)["columns"]
    for table, columns in promised.items():
        assert set(columns.split()) <= {row[1] for row in rows if row[0] == table}
    types = {(row[0], row[1]): row[2] for row in rows}
    assert types["payments", "id"] == types["seats", "uuid"] == types["subscriptions", "uuid"] == "uuid"
    assert types["payments", "amount_kopecks"] == types["users", "telegram_id"] == "bigint"


def test_every_moment_has_a_zone_and_no_money_is_a_float(migrated: Engine) -> None:
    with migrated.connect() as connection:
        rows = described(connection)["columns"]
    kinds = {row[2] for row in rows}
    assert "timestamp with time zone" in kinds
    assert not kinds & {"timestamp without time zone", "date", "time without time zone", "real", "double precision"}
    assert not kinds & {"money", "numeric"}


PERSON = "INSERT INTO users (id, telegram_id) OVERRIDING SYSTEM VALUE VALUES (1, 1001), (2, 1002)"
SERVER = "INSERT INTO servers (id, name, host, grpc_port, inbound_tag, max_users) VALUES (1, 'A', 'h', 1, 't', 5)"
SUBSCRIPTION = (
    "INSERT INTO subscriptions (id, user_id, status, expires_at, uuid)"
    " VALUES (1, 1, 'active', now(), gen_random_uuid()), (2, 2, 'active', now(), gen_random_uuid())"
)
SEAT = (
    "INSERT INTO seats (subscription_id, server_id, email, uuid, wanted, removed_at)"
    " VALUES (1, 1, 'user_1', gen_random_uuid(), true, NULL)"
)
PAYMENT = (
    "INSERT INTO payments (id, user_id, external_id, plan_code, months, days, amount_kopecks, currency, method, request)"
    " VALUES (gen_random_uuid(), 1, 'x', '1m', 1, 30, 10000, 'RUB', 'card', '{}')"
)
REFUND = (
    "INSERT INTO refunds (id, payment_id, amount_kopecks, request)"
    " SELECT gen_random_uuid(), id, 100, '{}' FROM payments LIMIT 1"
)
LINE = (
    "INSERT INTO ledger (at, actor, subject, event, user_id, payment_id, status)"
    " SELECT now(), 'user', 'payment', 'created', 1, id, 'pending' FROM payments LIMIT 1"
)
FORBIDDEN = {
    "two users of one Telegram id": "UPDATE users SET telegram_id = 1",
    "two payments of one external id": PAYMENT,
    "a payment of nobody": "UPDATE payments SET user_id = 99",
    "a payment for nothing": "UPDATE payments SET amount_kopecks = 0",
    "a payment below nothing": "UPDATE payments SET amount_kopecks = -1",
    "a payment for no days": "UPDATE payments SET days = 0",
    "a payment in an unknown state": "UPDATE payments SET status = 'paid'",
    "a payment in no state": "UPDATE payments SET status = NULL",
    "a payment by cheque": "UPDATE payments SET method = 'cheque'",
    "a success without a moment": "UPDATE payments SET status = 'succeeded'",
    "a moment without a success": "UPDATE payments SET paid_at = now()",
    "a flag without a reason": "UPDATE payments SET flagged_at = now()",
    "two subscriptions of one user": "UPDATE subscriptions SET user_id = 1",
    "two subscriptions of one key": "UPDATE subscriptions SET uuid = '00000000-0000-0000-0000-000000000001'",
    "two subscriptions of one link": "UPDATE subscriptions SET token = 't'",
    "a subscription of nobody": "UPDATE subscriptions SET user_id = 99 WHERE id = 1",
    "a subscription in an unknown state": "UPDATE subscriptions SET status = 'paused'",
    "a subscription without an end": "UPDATE subscriptions SET expires_at = NULL",
    "waiting when it is over": "UPDATE subscriptions SET status = 'expired', waiting_since = now()",
    "two servers of one name": SERVER.replace("(1,", "(2,"),
    "one Xray under two names": SERVER.replace("(1, 'A'", "(2, 'B'"),
    "more users than a server takes": "UPDATE servers SET active_users = 6",
    "fewer users than none": "UPDATE servers SET active_users = -1",
    "a server for nobody": "UPDATE servers SET max_users = 0",
    "a port that there is not": "UPDATE servers SET grpc_port = 65536",
    "two seats of one e-mail on a server": SEAT.replace("(1, 1", "(2, 1"),
    "two seats wanted at once": SEAT.replace("user_1", "user_1b"),
    "a seat on no server": "UPDATE seats SET server_id = 99",
    "a seat of nobody": "UPDATE seats SET subscription_id = 99",
    "confirmed before it was asked for": "UPDATE seats SET observed_generation = generation + 1",
    "taken away without a moment": "UPDATE seats SET wanted = false",
    "a server removed under its seats": "DELETE FROM servers",
    "a user removed under a payment": "DELETE FROM users",
    "a subscription removed under a seat": "DELETE FROM subscriptions",
    "more given back than was paid": "UPDATE payments SET refunded_kopecks = 10001",
    "given back in full without saying so": "UPDATE payments SET refunded_kopecks = 10000",
    "a refund of nothing": "UPDATE refunds SET amount_kopecks = 0",
    "a refund in an unknown state": "UPDATE refunds SET status = 'sent'",
    "a refund out of nowhere": "UPDATE refunds SET request = NULL",
    "a refund that took no days": "UPDATE refunds SET status = 'succeeded'",
    "two refunds in doubt": REFUND,
    "a line of the ledger altered": "UPDATE ledger SET note = 'x'",
    "a line of the ledger removed": "DELETE FROM ledger",
    "the ledger emptied": "TRUNCATE ledger",
    "a line about nothing": LINE.replace("'payment'", "'weather'"),
    "a line about no payment": LINE.replace("payment_id, status", "note, status").replace(
        " id, 'pending'", " NULL, 'pending'"
    ),
    "a line about a subscription without an end": LINE.replace("'payment'", "'subscription'"),
}


@pytest.fixture(scope="module")
def furnished(url: str) -> Iterator[Engine]:
    """One of everything, once for all the attempts below: each is rolled back."""
    made = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    flask("db", "upgrade", DATABASE_URL=url)
    with made.begin() as connection:
        _empty(connection)
        for statement in (PERSON, SERVER, SUBSCRIPTION, SEAT, PAYMENT, REFUND, LINE):
            connection.execute(text(statement))
    yield made
    made.dispose()


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_database_itself_forbids(furnished: Engine, statement: str) -> None:
    with furnished.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text(statement))


def test_what_was_there_before_the_ledger_opens_it(url: str, engine: Engine) -> None:
    flask("db", "downgrade", "base", DATABASE_URL=url)
    flask("db", "upgrade", "d5b64fee59f2", DATABASE_URL=url)
    given_back = PAYMENT.replace("'x'", "'y'").replace("request)", "request, status, paid_at)")
    with engine.begin() as connection:
        for statement in (PERSON, SUBSCRIPTION, PAYMENT, given_back.replace("'{}'", "'{}', 'refunded', now()")):
            connection.execute(text(statement))
    flask("db", "upgrade", DATABASE_URL=url)
    flask("ledger", "verify", DATABASE_URL=url)
    with engine.connect() as connection:
        lines = connection.execute(text("SELECT subject, status FROM ledger ORDER BY 1, 2")).all()
        refunded = connection.scalars(text("SELECT refunded_kopecks FROM payments ORDER BY 1")).all()
        codes = connection.scalars(text("SELECT code FROM plans ORDER BY 1")).all()
    assert [tuple(line) for line in lines] == [
        ("payment", "pending"),
        ("payment", "refunded"),
        ("subscription", "active"),
        ("subscription", "active"),
    ]
    assert refunded == [0, 10_000]
    assert codes == ["1m", "3m"]


# What a settle and an expire do after their first lock, in the order of the house.
RUNNING = {
    "a settle": (
        "SELECT 1 FROM payments FOR UPDATE",
        ("UPDATE payments SET status = 'succeeded', paid_at = now()", "UPDATE subscriptions SET expires_at = now()"),
    ),
    "an expire": (
        "SELECT 1 FROM subscriptions FOR UPDATE",
        ("SELECT 1 FROM seats FOR UPDATE", "UPDATE subscriptions SET status = 'expired'"),
    ),
    "a converge": (
        "SELECT 1 FROM seats FOR UPDATE",
        ("UPDATE seats SET attempts = 1", "UPDATE servers SET active_users = 1"),
    ),
    "an audit": ("SELECT 1 FROM seats", ("SELECT 1 FROM seats FOR UPDATE", "UPDATE seats SET attempts = 1")),
}


@pytest.fixture(scope="module")
def release_before(world: World) -> str:
    """A database as the release before left it, with one of everything: its name, to be copied."""
    name = f"before_{uuid4().hex}"
    url = world.postgres.create(name)
    flask("db", "upgrade", "3f6a0d81be59", DATABASE_URL=url)
    made = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    with made.begin() as connection:
        for statement in (PERSON, SERVER, SUBSCRIPTION, SEAT, PAYMENT):
            connection.execute(text(statement))
    made.dispose()
    return name


@pytest.fixture
def old_url(world: World, release_before: str) -> str:
    """Such a one of this test's own."""
    return world.postgres.create(f"copy_{uuid4().hex}", template=release_before)


@pytest.fixture
def before_counters(old_url: str) -> Iterator[Engine]:
    """A plain way into it."""
    made = create_engine(old_url.replace("postgresql://", "postgresql+psycopg2://"))
    yield made
    made.dispose()


def waits(engine: Engine) -> bool:
    """Whether somebody waits for a table."""
    with engine.connect() as connection:
        query = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation')"
        return bool(connection.scalar(text(query)))


@pytest.mark.parametrize("work", RUNNING)
def test_an_upgrade_under_a_running_service_costs_nobody_their_work(
    old_url: str, before_counters: Engine, work: str
) -> None:
    first, rest = RUNNING[work]
    command = [sys.executable, "-m", "flask", "db", "upgrade"]
    with before_counters.connect() as connection:
        connection.execute(text(first))
        running = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": old_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_until(lambda: waits(before_counters), seconds=30, what="the upgrade to wait for a table")
        if work != "an audit":
            with before_counters.connect() as reader:
                reader.execute(text("SET statement_timeout = 2000"))
                assert reader.scalar(text("SELECT count(*) FROM seats")) == 1, "whoever only reads goes on"
        for statement in rest:
            connection.execute(text(statement))  # no deadlock
        connection.commit()
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0, said
    assert tables(before_counters) == TABLES


def test_an_upgrade_that_finds_the_tables_in_use_says_so(old_url: str, before_counters: Engine) -> None:
    with before_counters.connect() as connection:
        connection.execute(text("SELECT 1 FROM payments FOR UPDATE"))
        answer = run_flask("db", "upgrade", "-x", "patience=0", DATABASE_URL=old_url)
        connection.rollback()
    assert answer.returncode == 1
    assert "the tables are in use, and nothing was changed" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "counters" not in tables(before_counters)
