"""Money: each payment counts once, whatever calls the door, how often and in which order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
import requests
from sqlalchemy import select, update

from krotray_core import asking, billing, checkout, clock, plans, settings, subscriptions, yookassa
from krotray_core.db import transaction
from krotray_core.errors import GatewayError, GatewayUnavailable, NotFound, UnknownMethod, UnknownPlan
from krotray_core.models import Payment, Server, Subscription, User
from sandbox.world import World
from tests.conftest import at_checkout, at_once, believe_dead, buy, new_user
from tests.refund_kit import in_the_cabinet

DAY = timedelta(days=1)


def days_of(user: User) -> float:
    """How many days the user has left, 0 without a subscription."""
    with transaction() as session:
        row = session.scalar(select(Subscription).where(Subscription.user_id == user.id))
    return (row.expires_at - clock.now()) / DAY if row else 0.0


def about(days: float) -> object:
    """`days`, give or take a few seconds."""
    return pytest.approx(days, abs=30 / 86_400)


def test_a_paid_payment_gives_its_days_and_a_seat(fresh: World, fleet: list[Server], user: User) -> None:
    payment = buy(user, "3m")
    assert payment.confirmation_url
    assert billing.settle(payment.id).payment.status == "pending"
    at_checkout(fresh, payment)
    settled = billing.settle(payment.id)
    assert settled.payment.status == "succeeded"
    assert settled.payment.paid_at is not None
    assert len(settled.servers) == 1
    assert settled.servers <= {server.id for server in fleet}
    assert days_of(user) == about(90)


@pytest.mark.usefixtures("fleet")
def test_settled_twenty_times_at_once_it_counts_once(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    at_once(20, lambda _: billing.settle(payment.id))
    assert days_of(user) == about(30)
    with transaction() as session:
        assert sum(session.scalars(select(Server.active_users))) == 1


@pytest.mark.usefixtures("fleet")
def test_two_payments_at_the_same_moment_both_count(fresh: World, user: User) -> None:
    payments = [buy(user), buy(user, method="sbp")]
    for payment in payments:
        at_checkout(fresh, payment)
    at_once(8, lambda number: billing.settle(payments[number % 2].id))
    assert days_of(user) == about(60)
    with transaction() as session:
        assert sum(session.scalars(select(Server.active_users))) == 1


@pytest.mark.usefixtures("fleet")
def test_paying_early_adds_to_the_end_and_paying_late_starts_from_now(fresh: World, user: User) -> None:
    for plan in ("1m", "3m"):
        payment = buy(user, plan)
        at_checkout(fresh, payment)
        billing.settle(payment.id)
    assert days_of(user) == about(120)
    before = subscriptions.set_expiry(user.telegram_id, clock.now() - 5 * DAY).subscription
    subscriptions.expire_due()
    payment = buy(user)
    at_checkout(fresh, payment)
    billing.settle(payment.id)
    assert days_of(user) == about(30)
    with transaction() as session:
        assert session.scalars(select(Subscription.uuid)).one() == before.uuid


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount": "1.00"}, "amount"),
        ({"currency": "USD"}, "currency"),
        ({"metadata": {"payment_id": str(uuid4())}}, "metadata"),
        ({"account_id": "1"}, "shop"),
    ],
)
def test_other_money_than_was_asked_for_is_flagged_and_gives_nothing(
    fresh: World, user: User, change: dict[str, object], said: str
) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    at_checkout(fresh, payment, "tamper", **change)
    settled = billing.settle(payment.id)
    assert settled.payment.status == "pending"
    assert said in (settled.payment.flag_reason or "")
    assert days_of(user) == 0
    assert [row.id for row in billing.latest(flagged=True)] == [payment.id]
    assert billing.claim_open() == [], "a flagged payment waits for a person, not for the sweep"


@pytest.mark.usefixtures("fleet")
def test_a_cancelled_payment_says_why_and_a_late_success_still_counts(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment, "cancel", reason="insufficient_funds")
    cancelled = billing.settle(payment.id).payment
    assert (cancelled.status, cancelled.cancel_reason) == ("canceled", "insufficient_funds")

    late = buy(user)
    believe_dead(late)
    at_checkout(fresh, late)
    settled = billing.settle(late.id).payment
    assert (settled.status, settled.cancel_reason) == ("succeeded", None)
    assert days_of(user) == about(30)


@pytest.mark.usefixtures("fleet")
def test_paid_and_given_back_before_we_looked_gives_no_days(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    in_the_cabinet(payment, "100.00")
    assert billing.settle(payment.id).payment.status == "refunded"
    assert days_of(user) <= 0


class _CrashError(BaseException):
    """The process ends here."""


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("before_sending", [True, False])
def test_a_crash_around_the_request_makes_no_second_payment(
    fresh: World, user: User, monkeypatch: pytest.MonkeyPatch, before_sending: bool
) -> None:
    real = yookassa.create

    def crash(body: dict[str, object], key: str) -> yookassa.Found:
        if not before_sending:
            real(body, key)
        raise _CrashError

    monkeypatch.setattr(yookassa, "create", crash)
    with pytest.raises(_CrashError):
        buy(user)
    monkeypatch.undo()
    payment = billing.latest()[0]
    assert payment.external_id is None
    assert billing.claim_open() == [], "its creator may still be at it"
    hurry(payment)
    assert billing.claim_open() == [payment.id]
    billing.settle(payment.id)
    payment = billing.find(payment.id)
    assert payment.confirmation_url
    assert len(payments_at(fresh)) == 1
    at_checkout(fresh, payment)
    billing.settle(payment.id)
    assert days_of(user) == about(30)


def hurry(payment: Payment) -> None:
    """Makes the payment due for the sweep."""
    with transaction() as session:
        session.execute(update(Payment).where(Payment.id == payment.id).values(next_check_at=clock.now()))


def payments_at(world: World) -> list[dict[str, object]]:
    """All payments that YooKassa has."""
    s = settings.get()
    login = (s.yookassa_shop_id, s.yookassa_secret_key.get_secret_value())
    return requests.get(f"{world.yookassa_url}/v3/payments", auth=login, timeout=5).json()["items"]


@pytest.mark.usefixtures("fleet")
def test_a_webhook_that_overtakes_us_finds_its_payment(
    fresh: World, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paid and notified before the second transaction of `start`: settled by YooKassa's id through the metadata."""
    seen: list[billing.Settled] = []
    real = yookassa.create

    def overtaken(body: dict[str, object], key: str) -> yookassa.Found:
        found = real(body, key)
        at_checkout(fresh, Payment(external_id=found.external_id))
        seen.append(billing.settle_external(found.external_id))
        return found

    monkeypatch.setattr(yookassa, "create", overtaken)
    payment = buy(user)
    assert seen[0].payment.status == "succeeded"
    assert payment.status == "succeeded"
    assert billing.settle(payment.id).payment.status == "succeeded"
    assert days_of(user) == about(30)


