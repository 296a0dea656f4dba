"""Emptying a server: everybody else's key goes on working, nobody is lost, and it can be undone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from krotray_core import (
    alarms,
    cabinet,
    clock,
    health,
    moving,
    placement,
    provisioning,
    servers,
    settings,
    subscriptions,
)
from krotray_core.db import transaction
from krotray_core.errors import Conflict, NotFound
from krotray_core.models import Notice, Seat, Server, User
from krotray_tasks import access
from sandbox.world import World
from tests.conftest import add_server, at_once, converge_all, revive
from tests.seats_kit import people


def held(server: Server, users: list[User]) -> set[str]:
    """Whom of these an Xray lets in."""
    return {f"user_{user.id}" for user in users} & provisioning.client(server).users().keys()


def seats() -> dict[str, int]:
    """Wanted seats by server, and they are what the counters say."""
    with transaction() as session:
        counted = dict(session.execute(select(Server.name, Server.active_users)).all())
        wanted = dict(
            session.execute(
                select(Server.name, func.count(Seat.id))
                .outerjoin(Seat, (Seat.server_id == Server.id) & Seat.wanted)
                .group_by(Server.name)
            ).all()
        )
    assert counted == wanted
    return counted


def told(kind: str) -> list[Notice]:
    """What people are to be told."""
    with transaction() as session:
        return list(session.scalars(select(Notice).where(Notice.kind == kind).order_by(Notice.id)))


def test_nobody_new_comes_to_a_draining_server(fleet: list[Server]) -> None:
    users = people(4)
    moving.drain(fleet[0].name)
    more = people(3)
    assert held(fleet[0], more) == set()
    assert len(held(fleet[0], users)) == 2, "those who are on it stay"
    moving.drain(fleet[0].name, on=False)
    assert held(fleet[0], people(1)), "it is the emptier one now"
    with pytest.raises(NotFound):
        moving.drain("Nowhere")


def test_everybody_is_moved_with_the_same_key_and_told(fleet: list[Server]) -> None:
    users = people(8)
    keys = {user.id: cabinet.of_user(user.id).subscription.uuid for user in users}  # type: ignore[union-attr]
    by_link = cabinet.of_user(users[0].id).subscription
    assert by_link
    subscriptions.note_fetch(by_link.id, by_link.fetched_at)
    away, stays = fleet
    moving.evacuate(away.name)
    moved = moving.step()
    assert (moved.people, moved.left, moved.servers) == (4, 0, {away.id, stays.id})
    converge_all()
    assert held(away, users) == set()
    assert len(held(stays, users)) == 8
    assert seats() == {away.name: 0, stays.name: 8}
    assert {user.id: cabinet.of_user(user.id).subscription.uuid for user in users} == keys  # type: ignore[union-attr]
    assert {cabinet.of_user(user.id).state for user in users} == {"active"}
    heard = {notice.telegram_id for notice in told("moved")}
    assert len(heard) in (3, 4)
    assert users[0].telegram_id not in heard, "a program that asks by itself finds the new server"
    assert moving.step() == moving.Moved(0, 0, frozenset())


def test_it_can_be_undone(fleet: list[Server]) -> None:
    users = people(8)
    away, stays = fleet
    before = held(away, users)
    with pytest.raises(Conflict):
        moving.undo(away.name)
    moving.evacuate(away.name)
    moving.step()
    converge_all()
    gone = next(user for user in users if f"user_{user.id}" in before)
    subscriptions.revoke(gone.telegram_id)
    back = moving.undo(away.name)
    assert (back.people, back.left) == (3, 0)
    converge_all()
    assert held(away, users) == before - {f"user_{gone.id}"}
    assert seats() == {away.name: 3, stays.name: 4}
    assert placement.seat_waiting(clock.now()) == set()


def test_who_finds_no_room_stays_until_there_is(fresh: World, fleet: list[Server]) -> None:
    users = people(6)
    away, stays = fleet
    with transaction() as session:
        session.execute(update(Server).where(Server.id == stays.id).values(max_users=4))
    moving.evacuate(away.name)
    moved = moving.step()
    assert (moved.people, moved.left) == (1, 2)
    converge_all()
    assert len(held(away, users)) == 2, "and their keys go on working"
    with transaction() as session:
        session.execute(update(Server).where(Server.id == stays.id).values(max_users=10))
    access.evacuate.run()
    assert seats() == {away.name: 0, stays.name: 6}
    assert fresh


def test_somebody_who_leaves_meanwhile_holds_up_nobody(fleet: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    users = people(8)
    away = fleet[0]
    leaves = next(user for user in users if f"user_{user.id}" in held(away, users))
    move = moving._move

    def first_somebody_leaves(subscription_id: int, *args: Any, **options: Any) -> set[int] | None:
        monkeypatch.setattr(moving, "_move", move)
        subscriptions.revoke(leaves.telegram_id)
        return move(subscription_id, *args, **options)

    monkeypatch.setattr(moving, "_move", first_somebody_leaves)
    moving.evacuate(away.name)
    moved = moving.step()
    assert (moved.people, moved.left) == (3, 0)


def test_two_at_once_move_everybody_once(fleet: list[Server]) -> None:
    people(30)
    moving.evacuate(fleet[0].name)
    moved = at_once(4, lambda _: moving.step().people)
    assert sum(moved) == 15  # type: ignore[arg-type]
    assert seats() == {fleet[0].name: 0, fleet[1].name: 30}


def test_a_server_that_stays_down_is_emptied_if_so_wished(
    fresh: World, fleet: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = people(6)
    node = fresh.nodes[0]
    node.crash()
    try:
        health.watch()
        assert moving.step().people == 0, "off by default"
        patient = settings.get().model_copy(update={"evacuate_after_seconds": 600, "admin_telegram_ids": (77,)})
        monkeypatch.setattr(settings, "get", lambda: patient)
        assert moving.step().people == 0, "not at once"
        with transaction() as session:
            row = session.get_one(Server, fleet[0].id)
            assert row.state_since
            row.state_since -= timedelta(seconds=601)
        assert moving.step().people == 3
        alarms.look()
        alarms.look()
        assert [notice.data["name"] for notice in told("server_down")] == [node.name]
        assert seats() == {fleet[0].name: 0, fleet[1].name: 6}
        converge_all()
        assert len(held(fleet[1], users)) == 6
    finally:
        revive(node)
    assert health.watch().servers == {fleet[0].id}
    converge_all()
    assert held(fleet[0], users) == set(), "what was left there is taken away when it returns"
    with transaction() as session:
        row = session.get_one(Server, fleet[0].id)
        assert row.state_since
        row.state_since -= timedelta(minutes=1)
    alarms.look()
    alarms.look()
    assert [notice.data["name"] for notice in told("server_up")] == [node.name]


def test_a_buyer_whose_server_has_just_died_is_served_elsewhere_at_once(
    fresh: World, fleet: list[Server], user: User
) -> None:
    """Nobody has watched yet: the converge that meets the silence looks, and the seat moves."""
    with transaction() as session:
        session.execute(update(Server).where(Server.id == fleet[1].id).values(active_users=0, enabled=False))
    subscriptions.grant(user.telegram_id, 30)
    servers.switch(fleet[1].name, enabled=True)
    node = fresh.nodes[0]
    node.crash()
    try:
        access.converge.run(fleet[0].id)
        provisioning.converge(fleet[1].id)
        assert cabinet.of_user(user.id).state == "active"
        assert held(fleet[1], [user])
    finally:
        revive(node)
    health.watch()
    converge_all()
    assert held(fleet[0], [user]) == set()


def test_the_admins_hear_that_it_gets_full_and_that_people_wait(
    fresh: World, monkeypatch: pytest.MonkeyPatch, pass_time: Callable[[timedelta], None]
) -> None:
    wanted = settings.get().model_copy(update={"admin_telegram_ids": (77,)})
    monkeypatch.setattr(settings, "get", lambda: wanted)
    add_server(fresh.nodes[0], max_users=10)
    people(8)
    alarms.look()
    assert told("fleet_full") == []
    people(1)
    alarms.look()
    alarms.look()
    assert [notice.data for notice in told("fleet_full")] == [{"taken": 9, "room": 10}]
    people(3)
    alarms.look()
    assert [notice.data for notice in told("people_wait")] == [{"people": 2}]
    pass_time(timedelta(days=1))
    alarms.look()
    assert len(told("people_wait")) == 2, "and again on the next day"
