"""The gateway client against servers that misbehave: every answer is ours to name, in time, sent once, and without a secret."""

from __future__ import annotations

import base64
import contextlib
import copy
import gzip
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from krotray_core import settings, yookassa
from krotray_core.errors import GatewayDenied, GatewayError, GatewayNotFound, GatewayUnavailable
from sandbox.process import free_port
from sandbox.world import World

SHOP, SECRET = "100500", "live_parole-four"
LOGIN = base64.b64encode(f"{SHOP}:{SECRET}".encode()).decode()
KEY = "2f6b1a4e-7b53-4c0e-9f37-1b1d7a1c2d3e"
ID = "2d8f7a1c-000f-5000-9000-1b2c3d4e5f60"
BODY = {
    "amount": {"value": "100.00", "currency": "RUB"},
    "capture": True,
    "confirmation": {"type": "redirect", "return_url": "https://vpn.example/app/"},
    "description": "KrotRay, 30 дней",
    "metadata": {"payment_id": KEY},
    "payment_method_data": {"type": "bank_card"},
}
PAYMENT: dict[str, Any] = {
    "id": ID,
    "status": "pending",
    "paid": False,
    "amount": {"value": "100.00", "currency": "RUB"},
    "recipient": {"account_id": SHOP, "gateway_id": "1"},
    "confirmation": {"type": "redirect", "confirmation_url": "https://yoomoney.example/checkout"},
    "metadata": {"payment_id": KEY, "cms_name": "api"},
    "created_at": "2026-01-01T00:00:00.000Z",
    "test": True,
}
SOON = 0.3  # instead of CONNECT_SECONDS and READ_SECONDS
WHOLE = 0.6  # instead of ANSWER_SECONDS
BUSY_MACHINE = 1.5  # how much later than that an error may come