def test_never_created_and_too_old_to_repeat_is_given_up(
    fresh: World, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_body: object, _key: str) -> yookassa.Found:
        raise GatewayUnavailable("away")

    monkeypatch.setattr(yookassa, "create", away)
    with pytest.raises(GatewayUnavailable):
        buy(user)
    monkeypatch.undo()
    payment = billing.latest()[0]
    with transaction() as session:
        session.execute(update(Payment).values(created_at=clock.now() - 2 * DAY))
    settled = billing.settle(payment.id).payment
    assert (settled.status, settled.cancel_reason) == ("canceled", "not_created")
    assert payments_at(fresh) == []


@pytest.mark.parametrize(("made", "ends"), [("after", "pending"), ("before", "canceled")])
def test_too_old_to_be_repeated_it_is_looked_up_before_it_is_given_up(
    fresh: World, user: User, pass_time: Callable[[timedelta], None], made: str, ends: str
) -> None:
    fault = {"operation": "POST /v3/payments", "kind": "drop", "when": made}
    requests.post(f"{fresh.yookassa_url}/sandbox/faults", json=fault, timeout=5).raise_for_status()
    with pytest.raises(GatewayUnavailable):
        buy(user)
    pass_time(DAY)
    payment = billing.settle(billing.latest()[0].id).payment
    assert payment.status == ends
    assert (payment.external_id is None) == (made == "before")
    assert len(payments_at(fresh)) == (made == "after")


