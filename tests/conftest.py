"""The real world for every test: PostgreSQL, Redis, two Xray servers and the sandbox YooKassa, started once a run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from krotray_core import checkout, clock, db, ledger, ledger_audit, provisioning, servers, settings, users
from krotray_core.errors import XrayUnavailable
from krotray_core.models import Base, Payment, Plan, Server, User
from krotray_core.xray.client import XrayClient
from sandbox.parts import XrayNode
from sandbox.person import Person
from sandbox.process import free_port, wait_until
from sandbox.simulated_xray import SimulatedXray
from sandbox.world import ROOT, World
from tests import pages

DATABASE = "tests"
# What is to be told is told at once, whatever the time of day is where the tests run.
os.environ["QUIET_HOURS"] = "0-0"
# The same examples in each run, however slow the machine; others with HYPOTHESIS_PROFILE=default.
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
# Files that take the longest, the longest first: `make test` deals whole files out to two processes, and none should be left
# with a long one at the end.
LONG = (
    *("test_crash_points.py", "test_storm.py", "test_whole_service.py", "test_chaos.py", "test_walk.py"),
    *("test_crash_converge.py", "test_demo.py", "test_migrations.py", "test_mini_app.py", "test_mini_app_screens.py"),
    *("test_bad_weather.py", "test_stop.py", "test_money_machine.py", "test_redelivery.py", "test_access_machine.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, then folder by folder, whose files share what was started for the first; the order within a file stays."""
    tests = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[int, bool, str, int, str]:
        path = item.path
        long = LONG.index(path.name) if path.name in LONG else len(LONG)
        return long, path.parent == ROOT / "tests", str(path.parent), -tests[path], path.name

    items.sort(key=place)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world outside the service; its settings are those of this process."""
    made = World(tmp_path_factory.mktemp("world"))
    made.postgres.create(DATABASE)
    os.environ.update(made.environment(DATABASE))
    settings.get.cache_clear()
    flask("db", "upgrade")
    yield made
    db.engine().dispose()
    made.stop()


def flask(*arguments: str, **settings_: str) -> subprocess.CompletedProcess[str]:
    """Runs a `flask` command as an admin would, in a process of its own; fails the test when it does not end with 0."""
    answer = run_flask(*arguments, **settings_)
    assert answer.returncode == 0, answer.stderr
    return answer


def run_flask(*arguments: str, **settings_: str) -> subprocess.CompletedProcess[str]:
    """Runs a `flask` command, however it ends."""
    return _run([str(Path(sys.executable).parent / "flask"), *arguments], os.environ | settings_)


def run_python(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Python in the project's folder, however it ends; by default with this process's settings."""
    return _run([sys.executable, *arguments], environment)


def _run(command: list[str], environment: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own commands
        command, cwd=ROOT, timeout=60, capture_output=True, text=True, check=False, env=environment
    )


