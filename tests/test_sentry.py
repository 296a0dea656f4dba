"""Sentry by setting: errors of web and worker arrive without secrets, and nobody waits for it."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
from sqlalchemy import create_engine, text

from krotray_tasks import money
from sandbox.process import wait_until
from sandbox.service import Service
from sandbox.world import World
from tests.conftest import run_python
from tests.test_tasks import worker


class _Sentry(BaseHTTPRequestHandler):
    """Sentry's envelope endpoint, as far as its client sees it."""

    events: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        lines = [json.loads(one) for one in body.decode().splitlines() if one]
        self.events.extend(two for one, two in pairwise(lines) if one.get("type") == "event")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def sentry() -> Iterator[str]:
    """A DSN of one that takes everything; `_Sentry.events` is what came."""
    _Sentry.events.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sentry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://parolekey@127.0.0.1:{server.server_port}/7"
    server.shutdown()
    thread.join()
    server.server_close()


def _of_the_task(event: dict[str, Any]) -> bool:
    return event["exception"]["values"][-1]["type"] == "ValueError"


def test_errors_of_web_and_worker_arrive_without_secrets(world: World, sentry: str, tmp_path: Path) -> None:
    settings = {"SENTRY_DSN": sentry, "SENTRY_ENVIRONMENT": "staging"}
    service = Service(world, database="sentry", processes=("web",), settings=settings)
    engine = create_engine(world.postgres.url("sentry").replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE plans RENAME TO gone"))
    engine.dispose()
    process = None
    try:
        secret = f"{world.bot_token} hash={'a' * 64}"
        answer = requests.get(
            f"{service.url}/api/plans?initData={'b' * 64}", headers={"Authorization": f"tma {secret}"}, timeout=10
        )
        assert answer.status_code == 500
        wait_until(lambda: bool(_Sentry.events), seconds=10, what="the web's error to arrive")
        process = worker(world, tmp_path / "worker.log", **settings)
        money.settle.enqueue(f"/sub/{'t' * 32} {world.bot_token}")
        # What other tests have left in the queue may fail before it.
        wait_until(lambda: any(map(_of_the_task, _Sentry.events)), seconds=20, what="the worker's error to arrive")
    finally:
        service.stop()
        if process:
            process.kill()
    web, task = _Sentry.events[0], next(filter(_of_the_task, _Sentry.events))
    assert (web["tags"]["process"], task["tags"]["process"]) == ("web", "worker")
    assert web["tags"]["request_id"] == answer.headers["X-Request-Id"]
    assert web["environment"] == "staging"
    assert web["exception"]["values"][-1]["type"] == "ProgrammingError"
    said = json.dumps(_Sentry.events)
    for hidden in (world.bot_token, world.secret_key, "a" * 64, "b" * 64, "t" * 32, "parolekey", "Authorization"):
        assert hidden not in said
    for event in _Sentry.events:
        assert not {"request", "user", "extra", "breadcrumbs"} & set(event)
        frames = [frame for one in event["exception"]["values"] for frame in one["stacktrace"]["frames"]]
        assert frames
        assert all("vars" not in frame for frame in frames)


def test_a_sentry_that_is_away_holds_up_nobody(world: World) -> None:
    """It accepts and says nothing: the worst kind of away. Fifty errors are logged, and the process ends, at once."""
    assert world
    code = (
        "import logging, time; from krotray_core import logs, sentry; logs.configure(); sentry.start()\n"
        "began = time.monotonic()\n"
        "for n in range(50): logging.getLogger('a').error('oh %s', n)\n"
        "print(time.monotonic() - began)"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = os.environ | {"SENTRY_DSN": f"http://key@127.0.0.1:{silent.getsockname()[1]}/7"}
        began = time.monotonic()
        answer = run_python("-c", code, environment=environment)
        answer.check_returncode()
        assert float(answer.stdout) < 2
        assert time.monotonic() - began < 15
    assert answer.stderr.count('"oh ') == 50


def test_without_the_setting_nothing_of_it_is_even_imported(world: World) -> None:
    assert world
    code = "import sys, wsgi, krotray_tasks; from krotray_core import sentry; sentry.start(); print('sentry_sdk' in sys.modules)"
    answer = run_python("-c", code)
    answer.check_returncode()
    assert answer.stdout.strip() == "False"
