"""Servers that are down, restarted, wrong or new: who is where, and who is moved."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from krotray_core import cabinet, clock, health, placement, provisioning, servers, subscriptions
from krotray_core.db import transaction
from krotray_core.errors import Conflict, NotFound, XrayUnavailable
from krotray_core.models import Server, User
from krotray_core.xray.operations import CUTOFF_PREFIX, Add
from sandbox.world import World
from tests.conftest import converge_all, new_user, revive
from tests.seats_kit import dirty, give, here, seat_of


def test_a_server_that_is_away_delays_only_its_own_users(fresh: World, fleet: list[Server]) -> None:
    people = [new_user() for _ in range(6)]
    for user in people:
        give(user)
    gone, there = fleet
    fresh.nodes[0].crash()
    try:
        with pytest.raises(XrayUnavailable):
            provisioning.converge(gone.id)
        provisioning.converge(there.id)
        states = sorted(cabinet.of_user(user.id).state for user in people)
        assert states == ["active"] * 3 + ["provisioning"] * 3
        assert provisioning.dirty_servers() == [gone.id], "no lease keeps them waiting once it is back"
        assert health.watch() == health.Watched(changed=True)
        assert [server.is_up for server in servers.everyone()] == [False, True]
        for _ in range(2):
            give(new_user())
        with transaction() as session:
            assert session.get_one(Server, gone.id).active_users == 3, "nobody new is put on a server that is down"
    finally:
        revive(fresh.nodes[0])
    assert health.watch().servers == {gone.id}
    converge_all()
    assert {cabinet.of_user(user.id).state for user in people} == {"active"}


def test_after_a_restart_everybody_is_back(fresh: World, alone: Server) -> None:
    for _ in range(40):
        give(new_user())
    provisioning.converge(alone.id)
    assert health.watch().servers == set()
    with transaction() as session:  # it has been up for a while
        session.execute(update(Server).values(started_at=Server.started_at - timedelta(minutes=5)))
    fresh.nodes[0].crash()
    revive(fresh.nodes[0])
    assert here(alone) == set()
    assert health.watch().servers == {alone.id}
    assert dirty() == 40
    provisioning.converge(alone.id)
    assert len(here(alone)) == 40
    assert health.watch().servers == set(), "and that was all about it"


def test_after_a_restart_who_was_cut_off_still_is(fresh: World, alone: Server) -> None:
    users = [new_user() for _ in range(3)]
    for user in users:
        subscriptions.grant(user.telegram_id, 30)
    converge_all()
    subscriptions.revoke(users[0].telegram_id)
    converge_all()
    xray = provisioning.client(alone)
    assert [tag for tag in xray.rules() if tag.startswith(CUTOFF_PREFIX)]
    with transaction() as session:  # it has been up for a while
        session.execute(update(Server).values(started_at=Server.started_at - timedelta(minutes=5)))
    fresh.nodes[0].crash()
    revive(fresh.nodes[0])
    assert [tag for tag in xray.rules() if tag.startswith(CUTOFF_PREFIX)] == [], "a restart forgets it"
    assert health.watch().servers == {alone.id}
    converge_all()
    assert [tag for tag in xray.rules() if tag.startswith(CUTOFF_PREFIX)]
    assert {email for email in xray.users() if email.startswith("user_")} == {f"user_{user.id}" for user in users[1:]}


def test_audit_mends_what_it_finds_and_leaves_strangers_alone(alone: Server) -> None:
    missing, wrong, gone = (new_user() for _ in range(3))
    for user in (missing, wrong, gone):
        give(user)
    subscriptions.revoke(gone.telegram_id)
    provisioning.converge(alone.id)
    xray = provisioning.client(alone)
    strangers = {"admin@example": uuid4(), "user_x": uuid4()}
    stray = "user_99999999"
    xray.apply([Add(email, key) for email, key in {**strangers, stray: uuid4(), f"user_{gone.id}": uuid4()}.items()])
    xray.apply([provisioning.Remove(f"user_{missing.id}"), provisioning.Remove(f"user_{wrong.id}")])
    xray.apply([Add(f"user_{wrong.id}", uuid4())])

    found = health.audit(alone.id)
    assert found.missing == [f"user_{missing.id}"]
    assert found.wrong_key == [f"user_{wrong.id}"]
    assert {stray, f"user_{gone.id}"} <= set(found.left_over)
    provisioning.converge(alone.id)
    users = xray.users()
    assert users[f"user_{wrong.id}"].key == seat_of(wrong).uuid
    assert users[f"user_{missing.id}"].key == seat_of(missing).uuid
    assert stray not in users
    assert f"user_{gone.id}" not in users
    assert {email: users[email].key for email in strangers} == strangers
    assert health.audit(alone.id).clean
    xray.apply([provisioning.Remove(email) for email in strangers])


def test_one_hung_server_does_not_make_the_others_look_restarted(fresh: World, fleet: list[Server]) -> None:
    for _ in range(4):
        give(new_user())
    converge_all()
    assert health.watch().servers == set()
    hung = fresh.nodes[1].process
    hung.signal(signal.SIGSTOP)
    try:
        assert health.watch() == health.Watched(changed=True)
    finally:
        hung.signal(signal.SIGCONT)
    assert dirty() == 0
    assert [server.is_up for server in servers.everyone()] == [True, False]
    assert fleet


@pytest.mark.parametrize("wrong", [{"grpc_port": 1}, {"inbound_tag": "typo"}])
def test_nobody_is_put_on_a_new_server_that_does_not_answer(
    fresh: World, alone: Server, user: User, wrong: dict[str, Any]
) -> None:
    give(new_user())
    node = fresh.nodes[1]
    options = {"name": "New", "host": "127.0.0.1", "grpc_port": node.grpc_port, "max_users": 9, "inbound_tag": None}
    bad = servers.add(**(options | wrong), vless_url_template=node.vless_url_template)
    assert bad.is_up is False
    assert bad.last_error
    give(user)
    with transaction() as session:
        assert session.get_one(Server, alone.id).active_users == 2


def test_who_never_got_in_is_moved_when_the_server_goes_down_and_who_did_stays(
    fresh: World, fleet: list[Server]
) -> None:
    in_already, stranded = [new_user(), new_user()], [new_user(), new_user()]
    for user in in_already:
        give(user)
    converge_all()
    for user in stranded:
        give(user)
    gone, there = fleet
    fresh.nodes[0].crash()
    try:
        assert health.watch().changed
        assert placement.rescue(clock.now()) == {gone.id, there.id}
        provisioning.converge(there.id)
        assert {cabinet.of_user(user.id).state for user in stranded} == {"active"}
        assert {cabinet.of_user(user.id).server_name for user in stranded} == {there.name}
        with transaction() as session:
            assert [session.get_one(Server, s.id).active_users for s in fleet] == [1, 3]
    finally:
        revive(fresh.nodes[0])
    assert gone.id in health.watch().servers
    converge_all()
    assert here(gone) == {f"user_{user.id}" for user in in_already} & here(gone)
    assert dirty() == 0


def test_stranded_without_room_elsewhere_the_seat_is_kept(fresh: World, alone: Server, user: User) -> None:
    give(user)
    fresh.nodes[0].crash()
    assert health.watch().changed
    assert placement.rescue(clock.now()) == set()
    assert seat_of(user).wanted
    with transaction() as session:
        assert session.get_one(Server, alone.id).active_users == 1


def test_the_same_xray_is_not_added_twice(fresh: World, alone: Server) -> None:
    """Each audit would throw out the other one's users."""
    node = fresh.nodes[0]
    with pytest.raises(Conflict):
        servers.add(
            name="Again",
            host=alone.host,
            grpc_port=node.grpc_port,
            max_users=1,
            inbound_tag=None,
            vless_url_template=node.vless_url_template,
        )


def test_a_server_leaves_only_when_nobody_is_on_it(alone: Server, user: User) -> None:
    give(user)
    with pytest.raises(Conflict):
        servers.remove(alone.name)
    subscriptions.revoke(user.telegram_id)
    with pytest.raises(Conflict):
        servers.remove(alone.name)
    provisioning.converge(alone.id)
    servers.remove(alone.name)
    with pytest.raises(NotFound):
        provisioning.converge(alone.id)
