"""Log lines: one form, one line each whatever is in them, no secrets, and one id from the request to Xray."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from krotray_core import blotting, logs, settings, tracing
from krotray_core.errors import XrayError, XrayUnavailable
from krotray_core.xray.client import Add, XrayClient
from krotray_tasks import access, money
from sandbox.process import wait_until
from sandbox.service import Service
from sandbox.world import ROOT, World
from tests.conftest import run_flask
from tests.test_tasks import worker

FORMS = [logs.Text(), logs.Json("test")]
ID = "0123456789abcdef0123456789abcdef"


def line(form: logging.Formatter, message: str, *args: Any, error: BaseException | None = None, **extra: Any) -> str:
    """What would be written."""
    record = logging.LogRecord("a.logger", logging.INFO, __file__, 1, message, args, None)
    if error:
        try:
            raise error  # noqa: TRY301 - to have a traceback
        except BaseException:  # noqa: BLE001, RUF100 - whatever it is
            record.exc_info = sys.exc_info()
    vars(record).update(extra)
    return form.format(record)


@pytest.mark.usefixtures("world")
@given(said=st.text(max_size=300), name=st.text(max_size=40), field=st.text(max_size=40))
def test_whatever_is_said_is_one_line_that_can_be_read(said: str, name: str, field: str) -> None:
    for form in FORMS:
        written = line(form, "%s and %s", said, name, field=field)
        assert len(written.splitlines()) == 1
        assert "\x1b" not in written
        written.encode()
    read = json.loads(line(FORMS[1], "%s", said))
    assert read["message"] == blotting.text(said)
    assert {"ts", "level", "logger", "message", "process"} <= set(read)


@pytest.mark.usefixtures("world")
def test_a_forged_line_in_an_error_does_not_pass_for_one() -> None:
    forged = "bad\n2026-01-01T00:00:00.000Z INFO krotray_core.billing: payment 1 counts\r\x85\u2028more"
    text = line(FORMS[0], "oh: %s", forged, error=ValueError(forged))
    assert [part for part in text.splitlines() if part.startswith("2026")][1:] == []
    read = json.loads(line(FORMS[1], "oh", error=ValueError(forged)))
    assert "ValueError: bad" in read["traceback"]


@pytest.mark.usefixtures("world")
def test_ten_megabytes_are_a_short_line() -> None:
    huge = "x" * 10_000_000
    for form in FORMS:
        assert len(line(form, "a header: %s", huge)) < 10_000
        assert len(line(form, "oh", error=ValueError(huge))) < 20_000
        assert len(line(form, "oh", one=huge, **{f"f{n}": huge for n in range(100)})) < 30_000


def test_no_secret_leaves_in_any_form(world: World) -> None:
    hidden = [world.bot_token, world.secret_key, "sunshine", "9" * 9 + ":" + "A" * 35]
    hidden += ["hash=" + "a1" * 32, "vless://0b4b4ae0-6ae5-4b1c-9d5e-2f6b9f3c1a2b@", "/sub/" + "t" * 32]
    hidden += ["redis://:parole@host", "Bearer " + "q" * 20, "DETAIL:  Failing row contains (anna@example.com)"]
    for form in FORMS:
        for secret in hidden:
            said = line(form, f"look: {secret}", error=ValueError(f"'{secret}'\nand"), field=secret)
            assert secret not in said
            assert json.dumps(secret)[1:-1] not in said
            padded = line(form, "y" * (blotting.LONGEST - len(secret) // 2) + secret)
            assert secret[: len(secret) // 2] not in padded.replace("y", "") or len(secret) < 12
    assert "anna@" not in line(FORMS[0], hidden[-1])


@pytest.mark.usefixtures("world")
def test_a_line_that_cannot_be_written_is_written_all_the_same() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    for form in FORMS:
        assert "RuntimeError" in line(form, "%s", Odd())
        assert "TypeError" in line(form, "%d", "x")


@pytest.mark.parametrize(("chosen", "as_json"), [("json", True), ("text", False), (None, True)])
def test_the_form_is_chosen(world: World, chosen: str | None, as_json: bool) -> None:
    assert world
    code = "from krotray_core import logs; logs.configure(); import logging; logging.warning('a\\nb', extra={'n': 1})"
    environment = os.environ | ({"LOG_FORMAT": chosen} if chosen else {})
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    (only,) = said.stderr.splitlines()
    if as_json:
        read = json.loads(only)
        assert (read["message"], read["level"], read["n"]) == ("a\nb", "WARNING", 1)
    else:
        assert re.fullmatch(r"20\S+Z WARNING root: a\\nb n=1", only)


# the id


@pytest.mark.parametrize("odd", ["", "abc", "x" * 65, "a b c d e", "a\nb-long-enough", "ключ-ключ", "-abcdef", None, 7])
def test_what_cannot_be_an_id_is_replaced(odd: Any) -> None:
    with tracing.following(odd) as made:
        assert made != odd
        assert tracing.well_formed(made)
    assert tracing.current() is None


def test_a_request_has_an_id_and_a_stranger_cannot_choose_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(header: str, **environment: str) -> str:
        answer = client.get("/healthz", headers={"X-Request-Id": header}, environ_overrides=environment)
        return str(answer.headers["X-Request-Id"])

    assert answered(ID) != ID
    assert tracing.well_formed(answered(ID))
    trusting = settings.get().model_copy(update={"trusted_proxies": settings._networks("127.0.0.0/8")})
    monkeypatch.setattr(settings, "get", lambda: trusting)
    assert answered(ID) == ID
    assert answered(ID, REMOTE_ADDR="203.0.113.5") != ID
    assert answered("a, b") != "a, b"
    assert client.get("/no/such/path").headers["X-Request-Id"]


class _Listener(grpc.GenericRpcHandler):
    """Hears what a call carries, and does nothing."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def service(self, details: grpc.HandlerCallDetails) -> None:
        self.heard.append(dict(details.invocation_metadata or ()))


