"""Converge: what is in Xray becomes what our seats say, through crashes, races, restarts and servers that are away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from krotray_core import cabinet, clock, cutoff, health, provisioning, servers, subscriptions
from krotray_core.db import transaction
from krotray_core.errors import NotFound, XrayError, XrayInboundMissing, XrayUnavailable
from krotray_core.models import Seat, Server, User
from krotray_core.xray.client import Add, Operation, Outcome, XrayClient
from sandbox.process import wait_until
from sandbox.world import World
from tests.conftest import at_once, converge_all, new_user


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
    if not node.process.running:
        node.start()


def give(user: User) -> None:
    """Thirty days."""
    subscriptions.grant(user.telegram_id, 30)


def seat_of(user: User) -> Seat:
    """The user's seat."""
    with transaction() as session:
        return session.scalars(select(Seat).where(Seat.email == f"user_{user.id}")).one()


def held(server: Server) -> dict[str, object]:
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
    """Lets all leases run out."""
    with transaction() as session:
        session.execute(update(Seat).values(leased_until=clock.now() - timedelta(seconds=1)))


def test_paid_added_expired_removed_and_cut_off(alone: Server, user: User) -> None:
    give(user)
    assert cabinet.of_user(user.id).state == "provisioning"
    assert cabinet.of_user(user.id).vless_url is None
    provisioning.converge(alone.id)
    seen = cabinet.of_user(user.id)
    assert seen.state == "active"
    assert held(alone)[f"user_{user.id}"] == seat_of(user).uuid
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
        assert health.watch() == set()
        assert [server.is_up for server in servers.everyone()] == [False, True]
        for _ in range(2):
            give(new_user())
        with transaction() as session:
            assert session.get_one(Server, gone.id).active_users == 3, "nobody new is put on a server that is down"
    finally:
        fresh.nodes[0].start()
    wait_until(lambda: health.watch() == {gone.id}, seconds=3, what="watch to see that the server is back")
    converge_all()
    assert {cabinet.of_user(user.id).state for user in people} == {"active"}


def test_after_a_restart_everybody_is_back(fresh: World, alone: Server) -> None:
    for _ in range(40):
        give(new_user())
    provisioning.converge(alone.id)
    assert health.watch() == set()
    with transaction() as session:  # it has been up for a while
        session.execute(update(Server).values(started_at=Server.started_at - timedelta(minutes=5)))
    fresh.nodes[0].crash()
    fresh.nodes[0].start()
    assert here(alone) == set()
    assert health.watch() == {alone.id}
    assert dirty() == 40
    provisioning.converge(alone.id)
    assert len(here(alone)) == 40
    assert health.watch() == set(), "and that was all about it"


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
    assert users[f"user_{wrong.id}"] == seat_of(wrong).uuid
    assert users[f"user_{missing.id}"] == seat_of(missing).uuid
    assert stray not in users
    assert f"user_{gone.id}" not in users
    assert strangers.items() <= users.items()
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
    assert held(alone)[f"user_{user.id}"] == seat_of(user).uuid
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
    with transaction() as session:
        session.execute(update(Server).values(inbound_tag="vless-in"))
    free_leases()
    assert provisioning.converge(alone.id).confirmed == 1


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
    with pytest.raises(servers.Conflict):
        servers.remove(alone.name)
    subscriptions.revoke(user.telegram_id)
    with pytest.raises(servers.Conflict):
        servers.remove(alone.name)
    provisioning.converge(alone.id)
    servers.remove(alone.name)
    with pytest.raises(NotFound):
        provisioning.converge(alone.id)
