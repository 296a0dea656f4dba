"""The edge of the running service: how much one may send, and that without Redis nothing waits and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import redis as redis_py
import requests

from krotray_api import limits
from krotray_api.app import LARGEST_BODY
from krotray_core import billing
from sandbox.parts import Redis
from sandbox.person import Person
from sandbox.process import wait_until
from sandbox.service import Service
from sandbox.world import World
from tests.conftest import DATABASE, at_once
from tests.http_kit import HEADER, notification

WEBHOOK = "/api/payments/webhook"
YOOKASSA = "185.71.76.1"


@pytest.fixture(scope="module")
def edge(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """gunicorn with one worker and a Redis of its own, behind a proxy that is played by this process."""
    folder = tmp_path_factory.mktemp("edge")
    made = SimpleNamespace(redis=Redis(folder / "redis.log"), folder=folder)
    made.settings = {
        "REDIS_URL": made.redis.url,
        "TRUSTED_PROXIES": "127.0.0.1",
        "YOOKASSA_NETWORKS": YOOKASSA,
        "WEBHOOK_RATE_LIMIT": "12/hour",
        "WEB_WORKERS": "1",
    }
    made.service = Service(world, database=DATABASE, processes=("web",), settings=made.settings)
    made.url = made.service.url + WEBHOOK
    yield made
    made.service.stop()
    made.redis.process.signal(signal.SIGCONT)
    made.redis.stop()


def send(edge: SimpleNamespace, source: str, body: object = b"{}") -> requests.Response:
    """A webhook from this address; a generator as the body makes it chunked."""
    return requests.post(edge.url, data=body, headers={"X-Forwarded-For": source}, timeout=10)


def of_size(size: int) -> bytes:
    """A notification of exactly so many bytes, about nothing that concerns us."""
    body = json.dumps({"type": "notification", "event": "payout.succeeded", "object": {"id": "x"}}).encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_may_have_64_kb_and_not_one_byte_more(edge: SimpleNamespace, fresh: World, chunked: bool) -> None:
    assert fresh
    assert LARGEST_BODY == 65_536

    def sent(size: int) -> requests.Response:
        body = of_size(size)
        return send(edge, YOOKASSA, (body[at : at + 1000] for at in range(0, size, 1000)) if chunked else body)

    assert sent(LARGEST_BODY).status_code == 200
    answer = sent(LARGEST_BODY + 1)
    assert (answer.status_code, answer.json()["code"]) == (413, "request_entity_too_large")
    assert sent(LARGEST_BODY).status_code == 200


@pytest.mark.parametrize("header", ["Transfer-Encoding: chunked", "Content-Length: 10000000"])
def test_a_body_without_an_end_is_not_waited_for(edge: SimpleNamespace, fresh: World, header: str) -> None:
    assert fresh
    head = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {YOOKASSA}\r\n{header}\r\n\r\n".encode()
    chunk = b"x" * 70_000
    if "chunked" in header:
        chunk = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
    parts = urlsplit(edge.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        connection.sendall(head + chunk)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_what_a_stranger_writes_into_other_headers_does_not_count(edge: SimpleNamespace, fresh: World) -> None:
    """gunicorn would make one of two headers that differ only in - and _."""
    assert fresh
    for name in ("X_Forwarded_For", "X-Forwarded_For"):
        headers = {"X-Forwarded-For": "203.0.113.99", name: YOOKASSA}
        assert requests.post(edge.url, data=b"{}", headers=headers, timeout=10).status_code == 403
    long = ", ".join(["10.0.0.1"] * 400)
    assert requests.post(edge.url, headers={"X-Forwarded-For": f"{YOOKASSA}, {long}"}, timeout=10).status_code == 403
    tortured = requests.post(edge.url, headers={"X-Forwarded-For": "1" * 100_000}, timeout=10)
    assert tortured.status_code in (400, 431), "gunicorn's own limit"


def log_lines(edge: SimpleNamespace, words: str) -> int:
    """How often the service has said this."""
    return str(edge.service.process.said()).count(words)


def timed(work: Callable[[], requests.Response]) -> tuple[int, float]:
    """The status, and the seconds that it took."""
    began = time.monotonic()
    return work().status_code, time.monotonic() - began


@contextlib.contextmanager
def frozen(edge: SimpleNamespace) -> Iterator[None]:
    """The worst kind of away: it accepts, and says nothing."""
    edge.redis.process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        edge.redis.process.signal(signal.SIGCONT)


@contextlib.contextmanager
def dead(edge: SimpleNamespace) -> Iterator[None]:
    """kill -9; then a new one in its place that knows nothing."""
    edge.redis.process.kill()
    try:
        yield
    finally:
        edge.redis = Redis(edge.folder / "redis.log", port=edge.redis.port)


@pytest.mark.parametrize("away", [frozen, dead])
def test_without_redis_everything_goes_on_without_waiting(
    edge: SimpleNamespace, fresh: World, person: Person, away: Callable[..., contextlib.AbstractContextManager[None]]
) -> None:
    stranger = f"198.51.100.{(frozen, dead).index(away) + 1}"
    payment = billing.find(UUID(person.buy()["payment_id"]))
    others = [Person(fresh) for _ in range(8)]
    url = f"{edge.service.url}/api/payments/create"

    def ask(who: Person) -> tuple[int, float]:
        body, headers = {"tariff": "1m", "method": "card"}, {HEADER: who.init_data()}
        return timed(lambda: requests.post(url, json=body, headers=headers, timeout=10))

    for _ in range(2):
        at_once(8, lambda number: ask(others[number]))  # every thread has its connections
    before = log_lines(edge, "no Redis"), log_lines(edge, "Redis is back")
    with away(edge):
        first = at_once(8, lambda number: ask(others[number]))
        assert [status for status, _ in first] == [201] * 8, "also who was on the way when it happened"
        assert max(seconds for _, seconds in first) < 4.0, "eight at once on whatever machine this is"
        assert [status for status, _ in map(ask, others)] == [201] * 8

        calls = [timed(lambda: send(edge, stranger)) for _ in range(14)]
        assert [status for status, _ in calls] == [403] * 12 + [429] * 2, "this process counts by itself"
        assert statistics.median(seconds for _, seconds in calls) < limits.ANSWER_SECONDS / 3

        status, seconds = timed(lambda: send(edge, YOOKASSA, json.dumps(notification(payment.external_id or ""))))
        assert status == 200
        assert seconds < 4.0, "it waits for the broker a second, but not for a limit"
        assert payment.id in billing.claim_open(), "noted: the sweep asks YooKassa"
        assert log_lines(edge, "no Redis") == before[0] + 1
        assert log_lines(edge, "Traceback") == 0
    wait_until(lambda: log_lines(edge, "Redis is back") == before[1] + 1, seconds=10, what="the limits to be back")
    assert [send(edge, stranger).status_code for _ in range(13)] == [403] * 12 + [429]
    with redis_py.Redis.from_url(edge.redis.url) as client:
        assert any(stranger.encode() in key for key in client.keys("krotray:limits:*"))
    assert log_lines(edge, "no Redis") == before[0] + 1


def test_the_first_call_of_an_outage_alone_is_kept(edge: SimpleNamespace, fresh: World) -> None:
    who = Person(fresh)
    who.buy()
    began = log_lines(edge, "Redis is back")
    with frozen(edge):
        before = time.monotonic()
        who.buy()
        took = time.monotonic() - before
        assert took < 3.0
        later = []
        for _ in range(5):
            before = time.monotonic()
            who.buy()
            later.append(time.monotonic() - before)
        assert statistics.median(later) < limits.ANSWER_SECONDS
    wait_until(lambda: log_lines(edge, "Redis is back") == began + 1, seconds=10, what="the limits to be back")
