"""Celery: haste without dependence. The broker may be away, messages may be lost or doubled, beats may be two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from celery.exceptions import Retry

from krotray_core import billing, leases, provisioning
from krotray_core.db import transaction
from krotray_core.errors import GatewayUnavailable
from krotray_core.models import Server, User
from krotray_tasks import access, celery, money
from krotray_tasks.base import LONGEST_PAUSE_SECONDS
from sandbox.parts import Redis
from sandbox.process import Process, wait_until
from sandbox.world import ROOT, World
from tests.conftest import at_checkout, buy
from tests.test_billing import days_of


def test_nothing_is_enqueued_ahead_of_a_commit(fresh: World) -> None:
    assert fresh
    with transaction(), pytest.raises(RuntimeError, match="inside a transaction"):
        access.converge.enqueue(1)


# A process like a web worker; Redis is frozen (the worst kind of away: it accepts and says nothing), then dead, under it.
_PUBLISHER = """
import json, os, signal, sys, time
from krotray_tasks import money

def seconds():
    began = time.monotonic()
    return [money.settle.enqueue("0"), time.monotonic() - began]

redis, said = int(sys.argv[1]), {"up": seconds()}
os.kill(redis, signal.SIGSTOP)
said["frozen"] = seconds()
os.kill(redis, signal.SIGCONT)
said["thawed"] = seconds()
os.kill(redis, signal.SIGKILL)
said["dead"] = seconds()
print(json.dumps(said))
"""


def test_enqueueing_takes_no_longer_than_a_second_or_so_when_redis_is_away(world: World, tmp_path: Path) -> None:
    assert world
    redis = Redis(tmp_path / "redis.log")
    answer = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", _PUBLISHER, str(redis.process.pid)],
        env=os.environ | {"REDIS_URL": redis.url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    redis.process.kill()
    assert answer.returncode == 0, answer.stderr
    said = json.loads(answer.stdout)
    assert [said[name][0] for name in ("up", "frozen", "thawed", "dead")] == [True, False, True, False]
    assert said["frozen"][1] < 1.5
    assert said["dead"][1] < 1.0


def test_bad_weather_is_tried_again_with_growing_pauses(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh

    def away(_payment_id: object, **_options: object) -> None:
        raise GatewayUnavailable("away")

    monkeypatch.setattr(billing, "settle", away)

    def pause_of(retries: int) -> float:
        money.settle.push_request(retries=retries, called_directly=False, is_eager=False, delivery_info={})
        with pytest.raises(Retry) as error:
            money.settle(str(uuid4()))
        money.settle.pop_request()
        return float(error.value.when)

    monkeypatch.setattr(money.settle, "retry", lambda exc, countdown: Retry(exc=exc, when=countdown))
    pauses = [pause_of(retries) for retries in range(money.settle.max_retries)]
    assert pauses[-1] > pauses[0]
    assert max(pauses) <= LONGEST_PAUSE_SECONDS < celery.conf.broker_transport_options["visibility_timeout"]


def test_every_task_is_late_limited_and_expires_as_a_tick(world: World) -> None:
    assert world
    celery.loader.import_default_modules()  # those that a worker knows
    tasks = [task for name, task in celery.tasks.items() if name.startswith("krotray_tasks.")]
    assert len(tasks) >= 8
    for task in tasks:
        assert task.acks_late
        assert task.ignore_result
        assert task.soft_time_limit or celery.conf.task_soft_time_limit
    for entry in celery.conf.beat_schedule.values():
        assert entry["task"] in celery.tasks
        assert entry["options"]["expires"] <= max(entry["schedule"], 1)


def worker(world: World, log: Path, *, queues: str = "money,access,care", **settings_: str) -> Process:
    """A real worker."""
    environment = os.environ | {"PATH": world.environment()["PATH"]} | settings_
    command = [sys.executable, "-m", "celery", "-A", "krotray_tasks", "worker", "-Q", queues, "-c", "2"]
    command += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
    process = Process("worker", command, log=log, env=environment, cwd=ROOT)
    process.wait_ready(lambda: " ready." in log.read_text(), seconds=90)
    return process


def beat(log: Path, **settings_: str) -> Process:
    """A real beat."""
    command = [sys.executable, "-m", "krotray_tasks.beat"]
    return Process("beat", command, log=log, env=os.environ | settings_, cwd=ROOT)


def fires(log: Path) -> int:
    """How many ticks a beat has sent."""
    return log.read_text(errors="replace").count("Sending due task") if log.exists() else 0


def test_of_two_beats_one_fires_and_the_other_takes_over(fresh: World, tmp_path: Path) -> None:
    assert fresh
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    with transaction() as session:
        session.connection().exec_driver_sql("DELETE FROM leases")
    first = beat(logs[0], WATCH_SECONDS="1")
    second = None
    try:
        first.wait_ready(lambda: fires(logs[0]) >= 6)
        second = beat(logs[1], WATCH_SECONDS="1")
        second.wait_ready(lambda: "beat: Starting" in logs[1].read_text())
        before = fires(logs[0])
        wait_until(lambda: fires(logs[0]) >= before + 4, seconds=20, what="the first beat to go on")
        assert fires(logs[1]) == 0
        first.kill()
        wait_until(lambda: fires(logs[1]) >= 6, seconds=30, what="the second beat to take over")
        second.stop()
        assert leases.take("beat", "a third", timedelta(seconds=1)), "a clean stop leaves the lease to the next at once"
    finally:
        first.kill()
        if second:
            second.kill()


def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(
    fresh: World, fleet: list[Server], user: User, tmp_path: Path
) -> None:
    """kill -9 of the worker with all messages in it: the sweeps of the next one find all the work in the database."""
    assert fleet
    payments = [buy(user, *what) for what in (("1m", "card"), ("1m", "sbp"), ("3m", "card"), ("3m", "sbp"))]
    for payment in payments:
        at_checkout(fresh, payment)
    first = worker(fresh, tmp_path / "first.log")
    for payment in payments:
        money.settle.enqueue(str(payment.id))
    first.kill()
    # Flushed as well: nothing of the queue is left.
    with celery.connection_for_write() as connection:
        connection.default_channel.client.flushall()
    ticking = beat(tmp_path / "beat.log", SETTLE_SWEEP_SECONDS="1", REPAIR_SECONDS="1")
    second = worker(fresh, tmp_path / "second.log", SETTLE_SWEEP_SECONDS="1")
    try:
        wait_until(
            lambda: all(row.status == "succeeded" for row in billing.latest()) and provisioning.dirty_servers() == [],
            seconds=provisioning.LEASE.total_seconds() + 30,  # the killed worker may have held one
            what="the sweeps to find everything",
        )
        # Celery's warm shutdown takes half a minute now and then: the README tells supervisors to wait.
        second.stop(seconds=80)
        assert second.wait(1) == 0, "a clean stop"
    finally:
        for process in (ticking, second):
            process.kill()
    assert days_of(user) == pytest.approx(240, abs=0.01), "give or take the minutes that this took"
