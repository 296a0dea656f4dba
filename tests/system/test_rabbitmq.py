"""RabbitMQ instead of Redis, by one setting: the same service, nothing lost, nobody kept waiting by a broker that is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import requests

from sandbox.person import Person
from sandbox.service import Service
from sandbox.tour import Tour
from sandbox.world import World
from tests.broker_kit import beat, publisher, worker
from tests.system.rabbitmq import RabbitMQ

PERIODS = {"SETTLE_SWEEP_SECONDS": "2", "REPAIR_SECONDS": "2", "WATCH_SECONDS": "10", "EXPIRY_SWEEP_SECONDS": "2"}
# From the moment at which RabbitMQ is back, until somebody who pays has the key.
BACK_SECONDS = 60
SOON = 3.0  # seconds: a deadline of one, on a busy machine
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ of our own."""
    made = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world outside."""
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(world: World, rabbit: RabbitMQ) -> Iterator[Service]:
    """The web process, with both servers; the other processes come and go."""
    made = Service(world, processes=("web",), settings=PERIODS | {"CELERY_BROKER_URL": rabbit.url})
    made.add_servers(world)
    yield made
    made.flask("ledger", "verify")
    made.stop()


@contextmanager
def running(service: Service, folder: Path) -> Iterator[None]:
    """A worker and a beat, for the length of a `with`."""
    processes = [worker(service.environment, folder / "worker.log")]
    try:
        processes.append(beat(service.environment, folder / "beat.log"))
        yield
    finally:
        for process in processes:
            process.kill()


def pays(world: World) -> Person:
    """Somebody new who buys and pays."""
    person = Person(world)
    person.pay(person.buy()["confirmation_url"])
    return person


def test_the_whole_purchase_goes_through_it(world: World, service: Service, rabbit: RabbitMQ, tmp_path: Path) -> None:
    with running(service, tmp_path):
        steps: list[str] = []
        Tour(world, service, steps.append).walk()
        assert len(steps) == 14
        found = {row["part"]: row for row in service.flask_json("doctor")}
        assert {part: found[part]["level"] for part in ("broker", "beat", "workers")} == dict.fromkeys(
            ("broker", "beat", "workers"), "ok"
        )
        listed = rabbit.ctl("list_queues", "name", "type", "durable", "consumers").splitlines()
        assert {tuple(row.split()) for row in listed if row.split()[0] in ("money", "access", "care")} == {
            (name, "classic", "true", "1") for name in ("money", "access", "care")
        }
    with redis.Redis.from_url(world.redis.url) as other:
        assert all(key.startswith(b"krotray:limits") for key in other.scan_iter()), "no message went through Redis"


def test_publishing_gives_up_in_time_and_goes_on_by_itself(service: Service, rabbit: RabbitMQ) -> None:
    """Refused, frozen, or choked by its own alarm: after a second, on a busy machine a little later. Then the first message gets
    through."""
    weather: list[tuple[Callable[[], None], Callable[[], None]]] = [
        (rabbit.freeze, rabbit.thaw),
        (rabbit.choke, rabbit.breathe),
        (rabbit.kill, rabbit.start),
    ]
    with publisher(service.environment) as one:
        for away, back in weather:
            away()
            try:
                for _ in range(2):  # over the connection that was there, then over a new one
                    enqueued, seconds = one.settle()
                    assert not enqueued, away
                    assert seconds < SOON, away
            finally:
                back()
            enqueued, seconds = one.settle()
            assert enqueued, back
            assert seconds < SOON
        rabbit.stop()
        rabbit.start()
        assert one.settle()[0], "a connection that was closed while nobody looked is replaced at once"
    assert requests.get(f"{service.url}/readyz", timeout=10).status_code == 200


@pytest.mark.parametrize("how", ["stopped", "frozen", "choked"])
def test_who_pays_while_it_is_away_has_the_key_soon_after(
    world: World, service: Service, rabbit: RabbitMQ, tmp_path: Path, how: str
) -> None:
    away, back = {
        "stopped": (rabbit.stop, rabbit.start),
        "frozen": (rabbit.freeze, rabbit.thaw),
        "choked": (rabbit.choke, rabbit.breathe),
    }[how]
    with running(service, tmp_path):
        away()
        try:
            person = pays(world)
            assert person.me()["state"] in ("payment_pending", "provisioning")
            ready = requests.get(f"{service.url}/readyz", timeout=10)
            if how != "choked":  # then it still answers
                assert (ready.status_code, ready.json()["missing"]) == (503, ["broker"])
        finally:
            back()
        person.wait_for("active", seconds=BACK_SECONDS)
        pays(world).wait_for("active", seconds=BACK_SECONDS)


def test_a_worker_killed_in_the_middle_loses_nothing(world: World, service: Service, tmp_path: Path) -> None:
    """No beat runs: RabbitMQ itself gives what was not acknowledged to the next worker, at once."""
    sandbox = f"{world.yookassa_url}/sandbox"
    first = worker(service.environment, tmp_path / "first.log")
    second = None
    try:
        hang = {"operation": "GET /v3/payments/{id}", "kind": "hang", "when": "before", "then": "go_on"}
        requests.post(f"{sandbox}/faults", json=hang, timeout=5).raise_for_status()
        person = pays(world)
        assert requests.get(f"{sandbox}/faults?wait=20", timeout=30).json()["hanging"], (
            "it is in the middle of its work"
        )
        first.kill()
        requests.post(f"{sandbox}/faults/release", json={}, timeout=5).raise_for_status()
        second = worker(service.environment, tmp_path / "second.log")
        assert person.wait_for("active", seconds=30)["subscription"]["days_left"] == 30
    finally:
        for process in (first, second):
            if process:
                process.kill()


def test_what_failed_is_tried_again_after_its_pause_without_any_sweep(
    world: World, service: Service, tmp_path: Path
) -> None:
    """A worker holds it until then, unacknowledged: for RabbitMQ that is half an hour too short to mind."""
    sandbox = f"{world.yookassa_url}/sandbox"
    one = worker(service.environment, tmp_path / "worker.log")
    try:
        fails = {"operation": "GET /v3/payments/{id}", "kind": "502", "when": "before", "times": 2}
        requests.post(f"{sandbox}/faults", json=fails, timeout=5).raise_for_status()
        person = pays(world)
        person.wait_for("active", seconds=30)
        assert "will be tried again" in (tmp_path / "worker.log").read_text()
    finally:
        one.kill()


def test_a_wrong_password_is_said_by_the_doctor(service: Service, rabbit: RabbitMQ) -> None:
    wrong = service.environment | {"CELERY_BROKER_URL": rabbit.url.replace("guest:guest", "guest:parole")}
    from tests.conftest import run_flask

    answer = run_flask("doctor", "--json", **wrong)
    assert answer.returncode == 1
    assert "look at CELERY_BROKER_URL" in answer.stdout
    assert "parole" not in answer.stdout + answer.stderr
