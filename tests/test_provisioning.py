"""Converge: what is in Xray becomes what our seats say, through crashes, races, restarts and servers that are away."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from krotray_core import cabinet, clock, cutoff, health, placement, provisioning, servers, subscriptions
from krotray_core.db import transaction
from krotray_core.errors import Conflict, NotFound, XrayError, XrayInboundMissing, XrayUnavailable
from krotray_core.models import Seat, Server, User
from krotray_core.xray.client import Account, Add, Operation, Outcome, XrayClient
from sandbox.world import World
from tests.conftest import at_once, converge_all, new_user, revive


@pytest.fixture
def alone(fresh: World) -> Iterator[Server]:
    """One server, whose Xray runs again after the test whatever the test did to it."""
    node = fresh.nodes[0]
    yield servers.add(
        name=node.name,
        host="127.0.0.1",
        grpc_port=node.grpc_port,
        max_users=1000,
        inbound_tag=None,
        vless_url_template=node.vless_url_template,
    )
    revive(node)


def give(user: User) -> None:
    """Thirty days."""
    subscriptions.grant(user.telegram_id, 30)


def seat_of(user: User) -> Seat:
    """The user's seat."""
    with transaction() as session:
        return session.scalars(select(Seat).where(Seat.email == f"user_{user.id}")).one()


def held(server: Server) -> dict[str, Account]:
    """Everybody of ours on the server's Xray."""
    return {email: key for email, key in provisioning.client(server).users().items() if email.startswith("user_")}


def here(server: Server) -> set[str]:
    """The e-mails of this test's users that the Xray holds (others may be left from other tests)."""
    with transaction() as session:
        return set(held(server)) & set(session.scalars(select(Seat.email)))


def dirty() -> int:
    """How many seats are not confirmed."""
    with transaction() as session:
        return session.scalar(select(func.count()).where(Seat.generation != Seat.observed_generation)) or 0


def free_leases() -> None:
    """Lets all leases and pauses run out."""
    past = clock.now() - timedelta(seconds=1)
    with transaction() as session:
        session.execute(update(Seat).values(leased_until=past, paused_until=past))


def test_paid_added_expired_removed_and_cut_off(alone: Server, user: User) -> None:
    give(user)
    assert cabinet.of_user(user.id).state == "provisioning"
    assert cabinet.of_user(user.id).vless_url is None
    provisioning.converge(alone.id)
    seen = cabinet.of_user(user.id)
    assert seen.state == "active"
    assert held(alone)[f"user_{user.id}"].key == seat_of(user).uuid
    subscriptions.revoke(user.telegram_id)
    provisioning.converge(alone.id)
    assert here(alone) == set()
    assert seat_of(user).cut_off
    assert len(provisioning.client(alone).rules()) == 1
    give(user)
    provisioning.converge(alone.id)
    assert here(alone) == {f"user_{user.id}"}
    assert not seat_of(user).cut_off
    assert provisioning.client(alone).rules() == []


def test_many_workers_at_once_do_each_seat_once(alone: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "BATCH", 7)
    sent: list[Operation] = []
    real = XrayClient.apply

    def counting(self: XrayClient, operations: Sequence[Operation]) -> list[Outcome]:
        sent.extend(operations)
        return real(self, operations)

    monkeypatch.setattr(XrayClient, "apply", counting)
    for _ in range(60):
        give(new_user())
    at_once(6, lambda _: provisioning.converge(alone.id))
    assert dirty() == 0
    assert len(here(alone)) == 60
    assert len(sent) == 60


