"""How much has been used, whatever the counters say: each byte once, through late readings, restarts and periods."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from krotray_core import billing, cabinet, clock, moving, servers, subscriptions, traffic
from krotray_core.db import transaction
from krotray_core.models import Entry, Server, Subscription, Traffic, TrafficSeen, TrafficServer, User
from krotray_core.xray.client import XrayClient
from sandbox.person import Person
from sandbox.process import wait_until
from sandbox.world import World
from tests.conftest import at_checkout, at_once, buy, converge_all
from tests.traffic_kit import email, seated, used


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What every Xray is made to say: `traffic` by e-mail, and its `uptime`."""
    said: dict[str, Any] = {"traffic": {}, "uptime": 1000}
    monkeypatch.setattr(XrayClient, "traffic", lambda _: dict(said["traffic"]))
    monkeypatch.setattr(XrayClient, "uptime", lambda _: said["uptime"])
    return said


# --- counters of any kind ---


def test_what_the_counters_hold_at_first_is_from_before(alone: Server, counters: dict[str, Any]) -> None:
    old, new = seated(2)
    counters["traffic"] = {email(old): 5000, "somebody@else": 7, "": 3}
    traffic.read(alone.id)
    assert (used(old), used(new)) == (0, None)
    counters["traffic"] |= {email(old): 5010, email(new): 20}
    assert traffic.read(alone.id) == 2
    assert (used(old), used(new)) == (10, 20)


def test_a_restart_counts_from_zero_even_where_the_counter_is_higher(alone: Server, counters: dict[str, Any]) -> None:
    (user,) = seated()
    traffic.read(alone.id)
    counters["traffic"] = {email(user): 100}
    traffic.read(alone.id)
    counters |= {"traffic": {email(user): 130}, "uptime": 50}
    traffic.read(alone.id)
    assert used(user) == 230
    counters |= {"traffic": {email(user): 40}, "uptime": 600}  # somebody has reset it, or it restarted twice
    traffic.read(alone.id)
    assert used(user) == 270
    counters |= {"traffic": {"user_0": 1}}
    traffic.read(alone.id)
    counters |= {"traffic": {email(user): 60}}  # gone and come back
    traffic.read(alone.id)
    assert used(user) == 330


def test_a_restart_between_the_calls_is_not_counted(alone: Server, counters: dict[str, Any]) -> None:
    (user,) = seated()
    traffic.read(alone.id)
    counters |= {"traffic": {email(user): 100}, "uptime": 0}
    assert traffic.read(alone.id) == 0
    assert used(user) is None


@pytest.mark.parametrize("value", [2**63 - 1, 2**64, 10**30])
def test_no_counter_is_too_big(alone: Server, counters: dict[str, Any], value: int) -> None:
    (user,) = seated()
    traffic.read(alone.id)
    for uptime in (1000, 900, 800):
        counters |= {"traffic": {email(user): value}, "uptime": uptime}
        traffic.read(alone.id)
    assert used(user) == traffic.MOST


def test_two_readings_at_once_count_once(alone: Server, counters: dict[str, Any]) -> None:
    people = seated(8)
    traffic.read(alone.id)
    for turn in range(1, 4):
        counters["traffic"] = {email(user): 100 * turn for user in people}
        at_once(6, lambda _: traffic.read(alone.id))
        traffic.read(alone.id)
        assert [used(user) for user in people] == [100 * turn] * 8


