"""Seats: never more than there are, evenly spread, and those who wait are served in order with their days kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from krotray_core import billing, cabinet, clock, placement, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Seat, Server, Subscription, User
from krotray_tasks import access
from sandbox.parts import XrayNode
from sandbox.world import World
from tests.conftest import add_server, at_checkout, at_once, buy, converge_all, new_user

DAY = timedelta(days=1)


def counts() -> dict[str, int]:
    """active_users of each server, after checking that it is the number of wanted seats."""
    with transaction() as session:
        wanted = select(func.count()).where(Seat.server_id == Server.id, Seat.wanted).scalar_subquery()
        rows = session.execute(select(Server.name, Server.active_users, Server.max_users, wanted)).all()
    assert all(active == seats <= most for _, active, most, seats in rows), rows
    return {name: active for name, active, _, _ in rows}


def give(user: User, days: int = 30) -> subscriptions.Changed:
    """Days out of nowhere."""
    return subscriptions.grant(user.telegram_id, days)


def test_sixty_buyers_at_once_for_fifty_seats(fresh: World, third_node: XrayNode) -> None:
    for node in fresh.nodes:
        add_server(node, max_users=25)
    payments = [buy(new_user()) for _ in range(60)]
    at_once(12, lambda number: [at_checkout(fresh, payment) for payment in payments[number::12]])
    at_once(60, lambda number: billing.settle(payments[number].id))
    placement.seat_waiting(clock.now())  # the repair sweep: whoever lost a race for the last places
    assert sorted(counts().values()) == [25, 25]
    with transaction() as session:
        waiting = session.scalars(select(Subscription).where(Subscription.waiting_since.is_not(None))).all()
    assert len(waiting) == 10
    assert all(timedelta(0) < 30 * DAY - (row.expires_at - clock.now()) < timedelta(minutes=1) for row in waiting)

    add_server(third_node, max_users=25)
    assert len(placement.seat_waiting(clock.now())) == 1
    assert counts()["Third"] == 10
    converge_all()
    for row in waiting:
        seen = cabinet.of_user(row.user_id)
        assert seen.state == "active"
        assert seen.days_left == 30


def test_it_fills_evenly(fleet: list[Server]) -> None:
    assert fleet
    at_once(16, lambda _: give(new_user()))
    few, many = sorted(counts().values())
    assert many - few <= 2


def test_those_who_wait_lose_no_days_and_come_in_order(fresh: World, pass_time: Callable[[timedelta], None]) -> None:
    users = [new_user() for _ in range(3)]
    for number in (1, 2, 0):  # it began three days ago; the middle one came first
        give(users[number], 30)
        pass_time(timedelta(hours=1))
    pass_time(timedelta(days=3))
    assert [cabinet.of_user(user.id).days_left for user in users] == [30, 30, 30]
    assert {cabinet.of_user(user.id).state for user in users} == {"provisioning"}
    subscriptions.expire_due()
    add_server(fresh.nodes[0], max_users=1)
    placement.seat_waiting(clock.now())
    assert seated() == [subscription_of(users[1])]
    converge_all()
    seen = cabinet.of_user(users[1].id)
    assert (seen.state, seen.days_left) == ("active", 30)


def subscription_of(user: User) -> int:
    """The id of the user's subscription."""
    with transaction() as session:
        return session.scalars(select(Subscription.id).where(Subscription.user_id == user.id)).one()


def seated() -> list[int]:
    """The subscriptions that have a seat."""
    with transaction() as session:
        return list(session.scalars(select(Seat.subscription_id).where(Seat.wanted)))


