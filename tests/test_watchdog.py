"""Nobody at work: the admins hear of it from those who are left, once, and not of every short moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from krotray_core import billing, heartbeats, leases, settings, subscriptions, watchdog
from krotray_core.db import transaction
from krotray_core.models import Notice, Payment, Seat, Server, User
from krotray_tasks import alive, celery
from krotray_tasks.beat import LeasedScheduler
from sandbox.process import wait_until
from sandbox.world import World
from tests.cli.kit import Admin
from tests.conftest import at_checkout, buy, converge_all

ADMIN = 4242
MINUTE = timedelta(minutes=1)
PassTime = Callable[[timedelta], None]


@pytest.fixture(autouse=True)
def admin_id(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One admin; a beat that runs, a worker that was just seen."""
    assert fresh
    told = settings.get().model_copy(update={"admin_telegram_ids": (ADMIN,)})
    monkeypatch.setattr(settings, "get", lambda: told)
    heartbeats.note("celery@here", ["access", "care"])
    heartbeats.note("celery@there", ["money"])
    assert leases.take(heartbeats.BEAT, "a beat", timedelta(hours=1))


def kinds() -> list[str]:
    """What the admin was told, or is about to be."""
    with transaction() as session:
        return list(session.scalars(select(Notice.kind).where(Notice.telegram_id == ADMIN).order_by(Notice.id)))


def told() -> dict[str, Any]:
    """What the only notice to the admin holds."""
    with transaction() as session:
        data: dict[str, Any] = session.scalars(select(Notice.data).where(Notice.telegram_id == ADMIN)).one()
        return data


def worker_seen(ago: timedelta, on: str = "") -> None:
    """When the workers (on these queues only, if any are named) said last that they live."""
    with transaction() as session:
        moved = text("UPDATE marks SET at = now() - :ago WHERE name LIKE :workers")
        session.execute(moved, {"ago": ago, "workers": f"worker:{on}%"})


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


def test_a_queue_that_nobody_works_on_is_told_of_by_its_name() -> None:
    worker_seen(6 * MINUTE, on="money")
    assert watchdog.look(), "and those who look send it themselves: it might be the queue of the notices"
    watchdog.look()
    assert kinds() == ["queue_away"]
    assert told()["queue"] == "money"
    worker_seen(6 * MINUTE)
    watchdog.look()
    assert kinds() == ["queue_away", "workers_away"]
    worker_seen(timedelta(0))
    assert not watchdog.look()


def test_who_has_paid_while_yookassa_is_away_is_heard_of(fresh: World, user: User) -> None:
    """There is no seat yet that could be dirty: only YooKassa's word that there is money."""
    payment = buy(user)
    at_checkout(fresh, payment)
    billing.note_hint(payment.external_id or "", "payment.succeeded")
    watchdog.look()
    assert kinds() == []
    with transaction() as session:
        session.execute(update(Payment).values(hinted_at=Payment.hinted_at - 6 * MINUTE))
    watchdog.look()
    watchdog.look()
    assert kinds() == ["payments_unheard"]
    assert told()["payments"] == 1
    billing.settle(payment.id)
    watchdog.look()
    assert kinds() == ["payments_unheard"]


def test_a_worker_says_that_it_lives_by_its_timer_and_now_and_then_only() -> None:
    """A real one, without anything to do, says it in tests/cli/test_doctor.py."""
    app = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={"money": None})))
    heart = SimpleNamespace(eventer=SimpleNamespace(hostname="celery@new"))
    worker_seen(10 * MINUTE)
    speaker = alive._Speaker(app)  # type: ignore[arg-type]
    for _ in range(5):
        speaker.hear(heart)
    wait_until(lambda: heartbeats.workers()[0].name == "celery@new", seconds=5, what="the note to be written")
    first = heartbeats.workers()[0]
    assert first.queues == ("money",)
    assert heartbeats.served()["money"] < 5 < heartbeats.served()["care"]
    speaker.hear(heart)
    assert not [thread for thread in threading.enumerate() if thread.name == "alive"], "not again so soon"


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
    assert told()["people"] == 1
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


def test_the_beat_tells_of_it_when_no_worker_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []
    end, start = threading.Event(), watchdog.start
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "start", lambda: started.append(start(end)))
    worker_seen(10 * MINUTE)
    LeasedScheduler(app=celery, lazy=True)
    assert started == []
    LeasedScheduler(app=celery)
    try:
        wait_until(lambda: "workers_away" in kinds() and _tried(), seconds=20, what="the beat to speak up")
    finally:
        end.set()
        started[0].join(20)


def _tried() -> bool:
    """Telegram was asked to take it (whether this admin has ever talked to the bot is another matter)."""
    with transaction() as session:
        return bool(session.scalar(select(Notice.attempts).where(Notice.kind == "workers_away")))


def test_doctor_says_when_somebody_was_seen_at_work(app: Flask) -> None:
    worker_seen(10 * MINUTE, on="money")
    result = Admin(app).run("doctor", "--json")
    said = {row["part"]: row["finding"] for row in json.loads(result.stdout)}
    assert "money (somebody 10 min ago)" in said["workers"]
