"""`flask doctor`: what is missing is named, with what to do about it."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from sqlalchemy import update
from werkzeug.serving import make_server

from krotray_core import clock, heartbeats, leases, outside_checks, setting_checks, settings
from krotray_core.db import transaction
from krotray_core.models import Server
from krotray_tasks import beat, broker
from sandbox.process import Process, wait_until
from sandbox.world import ROOT, World
from tests.cli.kit import Admin
from tests.conftest import run_flask
from tests.http_kit import serving
from tests.test_tasks import worker


def by_part(stdout: str) -> dict[str, set[str]]:
    """The levels that each part has got."""
    said: dict[str, set[str]] = {}
    for row in json.loads(stdout):
        said.setdefault(row["part"], set()).add(row["level"])
    return said


@pytest.fixture
def site(app: Flask, fresh: World) -> Iterator[str]:
    """Our pages, where the settings say that they are."""
    with serving(app, fresh) as url:
        yield url


def lines(stdout: str, part: str, level: str) -> list[str]:
    """What is said of a part at this level."""
    return [row["finding"] for row in json.loads(stdout) if (row["part"], row["level"]) == (part, level)]


@pytest.mark.usefixtures("site")
def test_all_is_well(fresh: World, admin: Admin, fleet: list[Server], tmp_path: Path) -> None:
    process = worker(fresh, tmp_path / "worker.log")
    assert leases.take(beat.LEASE, "a beat", timedelta(minutes=5))
    try:
        # Without anything to do: no beat runs, and nobody buys.
        wait_until(lambda: set(heartbeats.served()) == set(broker.QUEUES), seconds=60, what="the worker's word")
        stdout = admin("doctor", "--json")
    finally:
        process.kill()
        leases.give_back(beat.LEASE, "a beat")
    said = by_part(stdout)
    # The sandbox is not the real world, and says so.
    assert len(lines(stdout, "settings", "warning")) == 3, "two other vendors, and no admin"
    assert lines(stdout, "YooKassa", "warning") == ["a test shop: nobody pays real money"]
    assert lines(stdout, "Mini App", "warning") == ["MINI_APP_URL is not https: Telegram opens nothing else"]
    servers = {f"server {server.name}" for server in fleet}
    assert (
        said.keys()
        == {"settings", "database", "clock", "broker", "beat", "workers", "YooKassa", "Telegram", "Mini App"} | servers
    )
    assert all(levels == {"ok"} for part, levels in said.items() if part not in ("settings", "YooKassa", "Mini App"))
    assert "failed" not in stdout


def test_two_workers_of_one_machine_that_share_the_queues(fresh: World, admin: Admin, tmp_path: Path) -> None:
    """As the Procfile's line starts them; under one node name only one of them would be seen."""
    environment = os.environ | {"PATH": fresh.environment()["PATH"], "WORKER_CONCURRENCY": "1"}
    started = list[Process]()
    try:
        for name, queues in (("money", "money"), ("others", "access,care")):
            log = tmp_path / f"{name}.log"
            own = environment | {"WORKER_NAME": name, "WORKER_QUEUES": queues}
            started.append(Process(name, [str(ROOT / "deploy/run"), "worker"], log=log, env=own, cwd=ROOT))
        for process in started:
            process.wait_ready(
                lambda one=process: f"{one.name}@" in one.log.read_text() and " ready." in one.log.read_text()
            )
        (said,) = lines(admin.run("doctor", "--json").stdout, "workers", "ok")
        assert said.startswith("2 running, every queue is worked on")
        started.pop().kill()
        (said,) = lines(admin.run("doctor", "--json").stdout, "workers", "failed")
        assert re.match(r"nobody works on: access\b[^,]*, care\b", said)
        assert "money" not in said
    finally:
        for process in started:
            process.kill()