class Server:
    """One that reads a request, keeps it, and then does to the connection what `answer` says."""

    def __init__(self, answer: Callable[[socket.socket], object], *, reads: bool = True) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closing = threading.Event()
        self._answer, self._reads = answer, reads
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection = self._socket.accept()[0]
            if self.closing.is_set():
                connection.close()
                return
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(30)
            try:
                while not self._reads or self._read(connection):
                    if self._answer(connection) is not KEEP:
                        return
            except OSError:
                return  # the client has gone

    def _read(self, connection: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            received = connection.recv(65_536)
            if not received:
                return False
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(fields(head).get("content-length", "0"))
        while len(body) < length:
            body += connection.recv(65_536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return True

    def drip(self, connection: socket.socket, data: bytes) -> None:
        """A byte at a time, each well before the client loses patience with a silent server."""
        for position in range(len(data)):
            if self.closing.wait(SOON / 6):
                return
            connection.sendall(data[position : position + 1])

    def close(self) -> None:
        """Ends it and every connection."""
        self.closing.set()
        socket.create_connection(self._socket.getsockname()).close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()


KEEP = object()  # an answer after which the connection stays open


def fields(head: bytes) -> dict[str, str]:
    """The header fields of a request."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def answer(status: int, body: bytes | object, *headers: str) -> bytes:
    """An HTTP answer; anything but bytes goes as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + data


def payment(**changes: object) -> dict[str, Any]:
    """A payment as YooKassa tells it, with changes; None takes a field out."""
    return {name: value for name, value in (PAYMENT | changes).items() if value is not None}


Serve = Callable[..., Server]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Makes a server that our client believes to be YooKassa; deadlines are short."""
    monkeypatch.setattr(yookassa, "CONNECT_SECONDS", SOON)
    monkeypatch.setattr(yookassa, "READ_SECONDS", SOON)
    monkeypatch.setattr(yookassa, "ANSWER_SECONDS", WHOLE)
    made: list[Server] = []
    clients: list[yookassa._Client] = []

    def make(what: bytes | Callable[[socket.socket], object], *, reads: bool = True, path: str = "/v3") -> Server:
        does = what if callable(what) else lambda connection: connection.sendall(what) or KEEP
        made.append(Server(does, reads=reads))
        clients.append(believe(monkeypatch, made[-1].url + path))
        return made[-1]

    yield make
    for client in clients:
        client._session.close()
    monkeypatch.undo()
    for server in made:
        server.close()


def believe(monkeypatch: pytest.MonkeyPatch, url: str) -> yookassa._Client:
    """Has our client talk to this address, with the credentials above."""
    client = yookassa._Client(url, SHOP, SECRET)
    monkeypatch.setattr(yookassa, "_client", lambda: client)
    return client


def fails(work: Callable[[], object], kind: type[Exception] = GatewayUnavailable) -> str:
    """`work` raises exactly this kind, in time, and nothing that comes with it holds our secret. Returns the message."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        work()
    assert time.monotonic() - began < WHOLE + SOON + BUSY_MACHINE
    assert caught.type is kind
    error: BaseException | None = caught.value
    while error is not None:
        discreet(f"{error!s} {error!r} {vars(error)}")
        error = error.__cause__ or error.__context__
    return str(caught.value)


def discreet(text: str) -> None:
    """There is no secret in it."""
    assert SECRET not in text
    assert LOGIN not in text


def create() -> yookassa.Found:
    """A payment is asked for."""
    return yookassa.create(BODY, KEY)


def fetch() -> yookassa.Found:
    """A payment is asked about."""
    return yookassa.fetch(ID)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, no secret is logged, by no library, at no level."""
    with caplog.at_level(logging.DEBUG):
        yield
    discreet(caplog.text)
    discreet(" ".join(repr(record.__dict__) for record in caplog.records))


def test_what_is_sent_and_what_is_read(serve: Serve) -> None:
    server = serve(answer(200, payment()))
    before = copy.deepcopy(BODY)
    found = create()
    assert before == BODY, "the SDK writes into what it is given"
    assert found == yookassa.Found(
        external_id=ID,
        status="pending",
        paid=False,
        amount_kopecks=100_00,
        refunded_kopecks=0,
        currency="RUB",
        shop_id=SHOP,
        payment_id=KEY,
        confirmation_url="https://yoomoney.example/checkout",
        cancel_reason=None,
        captured_at=None,
    )
    assert fetch() == found
    posted, got = server.requests
    assert posted.startswith(b"POST /v3/payments HTTP/1.1\r\n")
    assert got.startswith(f"GET /v3/payments/{ID} HTTP/1.1\r\n".encode())
    head, _, body = posted.partition(b"\r\n\r\n")
    assert fields(head)["idempotence-key"] == KEY
    assert fields(head)["authorization"] == fields(got)["authorization"] == f"Basic {LOGIN}"
    assert fields(head)["content-type"].startswith("application/json")
    sent = json.loads(body)
    assert {name: sent[name] for name in BODY if name != "metadata"} == {n: BODY[n] for n in BODY if n != "metadata"}
    assert sent["metadata"]["payment_id"] == KEY
    assert server.connections == 1, "one connection serves both"


def test_the_ends_of_a_payment(serve: Serve) -> None:
    paid = payment(status="succeeded", paid=True, captured_at="2026-01-01T03:00:00.250+03:00", confirmation=None)
    serve(answer(200, paid | {"refunded_amount": {"value": "40.50", "currency": "RUB"}}))
    found = fetch()
    assert (found.status, found.paid, found.refunded_kopecks, found.confirmation_url) == ("succeeded", True, 4050, None)
    assert found.captured_at is not None
    assert found.captured_at.isoformat() == "2026-01-01T03:00:00.250000+03:00"
    serve(answer(200, payment(status="canceled", cancellation_details={"party": "x", "reason": "never_heard_of"})))
    assert (fetch().status, fetch().cancel_reason) == ("canceled", "never_heard_of")


def test_a_status_and_fields_that_are_new_to_us_do_no_harm(serve: Serve) -> None:
    serve(answer(200, payment(status="on_the_moon", metadata=None, news={"a": [1]}, payment_method={"type": "soul"})))
    found = fetch()
    assert (found.status, found.payment_id) == ("on_the_moon", None)


@pytest.mark.parametrize(
    "metadata", [{}, {"payment_id": None}, {"payment_id": 5}, {"payment_id": ["a"]}, {"other": "x"}]
)
def test_metadata_that_is_not_ours_names_no_payment(serve: Serve, metadata: object) -> None:
    serve(answer(200, payment(metadata=metadata)))
    assert fetch().payment_id is None


STATUSES = {
    400: GatewayError,
    401: GatewayDenied,
    403: GatewayDenied,
    404: GatewayNotFound,
    405: GatewayError,
    410: GatewayError,
    415: GatewayError,
    201: GatewayUnavailable,
    202: GatewayUnavailable,
    204: GatewayUnavailable,
    300: GatewayUnavailable,
    304: GatewayUnavailable,
    408: GatewayUnavailable,
    425: GatewayUnavailable,
    429: GatewayUnavailable,
    500: GatewayUnavailable,
    502: GatewayUnavailable,
    503: GatewayUnavailable,
    504: GatewayUnavailable,
    599: GatewayUnavailable,
}
ERROR = {
    "type": "error",
    "id": ID,
    "code": "some_code",
    "parameter": "amount.value",
    "description": f"you said {SECRET}, 4111111111111111",
    "retry_after": 1800,
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    "body", [ERROR, b"<html>Bad Gateway</html>", b"", [], None, "x"], ids=lambda b: type(b).__name__
)
def test_each_status_has_its_meaning_whatever_stands_below_it(serve: Serve, status: int, body: object) -> None:
    server = serve(answer(status, b"" if status in (204, 304) else body))
    for work in (create, fetch):
        message = fails(work, STATUSES[status])
        assert str(status) in message
        assert "4111" not in message
    assert len(server.requests) == 2, "one request each"


@pytest.mark.parametrize(
    "error",
    [
        {"code": {"a": [1]}, "parameter": 5},
        {"code": "x" * 100_000},
        {"code": None},
        {"code": "\x00\ud800"},
        {"code": True},
    ],
)
def test_an_odd_error_is_still_an_error(serve: Serve, error: object) -> None:
    serve(answer(400, error))
    assert len(fails(create, GatewayError)) < 200


NOT_A_PAYMENT = {
    "nothing": b"",
    "html": b"<html>It works!</html>",
    "half": json.dumps(PAYMENT).encode()[:-20],
    "twice": json.dumps(PAYMENT).encode() * 2,
    "not utf-8": b'{"id": "\xff\xfe"}',
    "list": [PAYMENT],
    "null": None,
    "true": True,
    "number": 1,
    "text": "succeeded",
    "NaN": b"NaN",
    "number too long for Python": b'{"id": ' + b"1" * 5000 + b"}",
    "empty": {},
    "an error with 200": ERROR,
    "a list of payments": {"type": "list", "items": [PAYMENT]},
    "no id": payment(id=None),
    "id a number": payment(id=5),
    "no status": payment(status=None),
    "status a number": payment(status=1),
    "no amount": payment(amount=None),
    "amount a number": payment(amount=100),
    "amount a list": payment(amount=["100.00", "RUB"]),
    "value a float": payment(amount={"value": 100.0, "currency": "RUB"}),
    "value a whole number": payment(amount={"value": 100, "currency": "RUB"}),
    "value NaN": payment(amount={"value": float("nan"), "currency": "RUB"}),
    "value the word NaN": payment(amount={"value": "NaN", "currency": "RUB"}),
    "value infinite": payment(amount={"value": "Infinity", "currency": "RUB"}),
    "value negative": payment(amount={"value": "-100.00", "currency": "RUB"}),
    "value with an exponent": payment(amount={"value": "1e2", "currency": "RUB"}),
    "value with three decimals": payment(amount={"value": "100.001", "currency": "RUB"}),
    "value with other digits": payment(amount={"value": "١٠٠.٠٠", "currency": "RUB"}),
    "value null": payment(amount={"value": None, "currency": "RUB"}),
    "no value": payment(amount={"currency": "RUB"}),
    "no currency": payment(amount={"value": "100.00"}),
    "currency a number": payment(amount={"value": "100.00", "currency": 643}),
    "refunded a float": payment(refunded_amount={"value": 0.1, "currency": "RUB"}),
    "refunded negative": payment(refunded_amount={"value": "-1.00", "currency": "RUB"}),
    "paid a word": payment(paid="true"),
    "paid a number": payment(paid=1),
    "no recipient": payment(recipient=None),
    "recipient without account": payment(recipient={"gateway_id": "1"}),
    "account a number": payment(recipient={"account_id": 100500}),
    "confirmation a text": payment(confirmation="https://yoomoney.example"),
    "confirmation_url a list": payment(confirmation={"confirmation_url": []}),
    "metadata a list": payment(metadata=[]),
    "metadata a text": payment(metadata=KEY),
    "captured_at garbage": payment(captured_at="yesterday"),
    "captured_at without a zone": payment(captured_at="2026-01-01T00:00:00"),
    "captured_at a number": payment(captured_at=1),
    "captured_at a list": payment(captured_at=[]),
    "reason a number": payment(status="canceled", cancellation_details={"reason": 5}),
}


@pytest.mark.parametrize("body", NOT_A_PAYMENT.values(), ids=NOT_A_PAYMENT)
def test_a_200_without_a_payment_in_it_means_nothing(serve: Serve, body: object) -> None:
    server = serve(answer(200, body))
    fails(create)
    fails(fetch)
    assert len(server.requests) == 2


@pytest.mark.parametrize("external_id", ["", "a/../../me", "x" * 65, "a b", "a\nb", "a\x00b", "ёж"])
def test_a_payment_that_could_never_be_asked_about_again_is_not_taken(serve: Serve, external_id: str) -> None:
    serve(answer(200, payment(id=external_id)))
    fails(create)


@pytest.mark.parametrize(
    "change",
    [
        {"confirmation": {"confirmation_url": "https://x.example/\x00"}},
        {"status": "canceled", "cancellation_details": {"reason": "a\x00b"}},
        {"confirmation": {"confirmation_url": "https://x.example/\ud800"}},
    ],
)
def test_text_that_the_database_cannot_keep_is_no_payment(serve: Serve, change: dict[str, Any]) -> None:
    serve(answer(200, payment(**change)))
    fails(fetch)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "not an address", "file:///etc/passwd", "//x.example"])
def test_a_buyer_is_sent_to_a_web_page_or_nowhere(serve: Serve, url: str) -> None:
    serve(answer(200, payment(confirmation={"type": "redirect", "confirmation_url": url})))
    fails(create)


def test_an_answer_about_another_payment_is_not_taken(serve: Serve) -> None:
    serve(answer(200, payment(id=str(uuid4()))))
    fails(fetch)
    serve(answer(200, payment(id=ID.upper())))
    fails(fetch)


@pytest.mark.parametrize("depth", [500, *range(900, 1000, 7), 2_000, 100_000, 400_000])
@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_nested_deeply_fells_nobody(serve: Serve, depth: int, status: int) -> None:
    nested = b"[" * depth + b"]" * depth
    head = json.dumps(PAYMENT)[:-1].encode()
    serve(answer(status, head + b', "news": ' + nested + b', "code": ' + nested + b', "parameter": ' + nested + b"}"))
    with contextlib.suppress(GatewayUnavailable, GatewayError):
        fetch()


def endless(connection: socket.socket) -> None:
    """A chunked answer without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def announced(connection: socket.socket) -> None:
    """A terabyte, by its own account."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n")
    while True:
        connection.sendall(b" " * 0x10000)


def endless_header(connection: socket.socket) -> None:
    """A header line without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x" * 0x10000)


def endless_headers(connection: socket.socket) -> None:
    """Header lines without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: x\r\n" * 1000)


def bomb(connection: socket.socket) -> object:
    """A few kilobytes that unpack to sixteen megabytes."""
    packed = gzip.compress(b" " * 16 * 1024 * 1024)
    connection.sendall(answer(200, packed, "Content-Encoding: gzip"))
    return KEEP


@pytest.mark.parametrize("flood", [endless, announced, endless_header, endless_headers, bomb])
def test_a_huge_answer_is_given_up(serve: Serve, flood: Callable[[socket.socket], object]) -> None:
    server = serve(flood)
    fails(create)
    assert len(server.requests) == 1


def reset(connection: socket.socket) -> None:
    """Ends the connection with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BROKEN = {
    "closed without a word": lambda _: None,
    "reset": reset,
    "closed in the status line": lambda c: c.sendall(b"HTTP/1."),
    "closed in the headers": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "closed in the body": lambda c: c.sendall(answer(200, PAYMENT)[:-10]),
    "closed in a chunk": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"),
    "chunks of no length": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "not HTTP": lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "not a status": lambda c: c.sendall(b"HTTP/1.1 abc\r\n\r\n"),
    "two lengths": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    "a length below nothing": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "gzip that is none": lambda c: c.sendall(answer(200, PAYMENT, "Content-Encoding: gzip")),
    "half of a gzip": lambda c: c.sendall(answer(200, gzip.compress(b"{}" * 999)[:-9], "Content-Encoding: gzip")),
}


@pytest.mark.parametrize("work", [create, fetch])
@pytest.mark.parametrize("does", BROKEN.values(), ids=BROKEN)
def test_a_broken_connection_is_unknown_and_nothing_is_sent_again(
    serve: Serve, does: Callable[[socket.socket], object], work: Callable[[], object]
) -> None:
    server = serve(does)
    fails(work)
    assert len(server.requests) == server.connections == 1


def test_dropped_before_the_request_was_read(serve: Serve) -> None:
    server = serve(reset, reads=False)
    fails(create)
    assert server.connections == 1


def test_a_kept_connection_that_breaks_costs_one_answer_and_no_second_request(serve: Serve) -> None:
    states = iter([lambda c: c.sendall(answer(200, payment())) or KEEP, reset])
    server = serve(lambda connection: next(states)(connection))  # noqa: PLW0108 - another one each time
    create()
    fails(create)
    assert (len(server.requests), server.connections) == (2, 1)


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"http://127.0.0.1:{free_port()}/v3", "http://gateway.invalid/v3"):
        believe(monkeypatch, url)
        fails(create)
        fails(fetch)


def test_no_tls_where_it_was_promised(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(answer(400, ERROR), reads=False)
    believe(monkeypatch, server.url.replace("http:", "https:"))
    fails(create)


@pytest.mark.parametrize("work", [create, fetch])
def test_a_server_that_hangs_is_left(serve: Serve, work: Callable[[], object]) -> None:
    server = serve(lambda connection: connection.recv(1))  # until the client goes
    fails(work)
    assert len(server.requests) == server.connections == 1


DRIPS = {
    "status line": b"HTTP/1.1 200 " + b"O" * 60 + b"\r\n\r\n",
    "headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10 + b"\r\n",
    "body": answer(200, b" " * 60),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10,
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3c\r\n" + b" " * 60 + b"\r\n",
    "body until closed": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 60,
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    "redirect": answer(302, b" " * 60, "Location: /elsewhere"),
    "error": answer(400, b" " * 60),
}
AT_ONCE = ("body", "chunks", "chunk", "body until closed", "redirect", "error")


@pytest.mark.parametrize("what", DRIPS)
def test_an_answer_that_drips_is_given_up(serve: Serve, what: str) -> None:
    def drip(connection: socket.socket) -> None:
        head, _, body = DRIPS[what].partition(b"\r\n\r\n")
        if what in AT_ONCE:
            connection.sendall(head + b"\r\n\r\n")
            server.drip(connection, body)
        else:
            server.drip(connection, DRIPS[what])

    server = serve(drip)
    fails(create)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve: Serve, status: int) -> None:
    thief = serve(answer(200, payment()))
    server = serve(answer(status, b"", f"Location: {thief.url}/v3/payments"))
    fails(create)
    fails(fetch)
    assert (len(server.requests), thief.connections) == (2, 0)


@pytest.mark.parametrize(
    "location", ["http://[", "http://[::1", "http://h:port/", "\xff\xfe", "", "//", "ftp://h/", "http:///"]
)
def test_a_redirect_to_nonsense_is_no_different(serve: Serve, location: str) -> None:
    serve(answer(302, b"", f"Location: {location}"))
    fails(create)
    fails(fetch)


def test_a_redirect_with_a_body_without_end(serve: Serve) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not server.closing.is_set():
            connection.sendall(b"400\r\n" + b" " * 0x400 + b"\r\n")
            server.closing.wait(0.01)
            if time.monotonic() - began > 4 * WHOLE:
                return

    began = time.monotonic()
    server = serve(flood)
    fails(create)


def test_netrc_and_proxies_of_the_machine_are_not_asked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    thief = serve(answer(200, payment()))
    server = serve(answer(200, payment()))
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief\ndefault login thief password thief\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, thief.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert requests.get(f"{server.url}/tempted", timeout=5).ok, "a client without care goes astray here"
    assert thief.connections == 1
    create()
    fetch()
    assert thief.connections == 1
    assert [fields(request)["authorization"] for request in server.requests] == [f"Basic {LOGIN}"] * 2


ELSEWHERE = (
    *("", ".", "..", "../me", "a/../../me", "/me", "a?b=c", "a#b", "a%2F..%2Fme", "a b", f"{ID}\n", f"{ID}/capture"),
    *("ёж", "１２３", "a\x00", "x" * 65, "http://thief.example/"),
)


@pytest.mark.parametrize("external_id", ELSEWHERE)
def test_an_id_that_could_lead_elsewhere_is_refused_without_a_request(serve: Serve, external_id: str) -> None:
    server = serve(answer(200, payment()))
    fails(lambda: yookassa.fetch(external_id), GatewayNotFound)
    assert server.connections == 0


def test_the_same_key_twice_makes_one_payment(fresh: World) -> None:
    key = str(uuid4())
    body = copy.deepcopy(BODY) | {"metadata": {"payment_id": key}}
    found = yookassa.create(body, key)
    assert (found.status, found.paid, found.amount_kopecks) == ("pending", False, 100_00)
    assert (found.currency, found.shop_id, found.payment_id) == ("RUB", settings.get().yookassa_shop_id, key)
    assert found.confirmation_url
    assert yookassa.create(body, key).external_id == found.external_id
    assert yookassa.fetch(found.external_id) == found
    s = settings.get()
    login = (s.yookassa_shop_id, s.yookassa_secret_key.get_secret_value())
    there = requests.get(f"{fresh.yookassa_url}/v3/payments", auth=login, timeout=5).json()["items"]
    assert [row["id"] for row in there] == [found.external_id]


def test_what_yookassa_refuses(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = str(uuid4())
    yookassa.create(BODY, key)
    other = BODY | {"amount": {"value": "1.00", "currency": "RUB"}}
    fails(lambda: yookassa.create(other, key), GatewayError)
    fails(lambda: yookassa.fetch(str(uuid4())), GatewayNotFound)
    believe(monkeypatch, f"{fresh.yookassa_url}/v3")
    fails(create, GatewayDenied)
    fails(fetch, GatewayDenied)