def test_a_late_reading_counts_for_nothing(alone: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has asked before another one did, and would take the counters for having gone backwards."""
    (user,) = seated()
    traffic.read(alone.id)
    answers = iter([{email(user): 50}, {email(user): 100}])
    late = next(answers)

    def ask(_: XrayClient) -> dict[str, int]:
        monkeypatch.setattr(XrayClient, "traffic", lambda _: next(answers))
        traffic.read(alone.id)
        return late

    monkeypatch.setattr(XrayClient, "uptime", lambda _: 1000)
    monkeypatch.setattr(XrayClient, "traffic", ask)
    assert traffic.read(alone.id) == 0
    assert used(user) == 100


def test_only_what_has_changed_is_written_in_batches(
    alone: Server, counters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "BATCH", 3)
    people = seated(8)
    traffic.read(alone.id)
    counters["traffic"] = {email(user): 10 for user in people}
    assert traffic.read(alone.id) == 8
    counters["traffic"][email(people[4])] = 11
    with transaction() as session:
        before = dict(session.execute(select(Traffic.subscription_id, Traffic.used_bytes)).all())  # type: ignore[arg-type]
    assert traffic.read(alone.id) == 1
    with transaction() as session:
        after = dict(session.execute(select(Traffic.subscription_id, Traffic.used_bytes)).all())  # type: ignore[arg-type]
    assert sorted(after[one] - before[one] for one in after) == [0] * 7 + [1]


def test_reading_while_days_are_given_locks_nobody_out(alone: Server, counters: dict[str, Any]) -> None:
    people = seated(12)
    traffic.read(alone.id)
    counters["traffic"] = {email(user): 10 for user in people}

    def work(number: int) -> None:
        if number % 2:
            traffic.read(alone.id)
        else:
            for user in people[:: -1 if number % 4 else 1]:
                subscriptions.grant(user.telegram_id, 1)

    at_once(8, work)
    traffic.read(alone.id)
    assert all(used(user) in (0, 10) for user in people)


def test_days_given_during_a_reading_begin_the_period(alone: Server, counters: dict[str, Any]) -> None:
    """Nothing is known of them yet, so their payment has no row to set to 0."""
    users_ = seated(2)
    traffic.read(alone.id)
    counters["traffic"] = {email(user): 10 for user in users_}
    with ThreadPoolExecutor(1) as pool:
        with transaction() as session:
            subscriptions.extend(session, users_[1].id, days=1, months=None, now=clock.now())
            reading = pool.submit(traffic.read, alone.id)
            waits = text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            wait_until(lambda: session.scalar(waits), seconds=4, what="the reading to wait")
        assert reading.result(timeout=10) == 2
    with transaction() as session:
        given = session.scalars(select(func.max(Entry.at)).where(Entry.user_id == users_[1].id)).one()
    seen = cabinet.of_user(users_[1].id).traffic
    assert seen
    assert seen.since == given


# --- periods ---


def test_a_payment_begins_a_period(fresh: World, alone: Server, user: User, counters: dict[str, Any]) -> None:
    subscriptions.grant(user.telegram_id, 30)
    traffic.read(alone.id)
    counters["traffic"] = {email(user): 100}
    traffic.read(alone.id)
    assert used(user) == 100
    payment = buy(user)
    at_checkout(fresh, payment)
    billing.settle(payment.id)
    seen = cabinet.of_user(user.id).traffic
    assert seen
    assert seen.used_bytes == 0
    assert abs(seen.since - clock.now()) < timedelta(minutes=1)
    counters["traffic"] = {email(user): 130}
    traffic.read(alone.id)
    assert used(user) == 30


def test_the_end_keeps_what_was_used_and_new_days_do_not(alone: Server, user: User, counters: dict[str, Any]) -> None:
    subscriptions.grant(user.telegram_id, 30)
    traffic.read(alone.id)
    counters["traffic"] = {email(user): 100}
    traffic.read(alone.id)
    subscriptions.set_expiry(user.telegram_id, clock.now() + timedelta(days=3))
    assert used(user) == 100, "a correction is no new period"
    subscriptions.revoke(user.telegram_id)
    assert used(user) == 100
    subscriptions.set_expiry(user.telegram_id, clock.now() + timedelta(days=3))
    assert used(user) == 0


def test_since_is_when_the_days_were_given_or_counting_began(alone: Server, counters: dict[str, Any]) -> None:
    (early,) = seated()
    traffic.read(alone.id)
    (late,) = seated()
    counters["traffic"] = {email(early): 1, email(late): 1}
    traffic.read(alone.id)
    with transaction() as session:
        began = session.scalars(select(TrafficServer.counted_since)).one()
        given = session.scalars(select(Subscription.created_at).where(Subscription.user_id == late.id)).one()
    since = [cabinet.of_user(user.id).traffic.since for user in (early, late)]  # type: ignore[union-attr]
    assert since[0] == began
    assert began < since[1]
    assert abs(since[1] - given) < timedelta(seconds=5)


# --- other verbs ---


def test_another_xray_behind_a_name_is_read_as_if_for_the_first_time(
    alone: Server, fresh: World, counters: dict[str, Any]
) -> None:
    (user,) = seated()
    traffic.read(alone.id)
    counters["traffic"] = {email(user): 100}
    traffic.read(alone.id)
    servers.change(alone.name, servers.Change(grpc_port=fresh.nodes[1].grpc_port))
    counters["traffic"] = {email(user): 10**9}
    traffic.read(alone.id)
    assert used(user) == 100
    counters["traffic"] = {email(user): 10**9 + 5}
    traffic.read(alone.id)
    assert used(user) == 105


def test_a_server_that_is_removed_takes_its_counters_along_and_no_traffic(
    fleet: list[Server], counters: dict[str, Any]
) -> None:
    people = seated(4)
    converge_all()
    for turn in (0, 10):
        counters["traffic"] = {email(user): turn for user in people} if turn else {}
        for server in fleet:
            traffic.read(server.id)
    before = [used(user) for user in people]
    moving.evacuate(fleet[0].name)
    moving.step()
    converge_all()
    servers.remove(fleet[0].name)
    assert [used(user) for user in people] == before
    with transaction() as session:
        assert not session.scalar(select(func.count()).where(TrafficSeen.server_id == fleet[0].id))


def test_the_api_shows_it(client: FlaskClient, fresh: World, alone: Server, counters: dict[str, Any]) -> None:
    person = Person(fresh)
    headers = {"X-Telegram-Init-Data": person.init_data()}
    client.get("/api/me", headers=headers)
    subscriptions.grant(person.telegram_id, 30)
    converge_all()
    traffic.read(alone.id)
    assert client.get("/api/me", headers=headers).get_json()["subscription"]["traffic"] is None
    with transaction() as session:
        user = session.scalars(select(User).where(User.telegram_id == person.telegram_id)).one()
    counters["traffic"] = {email(user): 1234}
    traffic.read(alone.id)
    shown = client.get("/api/me", headers=headers).get_json()["subscription"]["traffic"]
    assert shown["used_bytes"] == 1234
    assert shown["since"].endswith("Z")