@pytest.fixture
def fresh(world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world with an empty database and an empty YooKassa. Whatever a test does there, afterwards the ledger adds up."""
    empty_tables()
    requests.post(f"{world.yookassa_url}/sandbox/reset", timeout=5).raise_for_status()
    yield world
    if "writes_past_the_ledger" not in request.keywords:
        assert ledger_audit.verify().faults == ()


def empty_tables() -> None:
    """Forgets everything but the first tariffs."""
    tables = ", ".join(Base.metadata.tables)
    with db.transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))  # the ledger's own trigger would refuse
        session.execute(text(f"TRUNCATE {tables}"))  # the ids go on: no two tests share an e-mail in Xray
        session.add(Plan(code="1m", months=1, days=30, amount_kopecks=100_00))
        session.add(Plan(code="3m", months=3, days=90, amount_kopecks=250_00))


@pytest.fixture(scope="session")
def app(world: World) -> Flask:
    """The web application, in this process."""
    from krotray_api.app import create_app

    assert world
    made = create_app()
    made.testing = False  # errors are answered the way users see them
    return made


@pytest.fixture
def client(app: Flask, fresh: World) -> FlaskClient:
    """A browser."""
    assert fresh
    return app.test_client()


@pytest.fixture
def person(fresh: World) -> Person:
    """Somebody in Telegram."""
    return Person(fresh)


@pytest.fixture
def fleet(fresh: World) -> list[Server]:
    """Both Xray servers, added, with room for everybody."""
    return [add_server(node) for node in fresh.nodes]


@pytest.fixture
def alone(fresh: World) -> Iterator[Server]:
    """One server, whose Xray runs again after the test whatever the test did to it."""
    node = fresh.nodes[0]
    yield servers.add(
        name=node.name,
        host="127.0.0.1",
        grpc_port=node.grpc_port,
        max_users=1000,
        inbound_tag=None,
        vless_url_template=node.vless_url_template,
    )
    revive(node)


@pytest.fixture
def page() -> Iterator[str]:
    """The address of a page on loopback, to be fetched through a tunnel."""
    with pages.serving() as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def third_node(world: World) -> Iterator[XrayNode]:
    """A third Xray, not added yet."""
    assert world
    node = XrayNode("Third", world.folder / "third", grpc_port=free_port(), vless_port=free_port())
    yield node
    node.stop()


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Moves our clock (not YooKassa's, not PostgreSQL's) by a length of time, back too."""
    real, moved = clock.now, [timedelta(0)]
    monkeypatch.setattr(clock, "now", lambda: real() + moved[0])

    def move(by: timedelta) -> None:
        moved[0] += by

    return move


@pytest.fixture
def user(fresh: World) -> User:
    """A user of ours."""
    assert fresh
    return new_user()


def add_server(node: XrayNode | SimulatedXray, *, max_users: int = 1000) -> Server:
    """Adds one of the world's servers."""
    return servers.add(
        name=node.name,
        host="127.0.0.1",
        grpc_port=node.grpc_port,
        max_users=max_users,
        inbound_tag=None,
        vless_url_template=node.vless_url_template,
    )


def revive(node: XrayNode) -> None:
    """Starts a crashed Xray again, and waits until this process's channel to it has come back."""
    if not node.process.running:
        node.start()
    client = XrayClient(f"127.0.0.1:{node.grpc_port}", "vless-in")

    def answers() -> bool:
        with contextlib.suppress(XrayUnavailable):
            return client.uptime() >= 0
        return False

    wait_until(answers, seconds=5, what=f"{node.name} to answer again")


@contextmanager
def other_settings(**changed: str) -> Iterator[None]:
    """With these in the environment, read anew, and an engine that goes by them."""
    direct = db.engine()
    with pytest.MonkeyPatch.context() as patches:
        for name, value in changed.items():
            patches.setenv(name, value)
        settings.get.cache_clear()
        db.engine.cache_clear()
        yield
        db.engine().dispose()
    settings.get.cache_clear()
    db.engine.cache_clear()
    direct.dispose()


def new_user() -> User:
    """Somebody new."""
    new_user.last = getattr(new_user, "last", 10**9) + 1  # type: ignore[attr-defined]
    return users.greet(users.Person(new_user.last, first_name="Анна"))  # type: ignore[attr-defined]


def converge_all() -> None:
    """What the workers would do about dirty seats."""
    for server_id in provisioning.dirty_servers():
        provisioning.converge(server_id)


def buy(user: User, plan: str = "1m", method: str = "card") -> Payment:
    """A payment that waits to be paid; while it does, asking for the same again gives the same one."""
    return checkout.start(user.id, plan, method)


def at_checkout(world: World, payment: Payment, action: str = "pay", **body: object) -> None:
    """Does something to a payment at YooKassa: pay, decline, cancel, tamper."""
    url = f"{world.yookassa_url}/sandbox/payments/{payment.external_id}/{action}"
    requests.post(url, json=body, timeout=10).raise_for_status()


def believe_dead(payment: Payment) -> None:
    """We take it for cancelled, whatever YooKassa knows."""
    with db.transaction() as session:
        row = session.get_one(Payment, payment.id)
        row.status, row.cancel_reason = "canceled", "expired_on_confirmation"
        ledger.payment(session, row, "canceled", clock.now())


def at_once(count: int, work: object) -> list[object]:
    """Calls `work(number)` from `count` threads at the same moment; returns the answers in order."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))  # type: ignore[arg-type]
