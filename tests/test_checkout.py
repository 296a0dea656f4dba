"""The way to the till: asking again gives the same payment back, and nobody piles up open ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from krotray_core import billing, checkout, clock, plans
from krotray_core.errors import GatewayUnavailable, TooManyOpenPayments
from krotray_core.models import User
from sandbox.world import World
from tests.conftest import at_checkout, at_once, buy, new_user
from tests.refund_kit import arm
from tests.test_billing import payments_at

KINDS = [(plan, method) for plan in ("1m", "3m") for method in ("card", "sbp")]


def test_the_same_again_is_the_same_payment_for_ten_minutes(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    first = buy(user)
    pass_time(timedelta(minutes=9))
    assert buy(user).id == first.id
    assert buy(user, "3m").id != first.id
    assert buy(user, method="sbp").id != first.id
    assert buy(new_user()).id != first.id
    pass_time(timedelta(minutes=2))
    assert buy(user).id != first.id
    assert len(payments_at(fresh)) == 5


def test_asked_for_ten_times_at_once_there_is_one(fresh: World, user: User) -> None:
    made = at_once(10, lambda _: buy(user))
    assert len({payment.id for payment in made}) == 1  # type: ignore[attr-defined]
    assert {payment.confirmation_url for payment in made} == {made[0].confirmation_url}  # type: ignore[attr-defined]
    assert len(payments_at(fresh)) == 1


def test_after_a_timeout_asking_again_repeats_the_request_and_makes_no_second_payment(fresh: World, user: User) -> None:
    arm(fresh, operation="POST /v3/payments", kind="drop", when="after")
    with pytest.raises(GatewayUnavailable):
        buy(user)
    payment = buy(user)
    assert payment.confirmation_url
    assert len(payments_at(fresh)) == 1
    assert len(billing.latest()) == 1


@pytest.mark.usefixtures("fleet")
def test_what_is_paid_or_cancelled_is_not_given_back(fresh: World, user: User) -> None:
    paid = buy(user)
    at_checkout(fresh, paid)
    billing.settle(paid.id)
    cancelled = buy(user)
    assert cancelled.id != paid.id
    at_checkout(fresh, cancelled, "cancel", reason="card_expired")
    billing.settle(cancelled.id)
    assert buy(user).id not in (paid.id, cancelled.id)


def test_a_new_price_makes_a_new_payment(fresh: World, user: User) -> None:
    assert fresh
    old = buy(user)
    plans.put("1m", amount_kopecks=150_00)
    new = buy(user)
    assert (old.amount_kopecks, new.amount_kopecks) == (100_00, 150_00)
    assert new.id != old.id


def test_five_may_be_open_and_then_an_older_one_of_the_same_kind_will_do(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    plans.put("1y", months=12, days=365, amount_kopecks=900_00)
    opened = [buy(user, *kind) for kind in [*KINDS, ("1y", "card")]]
    pass_time(timedelta(minutes=20))
    assert [buy(user, *kind).id for kind in [*KINDS, ("1y", "card")]] == [payment.id for payment in opened]
    with pytest.raises(TooManyOpenPayments):
        buy(user, "1y", "sbp")
    assert buy(new_user(), "1y", "sbp"), "nobody else is concerned"
    pass_time(timedelta(minutes=30))
    with pytest.raises(TooManyOpenPayments):
        buy(user)  # the old ones can hardly be paid any more, but they may be being paid just now
    pass_time(timedelta(minutes=30))
    assert buy(user).created_at == pytest.approx(clock.now(), abs=timedelta(minutes=1))
    assert len(payments_at(fresh)) == 7


def test_the_limit_holds_for_many_at_once(fresh: World, user: User) -> None:
    assert fresh
    for number in range(4):
        plans.put(f"p{number}", months=1, days=30 + number, amount_kopecks=100_00)
    kinds = [(f"p{number}", method) for number in range(4) for method in ("card", "sbp")]

    def ask(number: int) -> bool:
        try:
            return bool(checkout.start(user.id, *kinds[number]))
        except TooManyOpenPayments:
            return False

    assert sum(at_once(8, ask)) == checkout.MOST_OPEN  # type: ignore[arg-type]
    assert len(billing.latest()) == checkout.MOST_OPEN