def test_nobody_at_work_and_a_server_in_the_open(admin: Admin, fleet: list[Server]) -> None:
    with transaction() as session:
        session.execute(update(Server).where(Server.id == fleet[0].id).values(host="203.0.113.5"))
    result = admin.run("doctor", "--json")
    assert result.exit_code == 1
    said = by_part(result.stdout)
    assert said["beat"] == said["workers"] == {"failed"}
    assert said[f"server {fleet[0].name}"] == {"ok", "warning", "failed"}
    assert "PLAIN TEXT to 203.0.113.5" in result.stdout


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "database"),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "broker"),
    ],
)
def test_what_does_not_answer_is_named(fresh: World, setting: dict[str, Any], part: str) -> None:
    assert fresh
    answer = run_flask("doctor", "--json", **setting)
    assert answer.returncode == 1
    assert by_part(answer.stdout)[part] == {"failed"}
    assert next(iter(setting)) in answer.stdout


def test_a_database_that_is_behind_is_told_to_be_upgraded(fresh: World) -> None:
    url = fresh.postgres.create("behind")
    assert run_flask("db", "upgrade", "7c1e0a9d4b52", DATABASE_URL=url).returncode == 0
    answer = run_flask("doctor", "--json", DATABASE_URL=url)
    assert "flask db upgrade" in answer.stdout
    assert answer.returncode == 1


def test_a_wrong_login_at_yookassa_and_at_telegram(fresh: World) -> None:
    assert fresh
    answer = run_flask("doctor", "--json", YOOKASSA_SECRET_KEY="test_other", BOT_TOKEN="1:" + "x" * 35)
    assert answer.returncode == 1
    assert "YOOKASSA_SECRET_KEY" in lines(answer.stdout, "YooKassa", "failed")[0]
    assert "BOT_TOKEN" in lines(answer.stdout, "Telegram", "failed")[0]
    assert "test_other" not in answer.stdout + answer.stderr
    assert "x" * 35 not in answer.stdout + answer.stderr


def test_vendors_that_are_away(fresh: World) -> None:
    assert fresh
    nowhere = "http://127.0.0.1:1"
    answer = run_flask(
        "doctor", "--json", YOOKASSA_API_URL=nowhere, TELEGRAM_API_URL=nowhere, MINI_APP_URL=f"{nowhere}/app/"
    )
    assert [by_part(answer.stdout)[part] for part in ("YooKassa", "Telegram")] == [{"failed"}] * 2
    assert "does not answer" in lines(answer.stdout, "Mini App", "failed")[0]


def test_a_shop_that_must_send_receipts(fresh: World, admin: Admin) -> None:
    requests.post(f"{fresh.yookassa_url}/sandbox/modes", json={"receipt_required": True}, timeout=5).raise_for_status()
    stdout = admin.run("doctor", "--json").stdout
    assert "RECEIPT_VAT_CODE" in lines(stdout, "YooKassa", "failed")[0]


def test_a_webhook_that_takes_the_updates(fresh: World, admin: Admin) -> None:
    hook = f"{fresh.telegram_url}/sandbox/webhook"
    requests.post(hook, json={"url": "https://old.example.com/tg"}, timeout=5).raise_for_status()
    try:
        stdout = admin.run("doctor", "--json").stdout
    finally:
        requests.post(hook, json={"url": ""}, timeout=5).raise_for_status()
    assert "old.example.com" in lines(stdout, "Telegram", "warning")[0]


def framed(environment: dict[str, Any], start: Any) -> list[bytes]:
    """A proxy that forbids frames, a place that is not ours, an address that moved."""
    path = environment["PATH_INFO"]
    if path == "/moved/":
        start("302 Found", [("Location", "/app/")])
        return []
    frames = [("X-Frame-Options", "DENY")] if path == "/framed/" else []
    start("200 OK", [("Content-Type", "text/html"), *frames])
    return [b"<script src=telegram-web-app.js></script>" if path == "/framed/" else b"hello"]


