"""A port that the sandbox has chosen stays its own until it is used."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from sandbox.process import free_port, listening

LOOPBACK = "127.0.0.1"
IP_LOCAL_PORT_RANGE = 51  # ip(7): since Linux 6.3; an older one chooses from all ports, and the test proves less


@pytest.fixture
def port() -> int:
    """One that was chosen."""
    return free_port()


@contextlib.contextmanager
def choosing(port: int, *, reuse: bool) -> Iterator[socket.socket]:
    """A socket for which the system may choose this port, if any."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        with contextlib.suppress(OSError):
            made.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", port << 16 | port))
        yield made


@pytest.mark.parametrize("reuse", [False, True])
def test_no_other_server_is_given_it(port: int, reuse: bool) -> None:
    with choosing(port, reuse=reuse) as other, contextlib.suppress(OSError):
        other.bind((LOOPBACK, 0))
        assert other.getsockname()[1] != port


def test_no_client_is_given_it(port: int) -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as server,
        choosing(port, reuse=False) as other,
        contextlib.suppress(OSError),
    ):
        other.connect(server.getsockname())
        assert other.getsockname()[1] != port


def test_who_asks_for_it_gets_it(port: int) -> None:
    assert not listening(port)
    with socket.create_server((LOOPBACK, port)):
        assert listening(port)
