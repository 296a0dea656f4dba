"""Refunds that are not settled at once: the bank takes its time, an answer is lost, a list is behind, a hint comes meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import requests

from krotray_core import asking, billing, cabinet, refunds, settings, yookassa
from krotray_core.errors import Conflict, GatewayError, GatewayUnavailable
from krotray_core.models import User
from krotray_core.refunds import DAY_SECONDS
from sandbox.world import World
from tests.conftest import at_checkout, at_once, buy
from tests.refund_kit import arm, back_at_yookassa, in_the_cabinet, notices, notify, paid
from tests.test_billing import about, days_of

pytestmark = pytest.mark.usefixtures("fleet")


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