@pytest.mark.usefixtures("fleet")
def test_given_up_and_paid_all_the_same_its_webhook_counts_it(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    requests.post(
        f"{fresh.yookassa_url}/sandbox/faults",
        json={"operation": "POST /v3/payments", "kind": "drop", "when": "after"},
        timeout=5,
    ).raise_for_status()
    with pytest.raises(GatewayUnavailable):
        buy(user)
    (made,) = payments_at(fresh)
    external_id = str(made["id"])
    pass_time(DAY)
    payment = billing.cancel(billing.latest()[0].id, "not_created")
    at_checkout(fresh, Payment(external_id=external_id))
    hint = billing.note_hint(external_id, "payment.succeeded", payment.id)
    assert not hint.known, "known by our id alone, it is looked up by YooKassa's"
    assert billing.settle_external(external_id).payment.status == "succeeded"


def test_refused_on_a_repeat_it_waits_until_our_login_works_again(fresh: World, user: User) -> None:
    for fault in (
        {"operation": "POST /v3/payments", "kind": "drop", "when": "after"},
        {"operation": "POST /v3/payments", "kind": "401"},
    ):
        requests.post(f"{fresh.yookassa_url}/sandbox/faults", json=fault, timeout=5).raise_for_status()
        with pytest.raises((GatewayUnavailable, GatewayError)):
            buy(user)
    assert billing.latest()[0].status == "pending"
    assert buy(user).confirmation_url
    assert len(payments_at(fresh)) == 1


def test_pressing_check_again_and_again_asks_yookassa_now_and_then(
    fresh: World, user: User, pass_time: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = yookassa.fetch
    monkeypatch.setattr(yookassa, "fetch", lambda external_id: asked.append(external_id) or real(external_id))
    payment = buy(user)
    assert billing.wait_to_ask(payment) == 0
    pressed = clock.now()
    settled = billing.settle(payment.id, since=pressed).payment
    assert billing.wait_to_ask(settled) == pytest.approx(3, abs=1)
    for _ in range(5):
        billing.settle(payment.id, since=pressed)
    assert len(asked) == 1, "the answer came after all of these presses"
    at_checkout(fresh, payment)
    pass_time(timedelta(seconds=1))
    settled = billing.settle(payment.id, since=clock.now()).payment
    assert settled.status == "succeeded", "and this press came after it"
    assert billing.wait_to_ask(settled) is None


def test_refused_at_creation_it_is_cancelled(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "CURRENCY", "ABC")  # what YooKassa answers with 400
    with pytest.raises(GatewayError):
        buy(user)
    assert billing.latest()[0].status == "canceled"


def test_what_is_not_on_sale(user: User) -> None:
    with pytest.raises(UnknownPlan):
        checkout.start(user.id, "2m", "card")
    with pytest.raises(UnknownMethod):
        checkout.start(user.id, "1m", "cash")
    with pytest.raises(NotFound):
        billing.settle(uuid4())
    assert billing.latest() == []


def test_the_sweep_claims_each_open_payment_for_one_worker(fresh: World) -> None:
    payments = {buy(new_user()).id for _ in range(12)}
    assert fresh
    claims = at_once(4, lambda _: billing.claim_open())
    claimed = [payment_id for claim in claims for payment_id in claim]  # type: ignore[attr-defined]
    assert sorted(claimed) == sorted(payments)


def test_a_hint_is_first_in_line(fresh: World, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh
    monkeypatch.setattr(asking, "BATCH", 3)
    for _ in range(6):
        buy(new_user())
    hinted = buy(user)
    with transaction() as session:  # the others have long been due
        others = update(Payment).where(Payment.id != hinted.id)
        session.execute(others.values(created_at=clock.now() - DAY / 48, next_check_at=clock.now() - DAY / 96))
    with transaction() as session:
        session.execute(update(Payment).where(Payment.id == hinted.id).values(created_at=clock.now() - DAY / 24))
    assert hinted.external_id
    billing.note_hint(hinted.external_id, "payment.succeeded")
    assert hinted.id in billing.claim_open()
    claimed = [payment_id for _ in range(4) for payment_id in billing.claim_open()]
    assert len(claimed) == 4, "and the sweep takes batch after batch until nobody is left"


def test_somebody_elses_payment_does_not_exist(fresh: World, user: User) -> None:
    assert fresh
    payment = buy(new_user())
    with pytest.raises(NotFound):
        billing.of_user(user.id, payment.id)
