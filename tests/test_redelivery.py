"""A message that Redis delivers a second time, because its worker has been silent past the visibility timeout."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import redis
import requests

from krotray_core import cabinet, provisioning
from krotray_core.models import Server, User
from krotray_tasks import celery, money
from sandbox.process import wait_until
from sandbox.world import World
from tests.conftest import at_checkout, buy
from tests.test_billing import days_of
from tests.test_tasks import worker

# Where kombu keeps what has been delivered and not yet acknowledged, and since when.
UNACKED, SINCE = "unacked", "unacked_index"


@pytest.fixture
def broker(fresh: World) -> redis.Redis:
    """What the workers see, empty."""
    client = redis.Redis.from_url(fresh.redis.url)
    client.flushall()
    return client


def test_the_first_worker_wakes_up_when_the_second_has_done_its_work(
    fresh: World, fleet: list[Server], user: User, broker: redis.Redis, tmp_path: Path
) -> None:
    assert fleet
    payment = buy(user)
    at_checkout(fresh, payment)
    hang = {"operation": "GET /v3/payments/{id}", "kind": "hang", "when": "before", "then": "go_on"}
    requests.post(f"{fresh.yookassa_url}/sandbox/faults", json=hang, timeout=5).raise_for_status()
    first = worker(fresh, tmp_path / "first.log")
    second = None
    try:
        money.settle.enqueue(str(payment.id))
        struck = requests.get(f"{fresh.yookassa_url}/sandbox/faults?wait=20", timeout=30).json()
        assert struck["hanging"], "it is in the middle of its work"
        os.killpg(first.pid, signal.SIGSTOP)
        (taken,) = broker.hkeys(UNACKED)
        timeout = celery.conf.broker_transport_options["visibility_timeout"]
        broker.zadd(SINCE, {taken: time.time() - timeout - 1})

        second = worker(fresh, tmp_path / "second.log")
        wait_until(
            lambda: cabinet.of_user(user.id).state == "active", seconds=30, what="the second worker to have it again"
        )
        requests.post(f"{fresh.yookassa_url}/sandbox/faults/release", json={}, timeout=5).raise_for_status()
        os.killpg(first.pid, signal.SIGCONT)
        first.stop(seconds=80)
        assert first.wait(1) == 0, "it ended what it had begun, then itself"
        wait_until(
            lambda: not broker.hlen(UNACKED) and not any(map(broker.llen, ("money", "access"))),
            seconds=30,
            what="no message to be left",
        )
    finally:
        for process in (first, second):
            if process:
                process.kill()
    assert days_of(user) == pytest.approx(30, abs=0.01), "counted once"
    assert provisioning.dirty_servers() == []


def test_every_message_delivered_twice_at_once(
    fresh: World, fleet: list[Server], broker: redis.Redis, tmp_path: Path, user: User
) -> None:
    """Two workers, and each message in the queue as often as that: nothing counts twice, nobody has two seats."""
    assert fleet
    payments = [buy(user, *what) for what in (("1m", "card"), ("1m", "sbp"), ("3m", "card"), ("3m", "sbp"))]
    for payment in payments:
        at_checkout(fresh, payment)
        money.settle.enqueue(str(payment.id))
    for message in broker.lrange("money", 0, -1):
        broker.lpush("money", *[message] * 3)
    workers = [worker(fresh, tmp_path / f"{number}.log") for number in range(2)]
    try:
        wait_until(
            lambda: not broker.hlen(UNACKED) and not any(map(broker.llen, ("money", "access"))),
            seconds=40,
            what="no message to be left",
        )
    finally:
        for process in workers:
            process.kill()
    assert days_of(user) == pytest.approx(240, abs=0.01)
    assert cabinet.of_user(user.id).state == "active"
