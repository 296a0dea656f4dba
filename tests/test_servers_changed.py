"""A server that is added twice, has moved, or is lost for good, with people on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from krotray_core import (
    cabinet,
    health,
    moving,
    servers,
)
from krotray_core.errors import Conflict, Invalid
from krotray_core.models import Server
from sandbox.parts import XrayNode, vpn
from sandbox.world import World
from tests.conftest import converge_all, revive
from tests.seats_kit import people


def test_the_same_xray_is_not_added_under_another_address(fresh: World, fleet: list[Server]) -> None:
    for server in fleet:
        health.audit(server.id)  # what other tests have left there
    people(6)
    node = fresh.nodes[0]
    twin = {"name": "Twin", "host": "localhost", "grpc_port": node.grpc_port, "max_users": 9}
    with pytest.raises(Conflict, match=node.name):
        servers.add(**twin, inbound_tag=None, vless_url_template=node.vless_url_template)  # type: ignore[arg-type]
    assert [server.name for server in servers.everyone()] == [server.name for server in fleet]
    assert {health.audit(server.id).clean for server in fleet} == {True}


def test_a_server_that_has_moved_is_sent_everybody(
    fresh: World, alone: Server, third_node: XrayNode, page: str, tmp_path: Path
) -> None:
    user = people(3)[0]
    assert fresh
    where = servers.Change(
        grpc_port=third_node.grpc_port, vless_url_template=third_node.vless_url_template, max_users=50
    )
    moved = servers.change(alone.name, where)
    assert (moved.is_up, moved.active_users, moved.max_users) == (True, 3, 50)
    converge_all()
    url = cabinet.of_user(user.id).vless_url
    assert url
    with vpn(url, tmp_path) as client:
        assert client.fetch(page)
    with pytest.raises(Conflict):
        servers.change(alone.name, servers.Change(max_users=2))
    for wrong in ({"host": "a b"}, {"grpc_port": 0}, {"max_users": 0}, {"vless_url_template": "http://"}):
        with pytest.raises(Invalid):
            servers.change(alone.name, servers.Change(**wrong))  # type: ignore[arg-type]


def test_a_server_that_is_lost_for_good_can_be_forgotten(fresh: World, fleet: list[Server]) -> None:
    people(4)
    fresh.nodes[0].crash()
    try:
        health.watch()
        moving.evacuate(fleet[0].name)
        moving.step()
        converge_all()
        with pytest.raises(Conflict, match="--lost"):
            servers.remove(fleet[0].name)
        servers.remove(fleet[0].name, lost=True)
    finally:
        revive(fresh.nodes[0])
    assert [(server.name, server.active_users) for server in servers.everyone()] == [(fleet[1].name, 4)]


def test_a_server_that_answers_is_never_lost(fleet: list[Server]) -> None:
    people(2)
    moving.evacuate(fleet[0].name)
    moving.step()
    with pytest.raises(Conflict, match="in a moment"):
        servers.remove(fleet[0].name, lost=True)
    converge_all()
    servers.remove(fleet[0].name)
