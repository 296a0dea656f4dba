"""Converge: what is in Xray becomes what our seats say, through crashes, races and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import update

from krotray_core import cabinet, clock, cutoff, health, provisioning, server_checks, servers, subscriptions
from krotray_core.db import transaction
from krotray_core.errors import XrayError, XrayInboundMissing, XrayUnavailable
from krotray_core.models import Seat, Server, User
from krotray_core.xray.client import XrayClient
from krotray_core.xray.operations import Operation, Outcome
from krotray_tasks import access
from tests.conftest import at_once, new_user
from tests.seats_kit import dirty, free_leases, give, held, here, seat_of


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


@pytest.mark.parametrize(("people", "helpers"), [(7, 1), (20, 1), (6, 0)])
def test_with_more_than_a_batch_to_do_one_more_is_asked_to_help(
    alone: Server, monkeypatch: pytest.MonkeyPatch, people: int, helpers: int
) -> None:
    monkeypatch.setattr(provisioning, "BATCH", 7)
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(access.converge, "enqueue", lambda *arguments: bool(asked.append(arguments)))
    monkeypatch.setattr(access.send_due, "enqueue", lambda: True)
    for _ in range(people):
        give(new_user())
    access.converge(alone.id)
    assert asked == [(alone.id, 1)] * helpers
    for _ in range(people):
        give(new_user())
    access.converge(alone.id, 1)
    assert len(asked) == helpers, "who helps asks nobody"
    assert dirty() == 0


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
    assert [finding.level for finding in server_checks.check(alone.name)] == ["ok", "ok", "ok", "failed"]
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
        session.execute(update(Seat).where(Seat.email == f"user_{long_gone.id}").values(gone_at=yesterday))
    assert cutoff._emails(alone.id) == [f"user_{lately.id}"]