def test_a_change_that_comes_in_between_is_done_as_well(
    alone: Server, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked after the add was sent and before it was recorded: the answer to the old generation confirms nothing."""
    give(user)
    real = XrayClient.apply
    done = []

    def revoked_meanwhile(self: XrayClient, operations: Sequence[Operation]) -> list[Outcome]:
        outcomes = real(self, operations)
        if not done:
            done.append(subscriptions.revoke(user.telegram_id))
        return outcomes

    monkeypatch.setattr(XrayClient, "apply", revoked_meanwhile)
    provisioning.converge(alone.id)
    assert dirty() == 0
    assert here(alone) == set()


def test_a_worker_that_lost_its_lease_cannot_undo_the_newer_state(
    alone: Server, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes up late and adds a user whom another worker has removed since: the seat gets dirty again and is mended."""
    give(user)
    real = XrayClient.apply
    nested: list[object] = []

    def slow(self: XrayClient, operations: Sequence[Operation]) -> list[Outcome]:
        if not nested:
            nested.append(operations)
            free_leases()
            subscriptions.revoke(user.telegram_id)
            provisioning.converge(alone.id)
            assert here(alone) == set()
        return real(self, operations)

    monkeypatch.setattr(XrayClient, "apply", slow)
    provisioning.converge(alone.id)
    provisioning.converge(alone.id)
    assert here(alone) == set()
    assert dirty() == 0


class _CrashError(BaseException):
    """The worker is killed here."""


@pytest.mark.parametrize("step", ["before sending", "after sending", "before recording"])
def test_a_worker_killed_half_way_leaves_its_work_to_the_next(
    alone: Server, user: User, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    give(user)
    real = XrayClient.apply

    def killed(self: XrayClient, operations: Sequence[Operation]) -> list[Outcome]:
        if step == "before sending":
            raise _CrashError
        outcomes = real(self, operations)
        if step == "after sending":
            raise _CrashError
        return outcomes

    def killed_later(*_: object) -> None:
        raise _CrashError

    monkeypatch.setattr(XrayClient, "apply", killed)
    if step == "before recording":
        monkeypatch.setattr(provisioning, "_record", killed_later)
    with pytest.raises(_CrashError):
        provisioning.converge(alone.id)
    monkeypatch.undo()
    assert provisioning.dirty_servers() == [], "the lease still holds"
    free_leases()
    assert provisioning.dirty_servers() == [alone.id]
    provisioning.converge(alone.id)
    assert dirty() == 0
    assert here(alone) == {f"user_{user.id}"}


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
        assert health.watch() == health.Watched(set(), changed=True)
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


def test_a_new_key_replaces_the_old_one(alone: Server, user: User) -> None:
    give(user)
    provisioning.converge(alone.id)
    old = cabinet.of_user(user.id)
    subscriptions.rotate_key(user.telegram_id)
    assert cabinet.of_user(user.id).vless_url is None, "the new key does not work yet"
    provisioning.converge(alone.id)
    new = cabinet.of_user(user.id)
    assert held(alone)[f"user_{user.id}"].key == seat_of(user).uuid
    assert new.vless_url != old.vless_url
    assert new.subscription_url != old.subscription_url


def test_what_a_server_refuses_is_tried_again_later_and_seen(alone: Server, user: User) -> None:
    with transaction() as session:
        session.execute(update(Server).values(inbound_tag="nope"))
    give(user)
    result = provisioning.converge(alone.id)
    assert (result.confirmed, result.refused) == (0, 1)
    assert provisioning.dirty_servers() == [], "there is a pause"
    assert "nope" in (seat_of(user).last_error or "")
    with pytest.raises(XrayInboundMissing):
        health.audit(alone.id)
    assert [finding.level for finding in servers.check(alone.name)] == ["ok", "ok", "failed"]
    assert health.watch().changed
    assert servers.everyone()[0].is_up is False, "nobody new is sent there"
    with transaction() as session:
        session.execute(update(Server).values(inbound_tag="vless-in"))
    assert health.watch().servers == {alone.id}
    assert provisioning.converge(alone.id).confirmed == 1, "set right, and no pause keeps anybody waiting"


def test_a_change_is_not_kept_waiting_by_an_old_refusal(alone: Server, user: User) -> None:
    give(user)
    provisioning.converge(alone.id)
    with transaction() as session:
        session.execute(update(Seat).values(paused_until=clock.now() + timedelta(minutes=5), attempts=9))
    subscriptions.revoke(user.telegram_id)
    assert provisioning.dirty_servers() == [alone.id]


def test_one_hung_server_does_not_make_the_others_look_restarted(fresh: World, fleet: list[Server]) -> None:
    for _ in range(4):
        give(new_user())
    converge_all()
    assert health.watch().servers == set()
    hung = fresh.nodes[1].process
    hung.signal(signal.SIGSTOP)
    try:
        assert health.watch() == health.Watched(set(), changed=True)
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
        assert placement.rescue(clock.now()) == {there.id}
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


def test_a_long_queue_is_left_to_another_call_when_time_is_up(alone: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "BATCH", 1)
    monkeypatch.setattr(provisioning, "BUDGET_SECONDS", 0.0)
    for _ in range(3):
        give(new_user())
    result = provisioning.converge(alone.id)
    assert result.more
    monkeypatch.setattr(provisioning, "BUDGET_SECONDS", 30.0)
    assert not provisioning.converge(alone.id).more
    assert dirty() == 0


def test_only_one_worker_writes_the_cut_off_rule(alone: Server, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes second leaves its seats dirty rather than write an older picture over a newer one."""
    give(user)
    provisioning.converge(alone.id)
    subscriptions.revoke(user.telegram_id)
    with transaction() as session:
        session.execute(update(Server).values(rule_leased_until=clock.now() + timedelta(seconds=20)))
    with pytest.raises(XrayUnavailable):
        provisioning.converge(alone.id)
    assert dirty() == 1
    with transaction() as session:
        session.execute(update(Server).values(rule_leased_until=clock.now() - timedelta(seconds=1)))
    provisioning.converge(alone.id)
    assert dirty() == 0

    def refused(_self: XrayClient, _emails: object) -> bool:
        raise XrayError("no")

    give(user)
    monkeypatch.setattr(XrayClient, "cut_off", refused)
    assert provisioning.converge(alone.id).refused == 1, "not confirmed while still cut off"
    with transaction() as session:
        assert session.get_one(Server, alone.id).rule_leased_until is None


def test_the_rule_forgets_who_left_more_than_a_day_ago(alone: Server) -> None:
    long_gone, lately = new_user(), new_user()
    for user in (long_gone, lately):
        give(user)
        subscriptions.revoke(user.telegram_id)
    with transaction() as session:
        yesterday = clock.now() - timedelta(hours=25)
        session.execute(update(Seat).where(Seat.email == f"user_{long_gone.id}").values(removed_at=yesterday))
    assert cutoff._emails(alone.id) == [f"user_{lately.id}"]


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
