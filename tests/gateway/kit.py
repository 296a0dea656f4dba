"""A server that does to a connection whatever a test wants, the sandbox YooKassa, and payments as YooKassa tells them."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from krotray_core import money, yookassa
from krotray_core.errors import GatewayUnavailable
from krotray_core.yookassa import client as transport
from sandbox.serving import listen, serve_on
from sandbox.yookassa import Config, create_app
from sandbox.yookassa.core import Sandbox

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
REFUND_ID = "2d8f7a1c-0016-5000-9000-1b2c3d4e5f61"
REFUND_KEY = "5c1f8f0e-3f4e-4a31-8b0c-7f5b3f0a9d11"
REFUND: dict[str, Any] = {
    "id": REFUND_ID,
    "payment_id": ID,
    "status": "succeeded",
    "created_at": "2026-01-02T00:00:00.000Z",
    "amount": {"value": "40.50", "currency": "RUB"},
    "metadata": {"refund_id": REFUND_KEY},
}
ERROR = {
    "type": "error",
    "id": ID,
    "code": "some_code",
    "parameter": "amount.value",
    "description": f"you said {SECRET}, 4111111111111111",
    "retry_after": 1800,
}
SOON = 0.5  # instead of CONNECT_SECONDS and READ_SECONDS
WHOLE = 1.0  # instead of ANSWER_SECONDS
BUSY_MACHINE = 4.0  # how much later than that an error may come


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


def refund(**changes: object) -> dict[str, Any]:
    """A refund as YooKassa tells it, with changes; None takes a field out."""
    return {name: value for name, value in (REFUND | changes).items() if value is not None}


def refund_body(payment_external_id: str = ID, kopecks: int = 40_50, refund_id: str = REFUND_KEY) -> dict[str, Any]:
    """What is sent to have some of a payment given back."""
    return {
        "payment_id": payment_external_id,
        "amount": {"value": money.to_text(kopecks), "currency": "RUB"},
        "description": "KrotRay, возврат",
        "metadata": {"refund_id": refund_id},
    }


Serve = Callable[..., Server]


@dataclass
class Till:
    """A running sandbox YooKassa, with its control API and a way inside."""

    url: str
    sandbox: Sandbox

    def control(self, path: str, **body: Any) -> None:
        """Plays payer, bank or time."""
        requests.post(f"{self.url}/sandbox{path}", json=body, timeout=20).raise_for_status()

    def arm(self, operation: str, kind: str, **options: Any) -> None:
        """Breaks something."""
        self.control("/faults", operation=operation, kind=kind, **options)

    def asked(self, operation: str) -> int:
        """How often that was asked for."""
        return self.sandbox.requests.snapshot().get(operation, 0)

    def paid(self, kopecks: int = 100_00) -> yookassa.Found:
        """A new payment that has been paid."""
        amount = {"value": money.to_text(kopecks), "currency": "RUB"}
        made = yookassa.create(BODY | {"amount": amount}, str(uuid.uuid4()))
        self.control(f"/payments/{made.external_id}/pay")
        return yookassa.fetch(made.external_id)


@contextlib.contextmanager
def running() -> Iterator[Till]:
    """The sandbox behind a real HTTP server on a free port."""
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = create_app(Config(shop_id=SHOP, secret_key=SECRET, public_url=url))
    sandbox: Sandbox = app.extensions["yookassa_sandbox"]
    server = serve_on(listening, app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Till(url, sandbox)
    finally:
        sandbox.close()
        server.shutdown()
        thread.join()
        server.server_close()


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that are made from now on give up soon."""
    monkeypatch.setattr(transport, "CONNECT_SECONDS", SOON)
    monkeypatch.setattr(transport, "READ_SECONDS", SOON)
    monkeypatch.setattr(transport, "ANSWER_SECONDS", WHOLE)


@contextlib.contextmanager
def hurried(till: Till) -> Iterator[None]:
    """Meanwhile our client has little patience with the sandbox."""
    with pytest.MonkeyPatch.context() as patched:
        impatient(patched)
        client = believe(patched, f"{till.url}/v3")
        yield
        client._session.close()


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


def create_refund() -> yookassa.FoundRefund:
    """A refund is asked for."""
    return yookassa.create_refund(refund_body(), REFUND_KEY)


def fetch_refund() -> yookassa.FoundRefund:
    """A refund is asked about."""
    return yookassa.fetch_refund(REFUND_ID)
