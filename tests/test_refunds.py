"""Refunds: the money goes back once, and takes its share of the days once, whoever started it and however it is learnt of."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from krotray_core import billing, cabinet, refunds, subscriptions, yookassa
from krotray_core.db import transaction
from krotray_core.errors import Conflict, Invalid, NotFound
from krotray_core.models import Entry, Payment, Server, User
from krotray_core.refunds import DAY_SECONDS
from sandbox.world import World
from tests.conftest import at_checkout, at_once, buy
from tests.refund_kit import back_at_yookassa, in_the_cabinet, notices, notify, paid
from tests.test_billing import about, days_of

pytestmark = pytest.mark.usefixtures("fleet")


def test_all_of_it_ends_access_at_once_and_the_user_is_told(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    returned = refunds.start(payment.id, reason="не подошло")
    assert (returned.refund.status, returned.refund.taken_seconds) == ("succeeded", 30 * DAY_SECONDS)
    assert len(returned.servers) == 1, "its server must hear of it"
    payment = billing.find(payment.id)
    assert (payment.status, payment.refunded_kopecks) == ("refunded", 100_00)
    assert back_at_yookassa(payment) == 100_00
    seen = cabinet.of_user(user.id)
    assert (seen.state, seen.vless_url) == ("expired", None)
    (notice,) = notices("refunded")
    assert notice.telegram_id == user.telegram_id
    assert notice.data == {"amount_kopecks": 100_00, "taken_seconds": 30 * DAY_SECONDS, "ends_at": None}


def test_a_part_takes_its_share_of_the_days(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    assert refunds.start(payment.id, 25_00).refund.status == "succeeded"
    assert days_of(user) == about(22.5)
    assert billing.find(payment.id).status == "succeeded"
    assert cabinet.of_user(user.id).running
    refunds.start(payment.id)
    assert billing.find(payment.id).status == "refunded"
    assert days_of(user) == about(0)
    assert not cabinet.of_user(user.id).running


def test_it_takes_back_days_of_a_renewal_too_but_no_more_than_were_sold(fresh: World, user: User) -> None:
    old, _ = paid(fresh, user), paid(fresh, user, "3m")
    refunds.start(old.id)
    assert days_of(user) == about(90)
    assert cabinet.of_user(user.id).running


@given(
    days=st.integers(1, 3650),
    amount=st.integers(1, 10**9),
    cuts=st.lists(st.integers(0, 10**9), max_size=8),
)
def test_the_shares_of_all_parts_are_all_of_the_days(days: int, amount: int, cuts: list[int]) -> None:
    payment = Payment(days=days, amount_kopecks=amount)
    steps = [0, *sorted(cut % (amount + 1) for cut in cuts), amount]
    shares = [
        refunds.share(payment, after) - refunds.share(payment, before) for before, after in itertools.pairwise(steps)
    ]
    assert sum(shares) == days * DAY_SECONDS
    assert all(share >= 0 for share in shares)


def test_more_than_is_left_is_refused_by_us(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    refunds.start(payment.id, 60_00)
    for amount, error in ((60_00, Conflict), (40_01, Conflict), (0, Invalid), (-1, Invalid)):
        with pytest.raises(error):
            refunds.start(payment.id, amount)
    with pytest.raises(Invalid):
        refunds.start(payment.id, reason="x" * 251)
    refunds.start(payment.id, 40_00)
    with pytest.raises(Conflict, match="already"):
        refunds.start(payment.id)
    assert back_at_yookassa(payment) == 100_00
    assert len(refunds.of_payment(payment.id)) == 2


def test_only_what_has_been_paid_can_go_back(fresh: World, user: User) -> None:
    payment = buy(user)
    with pytest.raises(Conflict):
        refunds.start(payment.id)
    at_checkout(fresh, payment, "cancel", reason="card_expired")
    billing.settle(payment.id)
    with pytest.raises(Conflict):
        refunds.start(payment.id)
    with pytest.raises(NotFound):
        refunds.start(uuid4())
    with pytest.raises(NotFound):
        refunds.settle(uuid4())


def test_two_admins_at_once_give_it_back_once(fresh: World, user: User) -> None:
    payment = paid(fresh, user)

    def give_back(_number: int) -> str:
        try:
            return refunds.start(payment.id).refund.status
        except Conflict:
            return "refused"

    assert sorted(at_once(6, give_back)) == ["refused"] * 5 + ["succeeded"]
    assert back_at_yookassa(payment) == 100_00
    assert days_of(user) == about(0)


def test_made_in_the_cabinet_it_counts_the_same(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    in_the_cabinet(payment, "50.00")
    at_once(8, lambda _: notify(payment))
    assert days_of(user) == about(15)
    (row,) = refunds.of_payment(payment.id)
    assert (row.request, row.taken_seconds) == (None, 15 * DAY_SECONDS)
    in_the_cabinet(payment, "50.00")
    settled = notify(payment)
    assert settled.payment.status == "refunded"
    assert len(settled.servers) == 1
    assert not cabinet.of_user(user.id).running
    assert len(notices("refunded")) == 2


def test_a_refund_whose_webhook_was_lost_is_found_by_the_sweep_once_hinted(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    assert billing.claim_open() == [], "a payment that has counted is left alone"
    in_the_cabinet(payment, "100.00")
    assert billing.note_hint(payment.external_id or "", "payment.succeeded") == billing.Hint(known=True)
    billing.note_hint(payment.external_id or "", "refund.succeeded")
    assert billing.claim_open() == [payment.id]
    assert billing.settle(payment.id).payment.status == "refunded"
    assert billing.claim_open() == []


def test_a_part_that_went_back_before_we_looked_takes_its_days(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    in_the_cabinet(payment, "50.00")
    settled = billing.settle(payment.id).payment
    assert (settled.status, settled.refunded_kopecks) == ("succeeded", 50_00)
    assert days_of(user) == about(15)


def test_racing_a_renewal_both_count(fresh: World, user: User) -> None:
    for method in ("card", "sbp"):
        old = paid(fresh, user, method=method)
        renewal = buy(user, "3m", method)
        at_checkout(fresh, renewal)
        at_once(2, lambda n: refunds.start(old.id) if n else billing.settle(renewal.id))  # noqa: B023 - called at once
        assert billing.find(old.id).status == "refunded"
        assert billing.find(renewal.id).status == "succeeded"
    assert days_of(user) == about(180)


def test_who_waits_for_a_place_and_gets_the_money_back_waits_no_more(fresh: World, user: User) -> None:
    with transaction() as session:
        session.execute(update(Server).values(enabled=False))
    payment = paid(fresh, user)
    row = cabinet.of_user(user.id).subscription
    assert row
    assert row.waiting_since
    refunds.start(payment.id)
    row = cabinet.of_user(user.id).subscription
    assert row
    assert (row.status, row.waiting_since) == ("expired", None)


def test_after_the_days_have_passed_only_the_book_changes(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    payment = paid(fresh, user)
    pass_time(timedelta(days=40))
    subscriptions.expire_due()
    refunds.start(payment.id)
    assert cabinet.of_user(user.id).state == "expired"
    again = buy(user)
    at_checkout(fresh, again)
    billing.settle(again.id)
    assert days_of(user) == about(30), "what is bought afterwards lasts as long as it says"


def test_money_of_a_flagged_payment_that_went_back_closes_it(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    at_checkout(fresh, payment, "tamper", amount="99.00")
    assert billing.settle(payment.id).payment.flag_reason
    in_the_cabinet(payment, "99.00")
    billing.note_hint(payment.external_id or "", "refund.succeeded")
    settled = billing.settle(payment.id).payment
    assert (settled.status, settled.cancel_reason, settled.flag_reason) == ("canceled", "returned", None)
    assert cabinet.of_user(user.id).subscription is None


def test_a_second_payment_under_our_name_is_flagged_and_the_first_still_counts(fresh: World, user: User) -> None:
    """Charged twice and counted once is what must never pass unseen."""
    payment = paid(fresh, user)
    body = payment.request | {"description": "by hand"}
    twin = yookassa.create(body, str(uuid4()))
    at_checkout(fresh, Payment(external_id=twin.external_id))
    flagged = billing.settle_external(twin.external_id).payment
    assert flagged.status == "succeeded"
    assert twin.external_id in (flagged.flag_reason or "")
    assert days_of(user) == about(30)
    assert [row.id for row in billing.latest(flagged=True)] == [payment.id]


def test_a_second_charge_stays_flagged_until_it_has_gone_back(fresh: World, user: User) -> None:
    """Seen before the payment itself, too: that its own money counts does not make the other's go away."""
    payment = buy(user)
    twin = yookassa.create(payment.request | {"description": "by hand"}, str(uuid4()))
    stranger = Payment(external_id=twin.external_id)
    at_checkout(fresh, stranger)
    assert billing.settle_external(twin.external_id).payment.flag_reason
    at_checkout(fresh, payment)
    settled = billing.settle(payment.id).payment
    assert settled.status == "succeeded"
    assert settled.flag_reason
    in_the_cabinet(stranger, "100.00")
    assert billing.settle_external(twin.external_id).payment.flag_reason is None


def test_a_person_closes_what_was_flagged(fresh: World, user: User) -> None:
    payment = buy(user)
    with pytest.raises(Conflict):
        billing.close(payment.id, "x")
    at_checkout(fresh, payment)
    at_checkout(fresh, payment, "tamper", amount="99.00")
    billing.settle(payment.id)
    closed = billing.close(payment.id, "extended by hand")
    assert (closed.status, closed.cancel_reason, closed.flag_reason) == ("canceled", "closed", None)
    assert billing.latest(flagged=True) == []
    assert billing.claim_open() == []


def test_the_ledger_tells_who_did_it(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    refunds.start(payment.id, 50_00)
    with transaction() as session:
        told = session.execute(
            select(Entry.subject, Entry.event, Entry.status, Entry.kopecks)
            .where(Entry.user_id == user.id)
            .order_by(Entry.id)
        ).all()
    assert [tuple(line) for line in told] == [
        ("payment", "created", "pending", 0),
        ("payment", "succeeded", "succeeded", 100_00),
        ("subscription", "paid", "active", None),
        ("refund", "created", "pending", 0),
        ("refund", "succeeded", "succeeded", -50_00),
        ("payment", "refunded", "succeeded", -50_00),
        ("subscription", "refunded", "active", None),
    ]
