"""Fixtures of the gateway's tests: a server that misbehaves, the sandbox YooKassa, and no secret in any log."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator

import pytest

from krotray_core import yookassa
from tests.gateway.kit import KEEP, Serve, Server, Till, believe, discreet, impatient, running


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Makes a server that our client believes to be YooKassa; deadlines are short."""
    impatient(monkeypatch)
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


@pytest.fixture
def till(monkeypatch: pytest.MonkeyPatch) -> Iterator[Till]:
    """The sandbox YooKassa, empty, which our client talks to."""
    with running() as made:
        client = believe(monkeypatch, f"{made.url}/v3")
        yield made
        client._session.close()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, no secret is logged, by no library, at no level."""
    with caplog.at_level(logging.DEBUG):
        yield
    records = caplog.get_records("call")  # by now `caplog.records` is that of the teardown
    discreet(" ".join(f"{record.getMessage()} {record.__dict__!r}" for record in records))
