"""Log lines: one form, one line each whatever is in them, no secrets, and one id from the request to Xray."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from krotray_core import blotting, logs, settings, tracing
from krotray_core.errors import XrayError, XrayUnavailable
from krotray_core.settings import Settings
from krotray_core.xray.client import XrayClient
from krotray_core.xray.operations import Add
from krotray_tasks import access, money
from sandbox.process import wait_until
from sandbox.service import Service
from sandbox.world import ROOT, World
from tests.conftest import DATABASE
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
@settings_of_hypothesis(max_examples=50)
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
    hidden += ["/bot987654321:AAF" + "x" * 32 + "/getMe", "bot987654321:AAF" + "x" * 32]
    hidden += [
        "redis://:parole@host",
        "redis://u:par@ole@host:6379/0",
        "Bearer " + "q" * 20,
        "DETAIL:  Failing row contains (anna@example.com)",
    ]
    for form in FORMS:
        for secret in hidden:
            said = line(form, f"look: {secret}", error=ValueError(f"'{secret}'\nand"), field=secret)
            assert secret not in said
            assert json.dumps(secret)[1:-1] not in said
            padded = line(form, "y" * (blotting.LONGEST - len(secret) // 2) + secret)
            assert secret[: len(secret) // 2] not in padded.replace("y", "") or len(secret) < 12
    assert "anna@" not in line(FORMS[0], hidden[-1])
    assert "ole" not in line(FORMS[0], "redis://u:par@ole@host:6379/0")


# What a setting of each form would be, with PASSWORD in it; a new secret has to be put here, or the test below fails.
SECRETS = {
    "bot_token": "123456789:PASSWORD",
    "flower_basic_auth": "admin:PASSWORD",
    "sentry_dsn": "https://PASSWORD@sentry.example.com/1",
    **dict.fromkeys(("metrics_token", "redis_sentinel_password", "secret_key", "yookassa_secret_key"), "PASSWORD"),
}
ADDRESSES = {
    "database_url": "postgresql://krotray:PASSWORD@db/krotray",
    "redis_url": "sentinel://:other-one@one:26379;sentinel://:PASSWORD@two:26379",
    "celery_broker_url": "amqps://krotray:PASSWORD@one/vhost;amqps://krotray:PASSWORD@two/vhost",
    "telegram_api_url": "https://us:PASSWORD@proxy.example.com",
    "yookassa_api_url": "https://us:PASSWORD@proxy.example.com/v3",
}


def test_every_secret_among_the_settings_is_known(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    assert world
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in repr(field.annotation)}
    assert secret == set(SECRETS)
    named = {name for name in Settings.model_fields if re.search("secret|token|password|auth", name)}
    assert named <= secret
    for number, (name, form) in enumerate((SECRETS | ADDRESSES).items()):
        password = f"pAss{number}w0rd" + ("%40x" if name in ADDRESSES else "")
        monkeypatch.setenv(name.upper(), form.replace("PASSWORD", password))
        with monkeypatch.context() as patch:
            changed = settings.load()
            patch.setattr(settings, "get", lambda changed=changed: changed)
            blotting.forget()
            for form_ in (password, unquote(password)):
                said = blotting.text(f"they said ({form_}) twice")
                assert f"pAss{number}" not in said, name
                assert "w0rd" not in said, name
    blotting.forget()


def test_a_password_in_the_query_of_an_address_is_known(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    assert world
    monkeypatch.setenv("DATABASE_URL", "postgresql://krotray@/krotray?host=/run/postgresql&password=sesame-x")
    changed = settings.load()
    monkeypatch.setattr(settings, "get", lambda: changed)
    blotting.forget()
    assert "sesame" not in blotting.text("it is sesame-x")
    blotting.forget()


@pytest.mark.usefixtures("world")
def test_a_line_that_cannot_be_written_is_written_all_the_same() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    for form in FORMS:
        assert "RuntimeError" in line(form, "%s", Odd())
        assert "TypeError" in line(form, "%d", "x")


_CHOOSING = """
import logging
from krotray_core import logs, settings
for chosen in ("json", "text", None):
    made = settings.load().model_copy(update={"log_format": chosen})
    settings.get = lambda: made
    logs.configure()
    logging.warning("a\\nb", extra={"n": 1})
"""


def test_the_form_is_chosen(world: World) -> None:
    """In a process of its own, for it is that of a whole process."""
    assert world
    command = [sys.executable, "-c", _CHOOSING]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    as_json, as_text, not_on_a_terminal = said.stderr.splitlines()
    for one in (as_json, not_on_a_terminal):
        read = json.loads(one)
        assert (read["message"], read["level"], read["n"]) == ("a\nb", "WARNING", 1)
    assert re.fullmatch(r"20\S+Z WARNING root: a\\nb n=1", as_text)


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

        # What other tests have left in the queue may fail before them.
        wait_until(lambda: {ID, other} < set(failed()), seconds=20, what="three tasks to fail")
        assert all(tracing.well_formed(one) for one in failed())
        assert {one["process"] for one in objects(log)} == {"worker"}
    finally:
        process.kill()


def test_the_web_process_writes_objects_only_with_gunicorn_s_own(world: World) -> None:
    settings_ = {"LOG_FORMAT": "json", "TRUSTED_PROXIES": "127.0.0.1", "WEB_WORKERS": "1"}
    service = Service(world, database=DATABASE, processes=("web",), settings=settings_)  # one that is there already
    try:
        answer = requests.get(f"{service.url}/api/plans", headers={"X-Request-Id": ID}, timeout=10)
        assert answer.headers["X-Request-Id"] == ID
        requests.get(f"{service.url}/sub/{'s' * 32}", timeout=10)
    finally:
        service.stop()
    # honcho sets the time and the name of the process before each line
    said = [re.sub(r"^.*?\| ", "", one) for one in service.process.said().splitlines() if " web.1 " in one]
    read = [json.loads(one) for one in said if one.startswith("{")]
    assert len(read) >= len(said) - 3, "but for what the shell and the library say before we are there"
    assert any(one["logger"] == "gunicorn.error" and one["process"] == "web" for one in read)
    (mine,) = [one for one in read if one.get("request_id") == ID]
    assert (mine["method"], mine["route"], mine["status"]) == ("GET", "/api/plans", 200)
    assert "s" * 32 not in "".join(said)


def test_a_command_has_an_id() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMS[1])
    from krotray_api.cli.output import reports_errors

    reports_errors(lambda: handler.emit(logging.makeLogRecord({"msg": "x"})))()
    assert tracing.well_formed(json.loads(stream.getvalue())["request_id"])
