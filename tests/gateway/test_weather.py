"""The network between YooKassa and us: in time, sent once, and without a secret."""

from __future__ import annotations

import copy
import gzip
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from krotray_core import settings, yookassa
from krotray_core.errors import GatewayDenied, GatewayError, GatewayNotFound
from sandbox.process import free_port
from sandbox.world import World
from tests.gateway.kit import (
    BODY,
    ERROR,
    ID,
    KEEP,
    LOGIN,
    PAYMENT,
    WHOLE,
    Serve,
    answer,
    believe,
    create,
    fails,
    fetch,
    fields,
    payment,
)


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
    known = socket.getaddrinfo

    def names(host: str, *more: Any, **named: Any) -> Any:
        if host == "gateway.invalid":  # no matter how long a name server would think about it
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return known(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", names)
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
