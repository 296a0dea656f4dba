"""How much has been used: as real Xrays count it for real clients, each byte once, through restarts, moves and payments."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from krotray_core import cabinet, clock, health, placement, traffic
from krotray_core.db import transaction
from krotray_core.errors import NotFound, XrayServiceMissing, XrayUnavailable
from krotray_core.models import Seat, Server, Subscription, User
from krotray_core.xray.client import XrayClient
from krotray_tasks import access
from sandbox.parts import XrayNode, vpn
from sandbox.process import free_port, wait_until
from sandbox.simulated_xray import SimulatedXray
from sandbox.world import World
from tests.conftest import add_server, converge_all, revive
from tests.sub_kit import granted
from tests.traffic_kit import seated, used

MEGABYTE = 10**6


def fetch(user: User, page: str, folder: Path, size: int = MEGABYTE) -> None:
    """The user's own VPN program fetches a page of this size."""
    link = cabinet.of_user(user.id).vless_url
    assert link
    with vpn(link, folder) as program:
        body = program.fetch(f"{page}{size}")
    assert body is not None
    assert len(body) == size


def counted(server: Server, user: User, more_than: int) -> int:
    """What the cabinet shows once the server's counters have been read; they are written as connections end."""

    def enough() -> bool:
        new = traffic.read(server.id)  # the last of it may be counted a moment later
        return (used(user) or 0) > more_than and not new

    wait_until(enough, seconds=10, what="the traffic to be counted")
    return used(user) or 0


# --- real servers, real clients ---


def test_a_page_that_is_fetched_is_counted(
    alone: Server, user: User, page: str, client: FlaskClient, tmp_path: Path
) -> None:
    path = granted(user)
    converge_all()
    traffic.read(alone.id)
    assert used(user) is None
    assert client.get(path).headers["Subscription-Userinfo"].startswith("upload=0; download=0; total=0; expire=")
    fetch(user, page, tmp_path)
    first = counted(alone, user, MEGABYTE)
    assert first < 2 * MEGABYTE
    assert traffic.read(alone.id) == 0, "nothing new, nothing written"
    assert used(user) == first
    fetch(user, page, tmp_path)
    assert 2 * MEGABYTE < counted(alone, user, first + MEGABYTE) < 4 * MEGABYTE
    assert f"download={used(user)}; total=0;" in client.get(path).headers["Subscription-Userinfo"]


def test_a_restart_neither_loses_nor_doubles(
    alone: Server, fresh: World, user: User, page: str, tmp_path: Path
) -> None:
    granted(user)
    converge_all()
    traffic.read(alone.id)
    fetch(user, page, tmp_path)
    before = counted(alone, user, MEGABYTE)
    node = fresh.nodes[0]
    node.crash()
    with pytest.raises(XrayUnavailable):
        traffic.read(alone.id)
    revive(node)
    assert used(user) == before
    traffic.read(alone.id)
    assert used(user) == before
    with transaction() as session:  # as `watch` would: it has forgotten everybody
        health.soil(session, alone.id, Seat.wanted)
    converge_all()
    fetch(user, page, tmp_path)
    assert before + MEGABYTE < counted(alone, user, before + MEGABYTE) < before + 2 * MEGABYTE


def test_what_was_used_on_several_servers_adds_up(fleet: list[Server], user: User, page: str, tmp_path: Path) -> None:
    granted(user)
    converge_all()
    for server in fleet:
        traffic.read(server.id)
    fetch(user, page, tmp_path)
    for server in fleet:
        if server.name == cabinet.of_user(user.id).server_name:
            first = counted(server, user, MEGABYTE)
    with transaction() as session:
        subscription = session.scalars(select(Subscription).where(Subscription.user_id == user.id)).one()
        assert placement.move(session, subscription, clock.now())
    converge_all()
    fetch(user, page, tmp_path)
    (there,) = [server for server in fleet if server.name == cabinet.of_user(user.id).server_name]
    total = counted(there, user, first + MEGABYTE)
    assert first + MEGABYTE < total < first + 2 * MEGABYTE
    for server in fleet:
        assert traffic.read(server.id) == 0


@pytest.mark.parametrize("missing", ["stats", "policy"])
def test_a_server_that_keeps_no_count_is_unknown_and_costs_one_call(
    user: User, page: str, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = XrayNode("Silent", tmp_path, grpc_port=free_port(), vless_port=free_port(), without=[missing])
    try:
        server = add_server(node)
        granted(user)
        converge_all()
        fetch(user, page, tmp_path)
        monkeypatch.setattr(XrayClient, "uptime", lambda _: pytest.fail("a second call"))
        assert traffic.read(server.id) == 0
        assert used(user) is None
    finally:
        node.stop()


def test_an_xray_that_never_heard_of_it_is_unknown(alone: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (user,) = seated()

    def refuse(_: XrayClient) -> dict[str, int]:
        raise XrayServiceMissing("unknown service")

    monkeypatch.setattr(XrayClient, "traffic", refuse)
    assert traffic.read(alone.id) == 0
    assert used(user) is None


def test_the_tasks_read_every_server_that_is_not_down(fleet: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(access.traffic, "enqueue", asked.append)
    with transaction() as session:
        session.get_one(Server, fleet[1].id).is_up = False
    access.traffic_all()
    assert asked == [fleet[0].id]
    monkeypatch.undo()
    access.traffic(fleet[0].id)
    with pytest.raises(NotFound):
        access.traffic(10**9)


def test_the_simulated_xray_answers_too(fresh: World, tmp_path: Path) -> None:
    assert fresh
    node = SimulatedXray("Sim", tmp_path, grpc_port=free_port(), vless_port=free_port())
    try:
        assert traffic.read(add_server(node).id) == 0
    finally:
        node.stop()
