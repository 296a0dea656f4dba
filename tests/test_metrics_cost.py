"""/metrics: cheap with a crowd, right under concurrency and several web processes, readable when parts are away."""

from __future__ import annotations

import os
import re
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import Connection, event, func, select, text

from krotray_core import counts, db, figures, heartbeats
from krotray_core.db import transaction
from krotray_core.models import Count
from krotray_tasks import money, queues
from sandbox.parts import Redis
from sandbox.process import wait_until
from sandbox.service import Service
from sandbox.world import World
from tests.conftest import at_once
from tests.test_metrics import scraped

BIG = ("payments", "subscriptions", "seats", "users", "notices", "ledger")


@pytest.fixture
def crowd(fresh: World) -> None:
    """30,000 people who have paid, a few of them just now; 30,000 notices that went out."""
    assert fresh
    with transaction() as session:
        for statement in (
            "INSERT INTO users (telegram_id) SELECT n FROM generate_series(1, 30000) n",
            "INSERT INTO servers (name, host, grpc_port, inbound_tag, max_users, active_users)"
            " VALUES ('A', 'h', 1, 't', 50000, 30000)",
            "INSERT INTO payments (id, user_id, status, plan_code, months, days, amount_kopecks, currency, method, request,"
            " paid_at, refunded_kopecks) SELECT gen_random_uuid(), id,"
            " CASE WHEN id % 1000 = 0 THEN 'pending' ELSE 'succeeded' END, '1m', 1, 30, 100, 'RUB', 'card', '{}',"
            " CASE WHEN id % 1000 = 0 THEN NULL ELSE now() END, 0 FROM users",
            "UPDATE payments SET hinted_at = now() WHERE user_id % 2000 = 0",
            "INSERT INTO subscriptions (user_id, status, expires_at, uuid)"
            " SELECT id, 'active', now() + (telegram_id - 20) * interval '1 minute', gen_random_uuid() FROM users",
            "INSERT INTO seats (subscription_id, server_id, email, uuid, wanted, observed_generation)"
            " SELECT s.id, v.id, 'user_' || s.user_id, s.uuid, true, CASE WHEN s.user_id % 1000 = 0 THEN 0 ELSE 1 END"
            " FROM subscriptions s, servers v",
            "INSERT INTO notices (telegram_id, kind, key, data, sent_at)"
            " SELECT id, 'paid', id::text, '{}', now() FROM users",
        ):
            session.execute(text(statement))
    with db.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM ANALYZE {', '.join(BIG)}, servers, counters"))


