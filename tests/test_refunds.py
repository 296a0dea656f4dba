"""Refunds: the money goes back once, and takes its share of the days once, whoever started it and however it is learnt of."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from krotray_core import asking, billing, cabinet, refunds, settings, subscriptions, yookassa
from krotray_core.db import transaction
from krotray_core.errors import Conflict, GatewayError, GatewayUnavailable, Invalid, NotFound
from krotray_core.models import Entry, Notice, Payment, Server, User
from krotray_core.refunds import DAY_SECONDS
from sandbox.world import World
from tests.conftest import at_checkout, at_once, buy
from tests.test_billing import about, days_of

pytestmark = pytest.mark.usefixtures("fleet")


def paid(world: World, user: User, plan: str = "1m", method: str = "card") -> Payment:
    """A payment that has counted."""
    payment = buy(user, plan, method)
    at_checkout(world, payment)
    return billing.settle(payment.id).payment


def in_the_cabinet(payment: Payment, amount: str) -> str:
    """A refund that somebody makes at YooKassa, past us; its id there."""
    s = settings.get()
    answer = requests.post(
        f"{s.yookassa_api_url}/refunds",
        json={"payment_id": payment.external_id, "amount": {"value": amount, "currency": "RUB"}},
        auth=(s.yookassa_shop_id, s.yookassa_secret_key.get_secret_value()),
        headers={"Idempotence-Key": str(uuid4())},
        timeout=5,
    )
    answer.raise_for_status()
    return str(answer.json()["id"])


def back_at_yookassa(payment: Payment) -> int:
    """How many kopecks YooKassa has given back."""
    assert payment.external_id
    return yookassa.fetch(payment.external_id).refunded_kopecks


def notify(payment: Payment) -> billing.Settled:
    """What a refund.succeeded leads to."""
    hint = billing.note_hint(payment.external_id or "", "refund.succeeded")
    assert hint.look == payment.id
    return billing.settle(hint.look)


def arm(world: World, **fault: object) -> None:
    """Lets the next requests at YooKassa go wrong."""
    requests.post(f"{world.yookassa_url}/sandbox/faults", json=fault, timeout=5).raise_for_status()


def notices(kind: str) -> list[Notice]:
    """What is to be told."""
    with transaction() as session:
        return list(session.scalars(select(Notice).where(Notice.kind == kind)))


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


def test_the_bank_takes_its_time(fresh: World, user: User, pass_time: Callable[[timedelta], None]) -> None:
    payment = paid(fresh, user)
    arm(fresh, operation="refund", kind="pending")
    refund = refunds.start(payment.id, 50_00).refund
    assert refund.status == "pending"
    assert days_of(user) == about(30), "nothing has gone back yet"
    with pytest.raises(Conflict):
        refunds.start(payment.id, 60_00)
    pass_time(timedelta(minutes=2))
    assert refunds.claim_open() == [refund.id]
    assert refunds.claim_open() == []
    assert refunds.settle(refund.id).refund.status == "pending"
    requests.post(f"{fresh.yookassa_url}/sandbox/refunds/{refund.external_id}/succeed", timeout=5).raise_for_status()
    refunds.settle(refund.id)
    at_once(4, lambda _: refunds.settle(refund.id))
    assert refunds.find(refund.id).taken_seconds == 15 * DAY_SECONDS


def test_one_that_fails_is_found_by_asking_and_the_admins_hear_of_it(
    fresh: World, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    admins = settings.get().model_copy(update={"admin_telegram_ids": (77,)})
    monkeypatch.setattr(settings, "get", lambda: admins)
    payment = paid(fresh, user)
    arm(fresh, operation="refund", kind="pending")
    refund = refunds.start(payment.id).refund
    url = f"{fresh.yookassa_url}/sandbox/refunds/{refund.external_id}/cancel"
    requests.post(url, json={"reason": "insufficient_funds"}, timeout=5).raise_for_status()
    settled = refunds.settle(refund.id).refund
    assert (settled.status, settled.cancel_reason) == ("canceled", "insufficient_funds")
    assert days_of(user) == about(30)
    assert [notice.telegram_id for notice in notices("refund_failed")] == [77]
    assert refunds.start(payment.id).refund.status == "succeeded", "and it can be tried again"


@pytest.mark.parametrize("kind", ["drop", "500", "502", "202", "truncated"])
def test_made_but_never_heard_of_it_is_repeated_with_the_same_key(
    fresh: World, user: User, kind: str, pass_time: Callable[[timedelta], None]
) -> None:
    payment = paid(fresh, user)
    arm(fresh, operation="POST /v3/refunds", kind=kind, when="after")
    with pytest.raises(GatewayUnavailable):
        refunds.start(payment.id, 50_00)
    with pytest.raises(Conflict, match="in doubt"):
        refunds.start(payment.id, 50_00)
    assert refunds.claim_open() == [], "its creator may still be at it"
    pass_time(asking.CREATION_GRACE)
    (refund_id,) = refunds.claim_open()
    assert refunds.settle(refund_id).refund.status == "succeeded"
    assert back_at_yookassa(payment) == 50_00
    assert days_of(user) == about(15)


def test_the_webhook_overtakes_our_own_answer(fresh: World, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = paid(fresh, user)
    real = yookassa.create_refund

    def overtaken(body: dict[str, object], key: str) -> yookassa.FoundRefund:
        found = real(body, key)
        notify(payment)
        return found

    monkeypatch.setattr(yookassa, "create_refund", overtaken)
    assert refunds.start(payment.id).refund.status == "succeeded"
    assert len(refunds.of_payment(payment.id)) == 1, "known by our id in its metadata"
    assert len(notices("refunded")) == 1


def test_refused_at_yookassa_it_is_over(fresh: World, user: User, pass_time: Callable[[timedelta], None]) -> None:
    payment = paid(fresh, user)
    in_the_cabinet(payment, "100.00")  # we have not heard of it yet
    assert refunds.start(payment.id).refund.status == "canceled"
    pass_time(timedelta(hours=1))
    assert refunds.claim_open() == []
    assert notify(payment).payment.status == "refunded"


@pytest.mark.parametrize(("made", "ends"), [("after", "succeeded"), ("before", "canceled")])
def test_too_old_to_be_repeated_it_is_looked_up_before_it_is_given_up(
    fresh: World, user: User, pass_time: Callable[[timedelta], None], made: str, ends: str
) -> None:
    """To send it again would make another one, and to call it off would have an admin do so."""
    payment = paid(fresh, user)
    arm(fresh, operation="POST /v3/refunds", kind="drop", when=made)
    with pytest.raises(GatewayUnavailable):
        refunds.start(payment.id, 50_00)
    pass_time(timedelta(hours=24))
    (refund_id,) = refunds.claim_open()
    arm(fresh, operation="GET /v3/refunds", kind="502", when="before")
    with pytest.raises(GatewayUnavailable):
        refunds.settle(refund_id)
    assert refunds.find(refund_id).status == "pending"
    assert refunds.settle(refund_id).refund.status == ends
    assert back_at_yookassa(payment) == billing.find(payment.id).refunded_kopecks == (50_00 if made == "after" else 0)


def test_a_list_that_is_behind_waits(fresh: World, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    in_the_cabinet(payment, "100.00")
    real = yookassa.refunds_of
    monkeypatch.setattr(yookassa, "refunds_of", lambda _: [])
    with pytest.raises(GatewayUnavailable):
        billing.settle(payment.id)
    assert cabinet.of_user(user.id).subscription is None, "no days for money that went back"
    monkeypatch.setattr(yookassa, "refunds_of", real)
    assert billing.settle(payment.id).payment.status == "refunded"


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


def test_one_that_we_called_off_and_that_was_made_all_the_same_counts(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    arm(fresh, operation="POST /v3/refunds", kind="drop", when="after")
    with pytest.raises(GatewayUnavailable):
        refunds.start(payment.id)
    (refund,) = refunds.of_payment(payment.id)
    refunds._cancel(refund.id, "not_created")
    assert notify(payment).payment.status == "refunded"
    (refund,) = refunds.of_payment(payment.id)
    assert (refund.status, refund.cancel_reason) == ("succeeded", None)


def test_a_hint_that_comes_while_yookassa_is_being_asked_is_not_lost(
    fresh: World, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = paid(fresh, user)
    real = yookassa.fetch

    def slow(external_id: str) -> yookassa.Found:
        found = real(external_id)
        in_the_cabinet(payment, "100.00")
        billing.note_hint(external_id, "refund.succeeded")
        return found

    monkeypatch.setattr(yookassa, "fetch", slow)
    billing.settle_external(payment.external_id or "")
    monkeypatch.undo()
    assert billing.claim_open() == [payment.id]
    assert billing.settle(payment.id).payment.status == "refunded"


def test_a_hint_about_an_old_payment_is_fresh_news(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    payment = paid(fresh, user)
    pass_time(timedelta(days=365))
    in_the_cabinet(payment, "100.00")
    billing.note_hint(payment.external_id or "", "refund.succeeded")
    assert billing.claim_open() == [payment.id]
    pass_time(timedelta(minutes=1))
    assert billing.claim_open() == [payment.id], "the message about it may have been lost"


def test_an_admin_who_asks_is_answered_by_yookassa(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    in_the_cabinet(payment, "100.00")
    assert billing.settle(payment.id).payment.status == "succeeded"
    assert billing.settle(payment.id, anew=True).payment.status == "refunded"


def test_a_refund_that_yookassa_does_not_know_stays_a_question(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    arm(fresh, operation="refund", kind="pending")
    refund = refunds.start(payment.id).refund
    requests.post(f"{fresh.yookassa_url}/sandbox/reset", timeout=5).raise_for_status()
    with pytest.raises(GatewayError):
        refunds.settle(refund.id)
    assert refunds.find(refund.id).status == "pending"


def test_open_ones_are_asked_about_less_and_less_often(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    payment = paid(fresh, user)
    arm(fresh, operation="refund", kind="pending")
    refund_id = refunds.start(payment.id).refund.id
    pass_time(timedelta(days=10))
    assert refunds.claim_open() == [refund_id]
    pass_time(timedelta(hours=11))
    assert refunds.claim_open() == []
    pass_time(timedelta(hours=2))
    assert refunds.claim_open() == [refund_id]
