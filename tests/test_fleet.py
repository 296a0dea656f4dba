"""Thirty servers, of which half are dead in every way that a server can be: nobody waits for them."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from krotray_core import health, provisioning, servers
from krotray_core.db import transaction
from krotray_core.models import Server
from krotray_core.xray.client import XrayClient
from sandbox.process import free_port, wait_until
from sandbox.simulated_xray import SimulatedXray
from sandbox.world import World
from tests.conftest import add_server, new_user
from tests.seats_kit import give
from tests.test_xray_client import answers

# With the two real ones and the dead: thirty.
SIMULATED = 4
WAYS_TO_BE_DEAD = ("refuses", "is silent", "hangs up", "talks nonsense")
OF_EACH = 6


@contextlib.contextmanager
def dead(way: str) -> Iterator[int]:
    """A port behind which something is wrong."""
    if way == "refuses":
        yield free_port()
        return
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        over = threading.Event()
        held: list[socket.socket] = []

        def answer() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    there, _ = listener.accept()
                    if way == "hangs up":
                        there.close()
                    else:
                        held.append(there)  # nothing is ever said, or nothing that makes sense
                    if way == "talks nonsense":
                        there.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        threading.Thread(target=answer, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for there in held:
                there.close()


@pytest.fixture
def simulated(fresh: World, tmp_path: Path) -> Iterator[list[SimulatedXray]]:
    """More Xrays than there is room for."""
    assert fresh
    made = [
        SimulatedXray(f"S{number}", tmp_path, grpc_port=free_port(), vless_port=free_port())
        for number in range(SIMULATED)
    ]
    yield made
    for node in made:
        node.crash()


@pytest.fixture
def half_dead() -> Iterator[None]:
    """24 servers that are added, and dead."""
    with contextlib.ExitStack() as stack:
        for way in WAYS_TO_BE_DEAD:
            for number in range(OF_EACH):
                servers.add(
                    name=f"{way} {number}",
                    host="127.0.0.1",
                    grpc_port=stack.enter_context(dead(way)),
                    max_users=10,
                    inbound_tag=None,
                    vless_url_template=None,
                )
        yield


def test_a_restart_is_seen_and_mended_while_the_dead_still_keep_us_waiting(
    fresh: World, simulated: list[SimulatedXray], half_dead: None
) -> None:
    assert half_dead is None
    alive = [add_server(node) for node in (*fresh.nodes, *simulated)]
    assert len(servers.everyone()) == 30
    health.watch()
    assert {server.name for server in servers.everyone() if server.is_up} == {server.name for server in alive}
    for _ in range(3 * len(alive)):
        give(new_user())
    for server in alive:
        assert provisioning.converge(server.id).confirmed == 3
    restarted, frozen = simulated[:2]
    with transaction() as session:
        session.execute(update(Server).values(checked_at=None))
        up_for_a_while = update(Server).where(Server.name == restarted.name)
        session.execute(up_for_a_while.values(started_at=Server.started_at - timedelta(minutes=5)))
    restarted.crash()
    restarted.start()
    client = XrayClient(f"127.0.0.1:{restarted.grpc_port}", "vless-in")
    wait_until(lambda: answers(client), seconds=5, what="the channel to come back")
    frozen.process.signal(signal.SIGSTOP)  # one that was well a moment ago costs a whole deadline
    mended: list[tuple[int, set[str]]] = []
    health.watch(lambda server_id: mended.append((provisioning.converge(server_id).confirmed, unheard())))
    ((confirmed, waited_for),) = mended
    assert confirmed == 3
    assert frozen.name in waited_for
    assert unheard() == set()
    with transaction() as session:
        down = session.scalars(select(Server).where(Server.is_up.is_(False))).all()
    assert len(down) == len(WAYS_TO_BE_DEAD) * OF_EACH + 1
    assert all(server.last_error and server.state_since for server in down)


def unheard() -> set[str]:
    """From which servers this look has yet to hear."""
    with transaction() as session:
        return set(session.scalars(select(Server.name).where(Server.checked_at.is_(None))))