@pytest.mark.usefixtures("crowd")
@pytest.mark.writes_past_the_ledger
def test_no_part_reads_a_big_table_through(client: FlaskClient) -> None:
    plans: dict[str, str] = {}
    limits: list[str] = []

    def explain(_connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            cursor.execute("EXPLAIN " + statement, parameters)
            plans[statement] = "\n".join(row[0] for row in cursor.fetchall())
        limits.extend(re.findall("statement_timeout = ([0-9]+)", statement))

    event.listen(db.engine(), "before_cursor_execute", explain)
    try:
        now = scraped(client.get("/metrics").text)
    finally:
        event.remove(db.engine(), "before_cursor_execute", explain)
    assert len(plans) >= 9
    for table in BIG:
        for plan in plans.values():
            assert f"Seq Scan on {table}" not in plan, plan
    assert now['krotray_payments{status="pending"}'] == 30
    assert now['krotray_payments{status="succeeded"}'] == 29_970
    assert now['krotray_subscriptions{status="active"}'] == 30_000
    assert now["krotray_hinted_payments"] == 15
    (plan,) = (plan for statement, plan in plans.items() if "hinted_at" in statement)
    assert "ix_payments_open" in plan
    assert now["krotray_dirty_seats"] == 30
    assert now["krotray_overdue_subscriptions"] == 20
    assert limits == [str(figures.LONGEST_MS)] * len(limits)
    assert len(limits) >= 8


def test_what_sixteen_count_at_once_while_others_fold_is_all_there(fresh: World) -> None:
    assert fresh

    def work(number: int) -> None:
        for turn in range(60):
            with transaction() as session:
                counts.add(session, "apples")
                counts.add(session, "pears", -2)
            if number % 4 == 0 and turn % 20 == 0:
                counts.fold()

    at_once(16, work)
    counts.fold()
    with transaction() as session:
        assert counts.read(session) == {"apples": 960, "pears": -1920}
        assert (session.scalar(select(func.count()).select_from(Count)) or 0) < counts.FOLD_AT


def test_what_is_taken_back_does_not_count(fresh: World) -> None:
    assert fresh
    with pytest.raises(ZeroDivisionError), transaction() as session:  # noqa: PT012 - the error comes after the count
        counts.add(session, "apples")
        session.flush()
        _ = 1 // 0
    with transaction() as session:
        assert counts.read(session) == {}


def test_one_part_that_is_away_leaves_the_others(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction() as session:
        session.execute(text("ALTER TABLE notices RENAME TO hidden"))
    try:
        now = scraped(client.get("/metrics").text)
    finally:
        with transaction() as session:
            session.execute(text("ALTER TABLE hidden RENAME TO notices"))
    assert now['krotray_scrape_part_up{part="notices"}'] == 0
    assert "krotray_notices_waiting" not in now
    assert now['krotray_scrape_part_up{part="totals"}'] == 1
    assert now['krotray_payments{status="pending"}'] == 0
    monkeypatch.setattr("krotray_api.metrics.BUDGET_SECONDS", 0)
    now = scraped(client.get("/metrics").text)
    assert {value for name, value in now.items() if name.startswith("krotray_scrape_part_up")} == {0}


def test_queues_are_counted_and_a_frozen_broker_costs_a_moment(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = Redis(tmp_path / "redis.log")
    there = partial(queues.celery.connection_for_read, redis.url)
    monkeypatch.setattr(queues.celery, "connection_for_read", there)
    try:
        with queues.celery.connection_for_write(redis.url) as connection:
            for _ in range(3):
                money.settle.apply_async(("0",), connection=connection)
        now = scraped(client.get("/metrics").text)
        assert now['krotray_queue_messages{queue="money"}'] == 3
        assert now['krotray_queue_messages{queue="access"}'] == 0
        os.kill(redis.process.pid, signal.SIGSTOP)
        now = scraped(client.get("/metrics").text)
        assert now['krotray_scrape_part_up{part="queues"}'] == 0
        assert 'krotray_queue_messages{queue="money"}' not in now
        assert now['krotray_scrape_part_duration_seconds{part="queues"}'] < 3
        assert now['krotray_scrape_part_up{part="servers"}'] == 1
    finally:
        redis.process.kill()


def test_who_was_seen_at_work(client: FlaskClient) -> None:
    heartbeats.note("celery@one", ["money"])
    heartbeats.note("celery@three", ["access", "care"])
    with transaction() as session:
        session.execute(
            text("UPDATE marks SET at = now() - interval '5 minutes' WHERE name = 'worker:money celery@one'")
        )
    heartbeats.note("celery@two", ["care"])
    now = scraped(client.get("/metrics").text)
    assert {queue: now[f'krotray_workers{{queue="{queue}"}}'] for queue in ("money", "access", "care")} == {
        "money": 0,
        "access": 1,
        "care": 2,
    }
    assert 300 <= now['krotray_worker_age_seconds{worker="celery@one"}'] < 320
    assert now["krotray_beat_up"] == 0


def test_requests_are_counted_in_all_web_processes_also_when_one_is_killed(world: World, tmp_path: Path) -> None:
    service = Service(
        world,
        database="web_metrics",
        processes=("web",),
        settings={"TMPDIR": str(tmp_path), "WEB_WORKERS": "2", "WEB_THREADS": "2"},
    )
    try:
        _kill_one_and_count(service, tmp_path)
    finally:
        service.stop()
    assert list(tmp_path.glob("krotray-metrics-*")) == [], "the master takes its folder away"


def _kill_one_and_count(service: Service, folder: Path) -> None:
    route = 'krotray_http_requests_total{method="GET",route="/api/plans",status="200"}'
    unknown = 'krotray_http_requests_total{method="other",route="unknown",status="404"}'

    def now() -> dict[str, float]:
        return scraped(requests.get(f"{service.url}/metrics", timeout=10).text)

    def ask(times: int) -> None:
        for _ in range(times):
            assert requests.get(f"{service.url}/api/plans", timeout=10).ok

    ask(30)
    assert now()[route] == 30
    assert requests.request("BREW", f"{service.url}/teapot/{'x' * 50}", timeout=10).status_code in (404, 405)
    children = [
        p for p in psutil.Process(service.process.pid).children(recursive=True) if "gunicorn" in " ".join(p.cmdline())
    ]
    parents = {child.ppid() for child in children}
    workers = [child for child in children if child.pid not in parents]
    workers[0].kill()
    wait_until(lambda: not psutil.pid_exists(workers[0].pid), seconds=10, what="the worker to be gone")
    ask(30)
    after = now()
    assert after[route] == 60, "what the killed one had counted is still there"
    assert after['krotray_http_request_duration_seconds_count{method="GET",route="/api/plans"}'] == 60
    assert after.get(unknown, 0) == 1
    (shared,) = folder.glob("krotray-metrics-*")
    assert len(list(shared.glob("counter_*.db"))) <= 3, "no more files than there were workers at a time"
    # Somebody tidies up; a worker that comes then has nowhere to count, and answers all the same.
    shutil.rmtree(shared)
    workers[1].kill()
    wait_until(lambda: not psutil.pid_exists(workers[1].pid), seconds=10, what="the other worker to be gone")
    ask(30)
    assert now()['krotray_scrape_part_up{part="requests"}'] == 1
    ask(30)
    assert now()[route] > 0, "and what a worker with a folder counts is seen again"