def test_who_waits_does_not_expire_and_can_buy_more(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    assert fresh
    give(user, 1)
    pass_time(9 * DAY)
    assert subscriptions.expire_due() == (0, set())
    give(user, 30)
    assert cabinet.of_user(user.id).days_left == 31


def test_back_on_the_server_from_before_if_it_has_room(fresh: World, fleet: list[Server], user: User) -> None:
    assert fresh
    give(user)
    key = cabinet.of_user(user.id).subscription
    with transaction() as session:
        home = session.scalars(select(Seat.server_id)).one()
    subscriptions.revoke(user.telegram_id)
    for _ in range(4):  # the other server would be the emptier one now
        give(new_user())
    with transaction() as session:
        session.execute(update(Server).where(Server.id != home).values(max_users=1000))
    changed = give(user)
    assert changed.servers == {home}
    assert key is not None
    assert changed.subscription.uuid == key.uuid
    subscriptions.revoke(user.telegram_id)
    with transaction() as session:
        session.execute(update(Server).where(Server.id == home).values(enabled=False))
    assert give(user).servers == {server.id for server in fleet} - {home}


@pytest.mark.parametrize("closed", [{"enabled": False}, {"is_up": False}])
def test_nobody_is_put_where_it_is_closed_or_down(fleet: list[Server], closed: dict[str, bool]) -> None:
    with transaction() as session:
        session.execute(update(Server).where(Server.id == fleet[0].id).values(**closed))
    for _ in range(4):
        give(new_user())
    assert counts() == {fleet[0].name: 0, fleet[1].name: 4}


def test_a_freed_place_goes_to_who_waits_and_not_to_the_next_to_come(fresh: World) -> None:
    """As soon as the sweep that freed it is done."""
    add_server(fresh.nodes[0], max_users=1)
    leaving, waiting = new_user(), new_user()
    give(leaving)
    give(waiting)
    subscriptions.set_expiry(leaving.telegram_id, clock.now())
    access.expire_due()
    assert seated() == [subscription_of(waiting)]


def test_the_database_itself_refuses_one_too_many(fresh: World) -> None:
    server = add_server(fresh.nodes[0], max_users=2)
    with pytest.raises(IntegrityError), transaction() as session:
        session.execute(update(Server).where(Server.id == server.id).values(active_users=3))


@pytest.mark.usefixtures("fleet")
@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["grant", "revoke", "expire", "rotate"])), max_size=12)
)
def test_whatever_happens_the_count_is_the_number_of_seats(steps: list[tuple[int, str]]) -> None:
    people = [new_user() for _ in range(5)]
    for user in people:
        give(user)
    for number, what in steps:
        telegram_id = people[number].telegram_id
        match what:
            case "grant":
                subscriptions.grant(telegram_id, 30)
            case "revoke":
                subscriptions.revoke(telegram_id)
            case "rotate":
                subscriptions.rotate_key(telegram_id)
            case "expire":
                subscriptions.set_expiry(telegram_id, clock.now() - DAY)
                subscriptions.expire_due()
        counts()


@pytest.mark.writes_past_the_ledger
def test_five_thousand_run_out_in_short_transactions(fleet: list[Server]) -> None:
    """In batches, by several sweeps at once: each subscription ends once, each seat is given back once."""
    assert fleet
    with transaction() as session:
        session.execute(update(Server).values(max_users=10_000))
    with transaction() as session:
        session.execute(
            text("""
            WITH people AS (
                INSERT INTO users (telegram_id) SELECT 5000000000 + n FROM generate_series(1, 5000) n RETURNING id
            ), subs AS (
                INSERT INTO subscriptions (user_id, status, expires_at, uuid)
                SELECT id, 'active', now() - interval '1 second', gen_random_uuid() FROM people RETURNING id, user_id, uuid
            )
            INSERT INTO seats (subscription_id, server_id, email, uuid, wanted)
            SELECT id, (SELECT min(s.id) + subs.id % 2 FROM servers s), 'user_' || user_id, uuid, true FROM subs
            """)
        )
        taken = select(func.count()).where(Seat.server_id == Server.id, Seat.wanted).scalar_subquery()
        session.execute(update(Server).values(active_users=taken))
    results = at_once(3, lambda _: subscriptions.expire_due())
    assert sum(count for count, _ in results) == 5000  # type: ignore[misc]
    assert set(counts().values()) == {0}