@pytest.mark.parametrize(
    ("path", "said"),
    [("/moved/", "leads elsewhere"), ("/framed/", "X-Frame-Options"), ("/other/", "is not the Mini App")],
)
def test_a_mini_app_that_telegram_would_not_show(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, path: str, said: str
) -> None:
    server = make_server("127.0.0.1", 0, framed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MINI_APP_URL", f"http://127.0.0.1:{server.port}{path}")
    settings.get.cache_clear()
    try:
        stdout = admin.run("doctor", "--json").stdout
    finally:
        monkeypatch.undo()
        settings.get.cache_clear()
        server.shutdown()
        server.server_close()
    assert said in lines(stdout, "Mini App", "failed")[0]


@pytest.mark.parametrize(
    ("setting", "level", "said"),
    [
        ({"YOOKASSA_NETWORKS": "0.0.0.0/0"}, "failed", "whole world"),
        ({"TRUSTED_PROXIES": "::/0"}, "failed", "believes everybody"),
        ({"MINI_APP_URL": "https://vpn.example.com/app/"}, "warning", "TRUSTED_PROXIES names none"),
        ({"SECRET_KEY": "short"}, "warning", "SECRET_KEY"),
    ],
)
def test_settings_that_are_well_formed_and_wrong(
    fresh: World, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str], level: str, said: str
) -> None:
    assert fresh
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    settings.get.cache_clear()
    try:
        found = setting_checks.check()
    finally:
        monkeypatch.undo()
        settings.get.cache_clear()
    assert [finding.level for finding in found if said in finding.text] == [level]


def test_a_list_of_addresses_that_has_grown_old(
    fresh: World, monkeypatch: pytest.MonkeyPatch, pass_time: Callable[[timedelta], None]
) -> None:
    assert fresh
    monkeypatch.delenv("YOOKASSA_NETWORKS")
    settings.get.cache_clear()
    try:
        published = datetime.combine(settings.YOOKASSA_PUBLISHED_ON, time(12), UTC)
        pass_time(published + timedelta(days=10) - clock.now())
        assert not any("addresses" in finding.text for finding in setting_checks.check())
        pass_time(published + timedelta(days=182) - clock.now())
        assert any("182 days old" in finding.text for finding in setting_checks.check())
    finally:
        monkeypatch.undo()
        settings.get.cache_clear()


class _Dated(BaseHTTPRequestHandler):
    """Says what time it is, or what it takes for it."""

    date = ""

    def do_HEAD(self) -> None:
        self.send_response_only(404)
        if self.date:
            self.send_header("Date", self.date)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [(0, "ok", "agrees with YooKassa's"), (-60, "warning", "+60 s from YooKassa's"), (60, "warning", "-60 s from")],
)
def test_a_clock_that_the_vendors_do_not_share(
    monkeypatch: pytest.MonkeyPatch, fresh: World, ahead: int, level: str, words: str
) -> None:
    assert fresh
    monkeypatch.setattr(_Dated, "date", format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True))
    vendor = HTTPServer(("127.0.0.1", 0), _Dated)
    threading.Thread(target=vendor.serve_forever, args=[0.05], daemon=True).start()
    here = settings.get().model_copy(update={"yookassa_api_url": f"http://127.0.0.1:{vendor.server_port}/v3"})
    monkeypatch.setattr(settings, "get", lambda: here)
    try:
        (found,) = outside_checks.check_clock()
        assert (found.level, words in found.text) == (level, True), found.text
        for odd in ("", "yesterday"):
            monkeypatch.setattr(_Dated, "date", odd)
            (found,) = outside_checks.check_clock()
            assert (found.level, found.text) == ("ok", "this machine's agrees with Telegram's")
    finally:
        vendor.shutdown()
        vendor.server_close()


def test_a_clock_that_is_wrong(fresh: World, pass_time: Callable[[timedelta], None]) -> None:
    assert fresh
    assert setting_checks.check_clock().level == "ok"
    pass_time(timedelta(minutes=-3))
    assert "+180 s" in setting_checks.check_clock().text