@pytest.fixture
def listener() -> Iterator[tuple[_Listener, str]]:
    """A gRPC server that has no services, and where it is."""
    heard, server = _Listener(), grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((heard,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield heard, f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_xray_is_called_with_the_id(listener: tuple[_Listener, str]) -> None:
    heard, target = listener
    xray = XrayClient(target, "vless-in")
    with tracing.following(ID):
        xray.apply([Add("user_1", uuid.uuid4())])
        with pytest.raises((XrayError, XrayUnavailable)):
            xray.count()
    assert [one.get("x-request-id") for one in heard.heard] == [ID, ID]
    heard.heard.clear()
    with pytest.raises((XrayError, XrayUnavailable)):
        xray.count()
    assert "x-request-id" not in heard.heard[0]


def objects(log: Path) -> list[dict[str, Any]]:
    """Every line of a log but Celery's banner, which is drawn on stdout."""
    return [json.loads(said) for said in log.read_text().splitlines() if said.startswith("{")]


def test_a_task_goes_on_with_the_id_of_what_led_to_it(fresh: World, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    process = worker(fresh, log, LOG_FORMAT="json")
    other = "fedcba9876543210fedcba9876543210"
    try:
        with tracing.following(ID):
            money.settle.enqueue(str(uuid.uuid4()))  # there is none: it fails, and Celery says so
        with tracing.following(other):
            access.converge.enqueue(10**9)
        money.settle.enqueue(str(uuid.uuid4()))

        def failed() -> list[str | None]:
            return [one.get("request_id") for one in objects(log) if "Task krotray_tasks" in one["message"]]

        wait_until(lambda: len(failed()) >= 3, seconds=20, what="three tasks to fail")
        assert {ID, other} < set(failed())
        assert all(tracing.well_formed(one) for one in failed())
        assert {one["process"] for one in objects(log)} == {"worker"}
    finally:
        process.kill()


def test_the_web_process_writes_objects_only_with_gunicorn_s_own(world: World) -> None:
    service = Service(
        world, database="web_logs", processes=("web",), settings={"LOG_FORMAT": "json", "TRUSTED_PROXIES": "127.0.0.1"}
    )
    try:
        answer = requests.get(f"{service.url}/api/plans", headers={"X-Request-Id": ID}, timeout=10)
        assert answer.headers["X-Request-Id"] == ID
        requests.get(f"{service.url}/sub/{'s' * 32}", timeout=10)
    finally:
        service.stop()
    # honcho sets the time and the name of the process before each line
    said = [re.sub(r"^.*?\| ", "", one) for one in service.process.log.read_text().splitlines() if " web.1 " in one]
    read = [json.loads(one) for one in said if one.startswith("{")]
    assert len(read) >= len(said) - 3, "but for what the shell and the library say before we are there"
    assert any(one["logger"] == "gunicorn.error" and one["process"] == "web" for one in read)
    (mine,) = [one for one in read if one.get("request_id") == ID]
    assert (mine["method"], mine["route"], mine["status"]) == ("GET", "/api/plans", 200)
    assert "s" * 32 not in "".join(said)


def test_a_command_has_an_id(fresh: World) -> None:
    assert fresh
    answer = run_flask("servers", "list", LOG_FORMAT="json")
    assert answer.returncode == 0
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMS[1])
    from krotray_api.cli.output import reports_errors

    reports_errors(lambda: handler.emit(logging.makeLogRecord({"msg": "x"})))()
    assert tracing.well_formed(json.loads(stream.getvalue())["request_id"])
