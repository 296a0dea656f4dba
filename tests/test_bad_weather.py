"""Redis and PostgreSQL away, frozen, empty or back under a running service: it says so, loses nothing, and comes back by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.parts import vpn
from sandbox.person import Person
from sandbox.process import wait_until
from sandbox.service import Service
from sandbox.world import World

# WATCH_SECONDS as it is by default: who meets a dead server first need not wait for the next look.
PERIODS = {"SETTLE_SWEEP_SECONDS": "2", "REPAIR_SECONDS": "2", "WATCH_SECONDS": "10", "EXPIRY_SWEEP_SECONDS": "2"}
# From the moment at which what was away is back, until somebody who pays has the key.
BACK_SECONDS = 40
# What is said first when the broker has gone: by a worker, and by whoever had something to ask of one.
NOTICED = {"killed": "Connection to broker lost", "frozen": "was not enqueued"}


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that may be broken."""
    made = World(tmp_path_factory.mktemp("weather"), durable=True)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(own_world: World) -> Iterator[Service]:
    """web, worker and beat, running all the time."""
    made = Service(own_world, processes=("web", "worker", "beat"), settings=PERIODS)
    made.add_servers(own_world)
    yield made
    made.flask("ledger", "verify")
    made.stop()


def pays(world: World) -> Person:
    """Somebody new who buys and pays."""
    person = Person(world)
    person.pay(person.buy()["confirmation_url"])
    return person


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_who_pays_while_redis_is_away_has_the_key_soon_after(own_world: World, service: Service, how: str) -> None:
    redis, before = own_world.redis, len(said(service))
    if how == "killed":
        redis.process.kill()
    else:
        redis.process.signal(signal.SIGSTOP)
    try:
        person = pays(own_world)
        assert person.me()["state"] in ("payment_pending", "provisioning")
        ready = requests.get(f"{own_world.web_url}/readyz", timeout=10)
        assert (ready.status_code, ready.json()["missing"]) == (503, ["broker"])
        wait_until(lambda: NOTICED[how] in said(service)[before:], seconds=20, what="it to be noticed", pause=0.2)
    finally:
        if how == "killed":
            redis.start()
        else:
            redis.process.signal(signal.SIGCONT)
    person.wait_for("active", seconds=BACK_SECONDS)
    pays(own_world).wait_for("active", seconds=BACK_SECONDS)


def said(service: Service) -> str:
    """All that the service's processes have logged."""
    return service.process.log.read_text(errors="replace")


def test_who_pays_when_redis_forgets_everything_has_the_key_soon_after(own_world: World, service: Service) -> None:
    assert service
    person = pays(own_world)
    flush(own_world)
    person.wait_for("active", seconds=BACK_SECONDS)
    pays(own_world).wait_for("active", seconds=BACK_SECONDS)


def flush(world: World) -> None:
    """Everything that Redis holds is gone."""
    import redis

    with redis.Redis.from_url(world.redis.url) as broker:
        broker.flushall()


def test_a_buyer_whose_server_has_just_died_is_served_elsewhere_soon(
    own_world: World, service: Service, page: str, tmp_path: Path
) -> None:
    node = own_world.nodes[0]
    node.crash()
    try:
        buyers = [pays(own_world) for _ in range(4)]
        for buyer in buyers:
            subscription = buyer.wait_for("active", seconds=30)["subscription"]
            assert subscription["server"]["name"] != node.name
        with vpn(subscription["vless_url"], tmp_path) as client:
            assert client.fetch(page)
    finally:
        node.start()
    wait_until(
        lambda: all(row["up"] for row in service.flask_json("servers", "list")), seconds=20, what="it to be seen again"
    )


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_postgresql_blinks_under_load(own_world: World, service: Service, how: str) -> None:
    """Requests meanwhile are refused with 503 and Retry-After, never 500; nobody's payment is lost, no seat half done."""
    assert service
    over = threading.Event()
    seen: list[tuple[int, str | None]] = []
    people = [Person(own_world) for _ in range(4)]

    def load(person: Person) -> None:
        while not over.is_set():
            answer = requests.get(
                f"{own_world.web_url}/api/me", headers={"X-Telegram-Init-Data": person.init_data()}, timeout=20
            )
            seen.append((answer.status_code, answer.headers.get("Retry-After")))

    threads = [threading.Thread(target=load, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    try:
        buyer = pays(own_world)
        wait_until(lambda: len(seen) > 20, seconds=20, what="some load")
        if how == "killed":
            own_world.postgres.process.kill()
        else:
            own_world.postgres.stop()
        wait_until(lambda: any(status == 503 for status, _ in seen), seconds=20, what="a request to be refused")
        own_world.postgres.start()
        count = len(seen)
        wait_until(
            lambda: [status for status, _ in seen[count:]].count(200) > 20, seconds=BACK_SECONDS, what="200s again"
        )
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in seen} == {200, 503}
    assert {pause is not None for status, pause in seen if status == 503} == {True}
    buyer.wait_for("active", seconds=BACK_SECONDS)
    pays(own_world).wait_for("active", seconds=BACK_SECONDS)
    assert {row["level"] for row in service.flask_json("servers", "check")} == {"ok"}
