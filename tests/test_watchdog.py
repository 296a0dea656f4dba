"""Nobody at work: the admins hear of it from those who are left, once, and not of every short moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from krotray_core import heartbeats, leases, settings, subscriptions, watchdog
from krotray_core.db import transaction
from krotray_core.models import Notice, Seat, Server, User
from sandbox.process import wait_until
from sandbox.world import World
from tests.cli.kit import Admin
from tests.conftest import converge_all
from tests.test_tasks import beat

ADMIN = 4242
MINUTE = timedelta(minutes=1)
PassTime = Callable[[timedelta], None]


@pytest.fixture(autouse=True)
def admin_id(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One admin; a beat that runs, a worker that was just seen."""
    assert fresh
    told = settings.get().model_copy(update={"admin_telegram_ids": (ADMIN,)})
    monkeypatch.setattr(settings, "get", lambda: told)
    heartbeats._noted.clear()
    heartbeats.note("celery@here")
    assert leases.take(heartbeats.BEAT, "a beat", timedelta(hours=1))


def kinds() -> list[str]:
    """What the admin was told, or is about to be."""
    with transaction() as session:
        return list(session.scalars(select(Notice.kind).where(Notice.telegram_id == ADMIN).order_by(Notice.id)))


def worker_seen(ago: timedelta) -> None:
    """When a worker was seen last."""
    with transaction() as session:
        session.execute(text("UPDATE marks SET at = now() - :ago WHERE name LIKE 'worker:%'"), {"ago": ago})


def test_all_is_well() -> None:
    assert not watchdog.look()
    assert kinds() == []


def test_nobody_at_work_is_told_once_and_again_after_a_day(pass_time: PassTime) -> None:
    worker_seen(4 * MINUTE)
    assert not watchdog.look()
    worker_seen(6 * MINUTE)
    assert watchdog.look()
    assert watchdog.look()
    assert kinds() == ["workers_away"]
    pass_time(timedelta(days=1, minutes=1))
    watchdog.look()
    assert kinds() == ["workers_away"] * 2


def test_what_comes_and_goes_is_one_alarm(pass_time: PassTime) -> None:
    for _ in range(4):
        worker_seen(6 * MINUTE)
        watchdog.look()
        worker_seen(timedelta(0))
        watchdog.look()
        pass_time(5 * MINUTE)
    assert kinds() == ["workers_away"]
    pass_time(watchdog.QUIET)
    watchdog.look()
    worker_seen(6 * MINUTE)
    watchdog.look()
    assert kinds() == ["workers_away"] * 2, "after half an hour of peace it is another one"


def test_a_beat_that_is_away_for_a_moment_is_nobody_s_alarm(pass_time: PassTime) -> None:
    for _ in range(3):  # restarted again and again: never long
        leases.give_back(heartbeats.BEAT, "a beat")
        watchdog.look()
        pass_time(2 * MINUTE)
        watchdog.look()
        assert leases.take(heartbeats.BEAT, "a beat", timedelta(hours=1))
        watchdog.look()
        pass_time(2 * MINUTE)
    assert kinds() == []
    leases.give_back(heartbeats.BEAT, "a beat")
    watchdog.look()
    pass_time(6 * MINUTE)
    watchdog.look()
    assert kinds() == ["beat_away"]


def test_who_has_paid_and_has_no_key_for_long(fleet: list[Server], user: User) -> None:
    assert fleet
    subscriptions.grant(user.telegram_id, 30)
    watchdog.look()
    assert kinds() == []
    with transaction() as session:
        session.execute(update(Seat).values(dirty_since=Seat.dirty_since - 6 * MINUTE))
    watchdog.look()
    watchdog.look()
    assert kinds() == ["paid_without_key"]
    with transaction() as session:
        assert session.scalars(select(Notice.data)).one()["people"] == 1
    converge_all()
    watchdog.look()
    assert kinds() == ["paid_without_key"]


def test_before_the_first_worker_nothing_is_wrong(pass_time: PassTime) -> None:
    with transaction() as session:
        session.execute(text("DELETE FROM marks"))
        session.execute(text("DELETE FROM leases"))
    watchdog.look()
    pass_time(timedelta(hours=1))
    assert not watchdog.look()
    assert kinds() == []


def test_the_beat_itself_tells_of_it_when_no_worker_is_left(fresh: World, tmp_path: Path) -> None:
    worker_seen(10 * MINUTE)
    with transaction() as session:
        session.execute(text("DELETE FROM leases"))
    assert fresh.telegram_url
    running = beat(tmp_path / "beat.log", ADMIN_TELEGRAM_IDS=str(ADMIN))
    try:
        wait_until(lambda: "workers_away" in kinds() and _tried(), seconds=40, what="the beat to speak up")
    finally:
        running.kill()


def _tried() -> bool:
    """Telegram was asked to take it (whether this admin has ever talked to the bot is another matter)."""
    with transaction() as session:
        return bool(session.scalar(select(Notice.attempts).where(Notice.kind == "workers_away")))


def test_doctor_says_when_somebody_was_seen_at_work(app: Flask) -> None:
    worker_seen(10 * MINUTE)
    result = Admin(app).run("doctor", "--json")
    said = {row["part"]: row["finding"] for row in json.loads(result.stdout)}
    assert "seen at work 10 min ago" in said["workers"]
