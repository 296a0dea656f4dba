"""PgBouncer in transaction mode, with few connections: nothing of ours needs a session, and no deadline is lost on the way."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from krotray_core import db, ledger_audit, settings, yookassa
from sandbox.parts import Postgres
from sandbox.person import Person
from sandbox.process import Process, free_port
from sandbox.service import Service
from sandbox.tour import Tour
from sandbox.world import World
from tests import conftest, test_races
from tests.system.conftest import installed

POOL = 5
CONFIGURATION = """
[databases]
* = user=postgres host=127.0.0.1 port={postgres}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 500
query_wait_timeout = 15
{more}
"""
pytestmark = pytest.mark.timeout(900)


class PgBouncer:
    """A PgBouncer in front of a PostgreSQL, in transaction mode."""

    def __init__(self, folder: Path, postgres: Postgres, *, more: str = "") -> None:
        self.port = free_port()
        folder.mkdir(parents=True)
        (folder / "users").write_text('"postgres" ""\n')
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(postgres=postgres.port, port=self.port, folder=folder, pool=POOL, more=more)
        )
        program = installed("pgbouncer", "pgbouncer")
        # It refuses to be root, so somebody else must find the way to its files.
        for path in (*folder.iterdir(), folder, *folder.parents):
            path.chmod(path.stat().st_mode | (0o044 if path.is_file() else 0o011))
        user = "nobody" if os.geteuid() == 0 else None
        self.process = Process("PgBouncer", [program, str(configuration)], log=folder / "pgbouncer.log", user=user)
        self.process.wait_ready(self._answers)

    def url(self, database: str) -> str:
        """Where a database is, through it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=1).close()
        except psycopg2.OperationalError:
            return False
        return True


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world outside, with a database for the tests in this process."""
    made = World(tmp_path_factory.mktemp("pooled"))
    made.postgres.create(conftest.DATABASE)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def bouncer(own_world: World) -> Iterator[PgBouncer]:
    """Between the service and the database."""
    made = PgBouncer(own_world.folder / "pgbouncer", own_world.postgres)
    yield made
    made.process.stop()


@pytest.fixture
def world(own_world: World, bouncer: PgBouncer) -> Iterator[World]:
    """The same, seen by this process only through PgBouncer, migrations included."""
    before = dict(os.environ)
    through = {"DATABASE_URL": bouncer.url(conftest.DATABASE), "DATABASE_POOLER": "transaction"}
    os.environ.update(own_world.environment(conftest.DATABASE) | through)
    forget()
    conftest.flask("db", "upgrade")
    yield own_world
    forget()
    os.environ.clear()
    os.environ.update(before)


def forget() -> None:
    """The settings, and what this process has made by them, are made anew when next asked for."""
    if db.engine.cache_info().currsize:
        db.engine().dispose()
    db.engine.cache_clear()
    settings.get.cache_clear()
    yookassa._client.cache_clear()


def connections(world: World) -> int:
    """How many connections PgBouncer has to PostgreSQL, for this database."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
    connection = psycopg2.connect(world.postgres.url("postgres"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(asked, [conftest.DATABASE])
            return int(cursor.fetchone()[0])
    finally:
        connection.close()


def test_the_whole_service_lives_behind_it(own_world: World, bouncer: PgBouncer) -> None:
    """Migrations, commands, web, workers, beat: all through it, and no session of its own for any of them."""
    environment = {
        "DATABASE_URL": bouncer.url("krotray"),
        "DATABASE_POOLER": "transaction",
        "WATCH_SECONDS": "1",
        "REPAIR_SECONDS": "2",
        "SETTLE_SWEEP_SECONDS": "2",
    }
    service = Service(own_world, processes=("web", "worker", "beat"), settings=environment)
    try:
        service.add_servers(own_world)
        steps: list[str] = []
        Tour(own_world, service, steps.append).walk()
        assert len(steps) == 14
        people = [Person(own_world) for _ in range(10)]
        for person in people:
            person.pay(person.buy()["confirmation_url"])
        for person in people:
            person.wait_for("active", seconds=30)
        found = service.flask_json("doctor")
        assert not [row for row in found if row["level"] == "failed"]
        of_the_sandbox = ("settings", "YooKassa", "Mini App")  # warned of, for being one
        assert not [row for row in found if row["level"] == "warning" and row["part"] not in of_the_sandbox]
        service.flask("ledger", "verify")
        log = service.process.log.read_text(errors="replace")
        assert "Traceback" not in log
    finally:
        service.stop()


def test_deadlines_hold_in_each_transaction_and_nothing_stays_behind(world: World) -> None:
    assert world
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")

    selected = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    for _ in range(2 * POOL):
        with db.transaction() as session:
            assert list(session.execute(text(selected)).one()) == ["15s", "5s", "30s", "UTC"]
            assert list(session.execute(text(selected)).one()) == ["15s", "5s", "30s", "UTC"]
    stranger = psycopg2.connect(os.environ["DATABASE_URL"])
    try:
        with stranger.cursor() as cursor:
            cursor.execute(selected)
            assert list(cursor.fetchone())[:3] == ["0", "0", "0"]
    finally:
        stranger.close()


def test_the_very_first_statement_has_its_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world
    monkeypatch.setitem(db.SESSION, "statement_timeout", "300")
    forget()
    began = time.monotonic()
    with pytest.raises(OperationalError, match="statement timeout"), db.transaction() as session:
        session.execute(text("SELECT pg_sleep(10)"))
    assert time.monotonic() - began < 3


def test_many_hands_share_few_connections(fresh: World) -> None:
    """50 threads at once: they wait their turn; PostgreSQL never sees more than the pool."""
    most, over = SimpleNamespace(connections=0), threading.Event()

    def count() -> None:
        while not over.wait(0.05):
            most.connections = max(most.connections, connections(fresh))

    counting = threading.Thread(target=count)
    counting.start()
    try:
        people = conftest.at_once(50, lambda _: conftest.new_user())
        payments = conftest.at_once(50, lambda number: conftest.buy(people[number]))  # type: ignore[call-overload]
    finally:
        over.set()
        counting.join()
    assert len({payment.id for payment in payments}) == 50  # type: ignore[attr-defined]
    assert 2 <= most.connections <= POOL


@pytest.fixture
def fresh(world: World) -> Iterator[World]:
    """The world with an empty database; its own, so that it comes after PgBouncer."""
    conftest.empty_tables()
    yield world
    assert ledger_audit.verify().faults == ()


def test_a_storm_of_everything_at_once(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks, leases, claims, savepoints, ten hands at once: as without it."""
    monkeypatch.setattr(test_races, "STORM_SECONDS", 8)
    test_races.test_a_storm_of_everything_at_once(fresh)


def test_without_the_setting_the_doctor_says_what_to_do(own_world: World, bouncer: PgBouncer) -> None:
    environment = own_world.environment(conftest.DATABASE) | {"DATABASE_URL": bouncer.url(conftest.DATABASE)}
    answer = conftest.run_flask("doctor", **environment)
    assert answer.returncode == 1
    assert "DATABASE_POOLER=transaction" in answer.stdout


def test_a_pooler_that_ignores_our_deadlines_is_found_out(own_world: World) -> None:
    """With ignore_startup_parameters=options all seems well; only that nothing has a deadline any more."""
    deaf = PgBouncer(own_world.folder / "deaf", own_world.postgres, more="ignore_startup_parameters = options")
    try:
        environment = own_world.environment(conftest.DATABASE) | {"DATABASE_URL": deaf.url(conftest.DATABASE)}
        answer = conftest.run_flask("doctor", **environment)
        assert "DATABASE_POOLER=transaction" in answer.stdout
    finally:
        deaf.process.stop()
