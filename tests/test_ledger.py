"""The ledger: whatever changes leaves a line, and whoever goes past it is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from krotray_core import billing, clock, ledger, ledger_audit, refunds, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Entry, Server, User
from sandbox.world import World
from tests.conftest import add_server, at_once, new_user
from tests.refund_kit import paid

DAY = timedelta(days=1)


def told(user: User) -> list[tuple[str, timedelta]]:
    """What happened to the days of a user, and by how much."""
    lines = [entry for entry in ledger.of_user(user.id) if entry.subject == "subscription"]
    return [(entry.event, entry.ends_at - entry.starts_at) for entry in lines if entry.ends_at and entry.starts_at]


@pytest.mark.usefixtures("fleet")
def test_every_change_of_the_end_has_its_line(fresh: World, user: User, pass_time: Callable[[timedelta], None]) -> None:
    payment = paid(fresh, user)
    subscriptions.grant(user.telegram_id, 5)
    subscriptions.rotate_key(user.telegram_id)
    refunds.start(payment.id, 50_00)
    end = clock.now() + 3 * DAY
    before = subscriptions.set_expiry(user.telegram_id, end)
    assert before.subscription.expires_at == end
    pass_time(4 * DAY)
    subscriptions.expire_due()
    subscriptions.grant(user.telegram_id, 1)
    subscriptions.revoke(user.telegram_id)
    events = told(user)
    assert [event for event, _ in events] == [
        *("paid", "granted", "key_rotated", "refunded", "set", "expired", "granted", "revoked")
    ]
    assert dict(events[:4]) == {"paid": 30 * DAY, "granted": 5 * DAY, "key_rotated": 0 * DAY, "refunded": -15 * DAY}
    assert sum((shift for _, shift in events[:5]), timedelta(0)) == pytest.approx(3 * DAY, abs=timedelta(minutes=1))


def test_time_spent_waiting_for_a_place_has_its_line(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    subscriptions.grant(user.telegram_id, 30)
    pass_time(2 * DAY)
    add_server(fresh.nodes[0])
    subscriptions.grant(user.telegram_id, 1)
    (_, _, (event, waited)) = told(user)
    assert event == "waited"
    assert waited == pytest.approx(2 * DAY, abs=timedelta(minutes=1))


@pytest.mark.usefixtures("fresh")
def test_a_first_present_given_twice_at_once_is_two_presents(fleet: list[Server]) -> None:
    assert fleet
    for _ in range(5):
        user = new_user()
        at_once(4, lambda _, user=user: subscriptions.grant(user.telegram_id, 10))
        assert [shift for _, shift in told(user)] == [10 * DAY] * 4


@pytest.mark.usefixtures("fleet")
def test_a_line_names_who_acted(fresh: World, user: User) -> None:
    with ledger.acting("admin anna"):
        subscriptions.grant(user.telegram_id, 1)
    payment = paid(fresh, user)
    lines = ledger.of_user(user.id)
    assert [(line.event, line.actor) for line in lines[:2]] == [("granted", "admin anna"), ("created", "user")]
    assert {line.payment_id for line in ledger.of_payment(payment.id)} == {payment.id}
    assert [line.event for line in ledger.of_payment(payment.id)] == ["created", "succeeded", "paid"]


@pytest.mark.usefixtures("fleet")
def test_what_is_rolled_back_leaves_no_line(fresh: World, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh

    def fail(*_: object) -> None:
        raise RuntimeError("before the seat")

    monkeypatch.setattr(subscriptions.placement, "take", fail)
    with pytest.raises(RuntimeError):
        subscriptions.grant(user.telegram_id, 1)
    assert ledger.of_user(user.id) == []


@pytest.mark.parametrize("statement", ["UPDATE ledger SET note = 'x'", "DELETE FROM ledger", "TRUNCATE ledger"])
def test_no_line_is_ever_altered(user: User, statement: str) -> None:
    subscriptions.grant(user.telegram_id, 1)
    with pytest.raises(IntegrityError, match="append-only"), transaction() as session:
        session.execute(text(statement))


TAMPERED = {
    "UPDATE subscriptions SET expires_at = expires_at + interval '1 day'": "a subscription has the end and the state",
    "UPDATE subscriptions SET status = 'revoked'": "a subscription has the end and the state",
    "UPDATE payments SET status = 'canceled', paid_at = NULL": "a payment is in the state that its last line says",
    "UPDATE payments SET amount_kopecks = 20000, refunded_kopecks = 2500": "what came in for a payment",
    "UPDATE payments SET days = 60": "a payment gave as many days as were sold",
    "UPDATE payments SET refunded_kopecks = 0": "what went back of a payment is the sum of its refunds",
    "UPDATE refunds SET taken_seconds = taken_seconds + 1": "refunds took the share of the days",
    "UPDATE refunds SET status = 'pending', taken_seconds = NULL": "a refund is in the state that its last line says",
    "INSERT INTO payments (id, user_id, status, plan_code, months, days, amount_kopecks, currency, method, request, paid_at)"
    " SELECT gen_random_uuid(), id, 'succeeded', '1m', 1, 30, 100, 'RUB', 'card', '{}', now() FROM users": (
        "a payment that counts has given its days, once"
    ),
    "INSERT INTO ledger (at, actor, subject, event, user_id, subscription_id, payment_id, status, ended_at, starts_at, ends_at)"
    " SELECT now(), 'x', 'subscription', 'paid', s.user_id, s.id, p.id, 'active', s.expires_at, s.expires_at,"
    " s.expires_at + interval '30 days' FROM subscriptions s, payments p": (
        "a payment that counts has given its days, once"
    ),
    "INSERT INTO ledger (at, actor, subject, event, user_id, subscription_id, status, ended_at, starts_at, ends_at)"
    " SELECT now(), 'x', 'subscription', 'set', user_id, id, status, expires_at - interval '1 s', expires_at, expires_at"
    " FROM subscriptions": "each line of a subscription begins where the one before it ended",
    "INSERT INTO ledger (at, actor, subject, event, user_id, subscription_id, status, ended_at, starts_at, ends_at)"
    " SELECT now(), 'x', 'subscription', 'granted', user_id, id, status, expires_at, expires_at - interval '1 day', expires_at"
    " FROM subscriptions": "days count from the end",
    "INSERT INTO ledger (at, actor, subject, event, user_id, subscription_id, status, ended_at, starts_at, ends_at)"
    " SELECT now(), 'x', 'subscription', 'expired', user_id, id, status, expires_at, expires_at, expires_at + interval '1 s'"
    " FROM subscriptions": "running out and changing the key move no end",
    "INSERT INTO ledger (at, actor, subject, event, user_id, payment_id, status) SELECT now(), 'x', 'payment', 'created',"
    " (SELECT max(id) FROM users), id, status FROM payments": "a line names the user whose thing it is about",
    "INSERT INTO ledger (at, actor, subject, event, user_id, subscription_id, refund_id, payment_id, status,"
    " ended_at, starts_at, ends_at) SELECT now(), 'x', 'subscription', 'refunded', s.user_id, s.id, r.id, r.payment_id,"
    " s.status, s.expires_at, s.expires_at, s.expires_at FROM subscriptions s, refunds r": (
        "a refund that counts has taken its days, once"
    ),
}


@pytest.mark.usefixtures("fleet")
@pytest.mark.writes_past_the_ledger
@pytest.mark.parametrize("statement", TAMPERED)
def test_whoever_goes_past_the_ledger_is_found(fresh: World, user: User, statement: str) -> None:
    refunds.start(paid(fresh, user).id, 25_00)
    assert new_user()
    before = ledger_audit.verify()
    assert before.faults == ()
    assert before.lines == 7
    with transaction() as session:
        session.execute(text(statement))
    assert any(fault.rule.startswith(TAMPERED[statement]) for fault in ledger_audit.verify().faults)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE subscriptions SET expires_at = expires_at + interval '1 day'",
        "UPDATE subscriptions SET status = 'revoked'",
        "UPDATE payments SET status = 'canceled', paid_at = NULL",
        "DELETE FROM ledger WHERE subject = 'payment'",
        "DELETE FROM ledger WHERE subject = 'subscription'",
        "DELETE FROM ledger",
    ],
)
def test_what_is_right_all_the_same_can_be_adopted(fresh: World, user: User, statement: str) -> None:
    """An older version went on while the tables changed under it, or somebody knew what they did."""
    paid(fresh, user)
    with transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text(statement))
    assert ledger_audit.verify().faults
    assert ledger_audit.adopt("the upgrade")
    assert ledger_audit.verify().faults == ()
    subscriptions.grant(user.telegram_id, 1)
    assert {line.note for line in ledger.of_user(user.id) if line.event == "adopted"} == {"the upgrade"}


def test_each_rule_is_shown_to_find_something() -> None:
    assert {
        rule for rule in ledger_audit.CHECKS if not any(rule.startswith(found) for found in TAMPERED.values())
    } == set()


@pytest.mark.usefixtures("fleet")
def test_it_is_verified_while_the_service_runs(fresh: World) -> None:
    """One snapshot: what is committed between two of its statements does not look like a fault."""
    users = [new_user() for _ in range(12)]

    def work(number: int) -> int:
        if number % 4 == 0:
            return len(ledger_audit.verify().faults)
        for user in users[number::12]:
            payment = paid(fresh, user)
            refunds.start(payment.id, 30_00)
            billing.settle(payment.id)
        return 0

    assert set(at_once(12, work)) == {0}


def test_running_out_is_one_statement_for_all(fleet: list[Server]) -> None:
    assert fleet
    for _ in range(3):
        subscriptions.grant(new_user().telegram_id, 1)
    with transaction() as session:
        ids = session.scalars(select(Entry.subscription_id).where(Entry.event == "granted")).all()
    now = clock.now() + 2 * DAY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: now)
        assert subscriptions.expire_due()[0] == 3
    with transaction() as session:
        lines = session.scalars(select(Entry).where(Entry.event == "expired")).all()
    assert {line.subscription_id for line in lines} == set(ids)
    assert {(line.at, line.status) for line in lines} == {(now, "expired")}
