"""Processes that are told to stop, as systemd, Docker and honcho do it: begun work ends or goes back, all within seconds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import requests

from krotray_core import billing, provisioning
from krotray_core.models import Payment, Server, User
from krotray_tasks import money
from sandbox.process import Process, wait_until
from sandbox.world import ROOT, World
from tests.conftest import at_checkout, buy
from tests.test_billing import days_of

UNACKED = "unacked"
STOP_SECONDS = 25  # worker_soft_shutdown_timeout and a little; what the units give it is far more

Hang = Callable[[], None]


@pytest.fixture
def broker(fresh: World) -> redis.Redis:
    """An empty queue."""
    client = redis.Redis.from_url(fresh.redis.url)
    client.flushall()
    return client


@pytest.fixture
def hanging(fresh: World, fleet: list[Server]) -> Iterator[Hang]:
    """Makes YooKassa take a question and say nothing; the fixture's value waits until it has one in hand."""
    assert fleet
    hang = {"operation": "GET /v3/payments/{id}", "kind": "hang", "when": "before", "then": "go_on"}
    requests.post(f"{fresh.yookassa_url}/sandbox/faults", json=hang, timeout=5).raise_for_status()

    def struck() -> None:
        found = requests.get(f"{fresh.yookassa_url}/sandbox/faults?wait=20", timeout=30).json()
        assert found["hanging"], "a worker is in the middle of its task"

    yield struck
    requests.post(f"{fresh.yookassa_url}/sandbox/faults/release", json={}, timeout=5).raise_for_status()


def worker(world: World, log: Path) -> Process:
    """A worker by its line in the Procfile, through the script that the units run."""
    environment = os.environ | {"PATH": world.environment()["PATH"], "WORKER_CONCURRENCY": "2", "PYTHONUNBUFFERED": "1"}
    process = Process("worker", [str(ROOT / "deploy" / "run"), "worker"], log=log, env=environment, cwd=Path("/"))
    process.wait_ready(lambda: " ready." in log.read_text(), seconds=90)
    return process


def paid(world: World, user: User, count: int) -> list[Payment]:
    """Payments that have succeeded and that only the queue knows to ask about."""
    made = [buy(user, *what) for what in [("1m", "card"), ("1m", "sbp"), ("3m", "card"), ("3m", "sbp")][:count]]
    for payment in made:
        at_checkout(world, payment)
    return made


def done() -> bool:
    """Whether every payment has counted and every seat is confirmed."""
    return all(row.status == "succeeded" for row in billing.latest()) and provisioning.dirty_servers() == []


def test_what_can_end_in_time_ends(
    fresh: World, user: User, broker: redis.Redis, hanging: Hang, tmp_path: Path
) -> None:
    """It waits for the task in hand, and leaves what it has not begun to the next one."""
    payments = paid(fresh, user, 1)
    first = worker(fresh, tmp_path / "first.log")
    try:
        money.settle.enqueue(str(payments[0].id))
        hanging()
        first.signal(signal.SIGTERM)
        wait_until(lambda: "Soft Shutdown" in first.log.read_text(), seconds=5, what="the worker to hear it")
        requests.post(f"{fresh.yookassa_url}/sandbox/faults/release", json={}, timeout=5).raise_for_status()
        began = time.monotonic()
        assert first.wait(STOP_SECONDS) == 0
        assert time.monotonic() - began < STOP_SECONDS
    finally:
        first.kill()
    assert billing.latest()[0].status == "succeeded", "ended what it had begun"
    assert broker.hlen(UNACKED) == 0


def test_what_cannot_end_in_time_goes_back(
    fresh: World, user: User, broker: redis.Redis, hanging: Hang, tmp_path: Path
) -> None:
    """Four payments, two of them in hand and one of those hanging: the next worker has them all, with no sweep's help."""
    payments = paid(fresh, user, 4)
    first, second = worker(fresh, tmp_path / "first.log"), None
    try:
        money.settle.enqueue(str(payments[0].id))
        hanging()
        for payment in payments[1:]:
            money.settle.enqueue(str(payment.id))
        began = time.monotonic()
        first.signal(signal.SIGTERM)
        code = first.wait(STOP_SECONDS + 10)
        took = time.monotonic() - began
        assert took < STOP_SECONDS, first.tail(40)
        assert code == 0, first.tail(40)
        assert broker.hlen(UNACKED) == 0, "nothing is left in its hands"
        assert broker.llen("money") + broker.llen("access"), "it has put back what it did not end"
        second = worker(fresh, tmp_path / "second.log")
        wait_until(done, seconds=provisioning.LEASE.total_seconds() + 10, what="the second worker to end it all")
    finally:
        for process in (first, second):
            if process:
                process.kill()
    assert days_of(user) == pytest.approx(240, abs=0.01), "each counted once"


def test_web_is_restarted_without_a_refused_request(fresh: World, tmp_path: Path) -> None:
    """As krotray-web.socket has it: the port belongs to systemd, and callers wait in it while gunicorn is exchanged."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as port, ThreadPoolExecutor(4) as pool:
        url, over, answers = f"http://127.0.0.1:{port.getsockname()[1]}/healthz", threading.Event(), Counter[int]()

        def call() -> None:
            while not over.is_set():
                answers[requests.get(url, timeout=30).status_code] += 1

        web = _activated(fresh, port, tmp_path)
        try:
            callers = [pool.submit(call) for _ in range(4)]
            wait_until(lambda: answers[200] > 20, seconds=30, what="answers")
            web.send_signal(signal.SIGTERM)
            assert web.wait(25) == 0
            web = _activated(fresh, port, tmp_path)
            before = answers[200]
            wait_until(lambda: answers[200] > before + 20, seconds=30, what="answers")
            over.set()
            for caller in callers:
                caller.result(20)  # none was refused, none cut off
        finally:
            over.set()
            web.terminate()
            web.wait(25)
    assert answers.keys() == {200}


def _activated(world: World, port: socket.socket, tmp_path: Path) -> subprocess.Popen[bytes]:
    """web, with the port handed over the way systemd does it: file 3, and the number of the process that it is for."""
    hand_over = 'exec 3<&"$1"; export LISTEN_FDS=1 LISTEN_PID=$$; exec deploy/run web'
    environment = world.environment() | {"WEB_WORKERS": "1"}
    with (tmp_path / "web.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own command
            ["/bin/bash", "-c", hand_over, "web", str(port.fileno())],
            env=environment,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            pass_fds=[port.fileno()],
        )
