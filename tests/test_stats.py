"""How the business is doing: Moscow's day and month, money that came less money that went back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text, update

from krotray_core import billing, checkout, clock, db, invites, stats, subscriptions, users
from krotray_core.db import transaction
from krotray_core.models import Payment, Server, Subscription, User
from sandbox.world import World
from tests.conftest import at_checkout, at_once, buy, new_user

NOON = datetime(2026, 12, 15, 9, 0, tzinfo=UTC)  # in Moscow


@pytest.fixture
def at_noon(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our clock stands still in the middle of a month."""
    assert fresh
    monkeypatch.setattr(clock, "now", lambda: NOON)


def paid(when: datetime, kopecks: int, back: int = 0, **changes: object) -> None:
    """A payment that counted at that moment."""
    state = "refunded" if back == kopecks else "succeeded"
    row: dict[str, object] = {"id": uuid4(), "user_id": new_user().id, "plan_code": "1m", "months": 1, "days": 30}
    row |= {"method": "card", "currency": "RUB", "request": {}, "created_at": when - timedelta(minutes=5)}
    row |= {"status": state, "amount_kopecks": kopecks, "refunded_kopecks": back, "paid_at": when}
    with transaction() as session:
        session.add(Payment(**row | changes))


@pytest.mark.usefixtures("at_noon")
@pytest.mark.writes_past_the_ledger
def test_revenue_is_moscows_day_and_month_less_what_went_back() -> None:
    midnight, first = datetime(2026, 12, 14, 21, tzinfo=UTC), datetime(2026, 11, 30, 21, tzinfo=UTC)
    instant = timedelta(microseconds=1)
    paid(midnight, 1_00)
    paid(midnight - instant, 10_00)
    paid(first, 100_00)
    paid(first - instant, 1000_00)
    paid(NOON - timedelta(hours=1), 50_00, back=20_50)
    paid(NOON - timedelta(hours=1), 70_00, back=70_00)
    # Made long before it was paid, as in an outage.
    paid(midnight + instant, 3_00, created_at=midnight - timedelta(days=1))
    seen = stats.count()
    assert seen.revenue_today == 1_00 + 29_50 + 3_00
    assert seen.revenue_month == seen.revenue_today + 10_00 + 100_00


@given(st.integers(10**9, 4 * 10**9))
def test_days_and_months_begin_at_moscows_midnight(seconds: int) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    day, month = stats.day_began(now), stats.month_began(now)
    assert month <= day <= now
    assert (day.hour, day.minute, month.day) == (0, 0, 1)
    assert now - day < timedelta(hours=25), "the zone had summer time until 2011"
    assert (day.date(), month.month) == (now.astimezone(stats.MOSCOW).date(), now.astimezone(stats.MOSCOW).month)


def test_a_purchase_and_a_refund_as_they_happen(fresh: World, fleet: list[Server]) -> None:
    buyer = new_user()
    payment = buy(buyer)
    before = stats.count()
    assert (before.open_payments, before.active, before.revenue_today, before.new_users) == (1, 0, 0, 1)
    at_checkout(fresh, payment)
    billing.settle(payment.id)
    after = stats.count()
    assert (after.open_payments, after.active, after.waiting) == (0, 1, 0)
    assert after.revenue_today == after.revenue_month == 100_00
    assert [server.name for server in after.servers] == sorted(server.name for server in fleet)
    assert sum(server.active_users for server in after.servers) == 1


@pytest.mark.usefixtures("fresh")
def test_who_waits_for_a_place_has_days_that_stand_still() -> None:
    person = new_user()
    subscriptions.grant(person.telegram_id, 1)  # there is no server
    with transaction() as session:
        mine = update(Subscription).where(Subscription.user_id == person.id)
        session.execute(mine.values(waiting_since=clock.now() - timedelta(days=9)))
    seen = stats.count()
    assert (seen.waiting, seen.active) == (1, 1)
    subscriptions.revoke(person.telegram_id)
    seen = stats.count()
    assert (seen.waiting, seen.active) == (0, 0)


def test_new_people_are_those_of_moscows_today(user: User, pass_time: Callable[[timedelta], None]) -> None:
    assert user
    assert stats.count().new_users == 1
    pass_time(timedelta(days=1))
    assert stats.count().new_users == 0


def test_one_person_at_a_glance(fresh: World, fleet: list[Server]) -> None:
    assert fleet
    invites.remember_bot(1, "krot_bot")
    host, guest = new_user(), new_user()
    assert invites.accept(guest.id, (invites.link(host.id) or "").partition("=")[2])
    payments = [checkout.start(guest.id, code, method) for code in ("1m", "3m") for method in ("card", "sbp")]
    at_checkout(fresh, payments[0])
    billing.settle(payments[0].id)
    about = stats.about(users.find(guest.telegram_id))
    assert about.invited_by is not None
    assert (about.invited_by.id, about.came) == (host.id, 0)
    assert about.cabinet.state == "provisioning"
    assert [payment.id for payment in about.payments] == [payment.id for payment in reversed(payments)]
    about = stats.about(users.find(host.telegram_id))
    assert (about.invited_by, about.came, about.cabinet.state, about.payments) == (None, 1, "no_subscription", [])


@pytest.mark.usefixtures("fresh")
def test_no_statement_reads_all_payments() -> None:
    """With the planner told to avoid scans, one that remains means that there is no index for it."""
    statements: list[tuple[str, object]] = []

    def note(_c: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        assert cursor
        if "payments" in statement:
            statements.append((statement, parameters))

    event.listen(db.engine(), "before_cursor_execute", note)
    try:
        stats.count()
    finally:
        event.remove(db.engine(), "before_cursor_execute", note)
    assert len(statements) == 3
    with transaction() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        for statement, parameters in statements:
            connection = session.connection().connection.cursor()
            connection.execute(f"EXPLAIN {statement}", parameters)
            plan = "\n".join(line for (line,) in connection.fetchall())
            assert "Seq Scan on payments" not in plan, plan


@pytest.mark.usefixtures("fleet")
class TestAPresentOfAName:
    """`once` names the admin's act."""

    def test_it_is_given_once(self) -> None:
        person = new_user()
        first = subscriptions.grant(person.telegram_id, 7, once="telegram 1 m5")
        again = subscriptions.grant(person.telegram_id, 7, once="telegram 1 m5")
        assert again.subscription.expires_at == first.subscription.expires_at
        assert (len(first.servers), len(again.servers)) == (1, 0)
        other = subscriptions.grant(person.telegram_id, 7, once="telegram 1 m6")
        assert other.subscription.expires_at == first.subscription.expires_at + timedelta(days=7)

    def test_also_at_once_and_for_somebody_unknown(self) -> None:
        changed = at_once(6, lambda _: subscriptions.grant(2**40, 7, once="telegram 1 q7"))
        assert len({one.subscription.expires_at for one in changed}) == 1  # type: ignore[attr-defined]
        assert users.find(2**40).first_name is None

    def test_the_same_name_for_somebody_else_is_another_present(self) -> None:
        for person in (new_user(), new_user()):
            assert subscriptions.grant(person.telegram_id, 7, once="telegram 1 m5").servers
