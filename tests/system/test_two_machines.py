"""Two machines, each with a worker and a beat: both work, one fires, and when one is gone nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from krotray_tasks.beat import ASK_SECONDS, LEASE_LENGTH
from sandbox.person import Person
from sandbox.process import wait_until
from sandbox.service import Service
from sandbox.world import ROOT, World
from tests.broker_kit import fires
from tests.system.machines import Machine

PERIODS = {"SETTLE_SWEEP_SECONDS": "2", "REPAIR_SECONDS": "2", "WATCH_SECONDS": "1", "EXPIRY_SWEEP_SECONDS": "2"}
CELERY = [sys.executable, "-m", "celery", "-A", "krotray_tasks"]
WORKER = [*CELERY, "worker", "-Q", "money,access,care", "-c", "2", "--without-gossip", "--without-mingle"]
WORKER += ["--loglevel", "INFO"]
BEAT = [*CELERY, "beat", "--loglevel", "INFO"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The world outside."""
    made = World(tmp_path / "world")
    yield made
    made.stop()


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    """The web process on this machine."""
    made = Service(world, processes=("web",), settings=PERIODS)
    made.add_servers(world)
    yield made
    made.flask("ledger", "verify")
    made.stop()


@pytest.fixture
def machines(world: World, service: Service, tmp_path: Path) -> Iterator[list[Machine]]:
    """Two, from which all that a worker needs can be reached."""
    urls = (service.environment[name] for name in ("DATABASE_URL", "REDIS_URL", "YOOKASSA_API_URL", "TELEGRAM_API_URL"))
    ports = [*(urlsplit(url).port for url in urls), *(node.grpc_port for node in world.nodes)]
    made = [Machine(number, tmp_path, [port for port in ports if port]) for number in (1, 2)]
    yield made
    for machine in made:
        machine.remove()


def pays(world: World) -> Person:
    """Somebody new who buys and pays."""
    person = Person(world)
    person.pay(person.buy()["confirmation_url"])
    return person


@pytest.mark.timeout(900)
def test_both_work_one_fires_and_the_loss_of_a_machine_loses_nothing(
    world: World, service: Service, machines: list[Machine]
) -> None:
    first, second = machines
    for machine in machines:
        working = machine.run("worker", WORKER, service.environment)
        working.wait_ready(lambda machine=machine: " ready." in machine.log("worker").read_text(), seconds=60)
        if machine.isolated:
            assert f"celery@{machine.name} ready" in machine.log("worker").read_text()
    firing = first.run("beat", BEAT, service.environment)
    firing.wait_ready(lambda: fires(first.log("beat")) > 0, seconds=40)
    idle = second.run("beat", BEAT, service.environment)
    idle.wait_ready(lambda: "beat: Starting" in second.log("beat").read_text(), seconds=40)

    for person in [pays(world) for _ in range(6)]:
        person.wait_for("active", seconds=30)
    done = worked(service)
    assert len(done) == 2
    assert min(done) > 3, done
    before = fires(first.log("beat"))
    wait_until(lambda: fires(first.log("beat")) > before + 8, seconds=20, what="the beat to go on")
    assert fires(second.log("beat")) == 0, "one beat fires, each tick once"

    sandbox = f"{world.yookassa_url}/sandbox"
    hang = {"operation": "GET /v3/payments/{id}", "kind": "hang", "when": "before", "then": "close", "times": 4}
    requests.post(f"{sandbox}/faults", json=hang, timeout=5).raise_for_status()
    buyers = [pays(world) for _ in range(4)]  # more than one machine has hands
    assert requests.get(f"{sandbox}/faults?wait=20&fired=4", timeout=30).json()["hanging"]
    first.crash()
    died = time.monotonic()
    requests.post(f"{sandbox}/faults/release", json={}, timeout=5).raise_for_status()
    longest = LEASE_LENGTH.total_seconds() + ASK_SECONDS + 5
    wait_until(lambda: fires(second.log("beat")) > 0, seconds=longest, what="the second beat to take over")
    assert time.monotonic() - died <= longest
    for person in buyers:
        assert person.wait_for("active", seconds=60)["subscription"]["days_left"] == 30
    assert first.written() == second.written() == [], "nothing of ours relies on a disk"


def worked(service: Service) -> list[int]:
    """How many tasks each worker has begun."""
    answer = subprocess.run(  # noqa: S603 - our own commands
        [*CELERY, "inspect", "stats", "--json", "--timeout", "5"],
        env=service.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [sum(stats["total"].values()) for stats in json.loads(answer.stdout.splitlines()[0]).values()]
