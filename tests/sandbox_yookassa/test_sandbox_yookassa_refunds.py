"""Money that goes back."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from sandbox_yookassa_kit import GONE, Receiver, Till
from yookassa import Payment, Refund
from yookassa.domain.exceptions import BadRequestError


def back(payment_id: str, value: str, **more: Any) -> dict[str, Any]:
    return {"payment_id": payment_id, "amount": {"value": value, "currency": "RUB"}} | more


@pytest.mark.usefixtures("sdk")
def test_a_payment_is_refunded_in_parts_until_nothing_is_left(till: Till, receiver: Receiver) -> None:
    payment_id = till.make()["id"]
    till.control(f"/payments/{payment_id}/pay")
    assert receiver.next()["event"] == "payment.succeeded"

    part = Refund.create(back(payment_id, "100.00", description="Часть"), "part")
    assert (part.status, part.payment_id, str(part.amount.value)) == ("succeeded", payment_id, "100.00")
    payment = Payment.find_one(payment_id)
    assert (str(payment.refunded_amount.value), payment.refundable, payment.status) == ("100.00", True, "succeeded")
    notification = receiver.next()
    assert (notification["event"], notification["object"]["id"]) == ("refund.succeeded", part.id)

    with pytest.raises(BadRequestError) as refusal:
        Refund.create(back(payment_id, "150.01"))
    assert refusal.value.content["parameter"] == "amount"
    rest = Refund.create(back(payment_id, "150.00"))
    assert Payment.find_one(payment_id).refundable is False
    assert Refund.find_one(part.id).description == "Часть"
    listed = Refund.list({"payment_id": payment_id, "limit": 1})
    assert [found.id for found in listed.items] == [rest.id]
    assert Refund.list({"cursor": listed.next_cursor}).items[0].id == part.id


def test_a_repeated_refund_is_no_second_one(till: Till) -> None:
    payment_id = till.make()["id"]
    till.control(f"/payments/{payment_id}/pay")
    answers = [till.api("POST", "/refunds", key="key-1", json=back(payment_id, "100.00")).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert till.get(payment_id)["refunded_amount"]["value"] == "100.00"


def test_only_a_payment_that_succeeded_can_be_refunded(till: Till) -> None:
    for payment_id in (till.make()["id"], GONE):
        answer = till.api("POST", "/refunds", json=back(payment_id, "100.00"))
        assert (answer.status_code, answer.json()["parameter"]) == (400, "payment_id")


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"amount": {"value": "1", "currency": "RUB"}}, "amount.value"),
        ({"payment_id": 7}, "payment_id"),
        ({"description": "x" * 251}, "description"),
        ({"sources": [{}]}, "sources"),
        ({"why": "x"}, "why"),
    ],
)
def test_a_refund_keeps_the_limits(till: Till, changes: dict[str, Any], parameter: str) -> None:
    answer = till.api("POST", "/refunds", json=back(GONE, "1.00") | changes)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


def refunded(till: Till, payment_id: str, value: str = "100.00", **options: Any) -> dict[str, Any]:
    answer = till.api("POST", "/refunds", json=back(payment_id, value), **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told_of(till: Till) -> list[str]:
    """The events that have been sent, once all are delivered."""
    assert till.look("/deliveries?wait=5")["undelivered"] == 0
    return [entry["event"] for entry in till.look("/deliveries")["items"]]


def test_a_pending_refund_waits_for_the_bank(till: Till) -> None:
    payment_id = till.paid()
    till.arm("refund", "pending")
    pending = refunded(till, payment_id)
    assert pending["status"] == till.api("GET", f"/refunds/{pending['id']}").json()["status"] == "pending"
    waiting = till.get(payment_id)
    assert (waiting["refunded_amount"]["value"], waiting["refundable"]) == ("0.00", True)
    assert till.api("GET", "/refunds?status=pending").json()["items"] == [pending]
    assert told_of(till) == ["payment.succeeded"]

    done = till.control(f"/refunds/{pending['id']}/succeed")
    assert done == pending | {"status": "succeeded"} == till.api("GET", f"/refunds/{pending['id']}").json()
    assert till.get(payment_id)["refunded_amount"]["value"] == "100.00"
    assert told_of(till) == ["payment.succeeded", "refund.succeeded"]
    for verb in ("succeed", "cancel"):
        assert "succeeded" in till.control(f"/refunds/{pending['id']}/{verb}", expect=409)["error"]
    assert refunded(till, payment_id)["status"] == "succeeded"


def test_a_pending_refund_that_fails_is_told_to_nobody(till: Till) -> None:
    payment_id = till.paid()
    till.arm("refund", "pending")
    refund_id = refunded(till, payment_id, "250.00")["id"]
    assert till.get(payment_id)["refundable"] is False
    failed = till.control(f"/refunds/{refund_id}/cancel", reason="rejected_by_timeout")
    assert failed["status"] == "canceled"
    assert failed["cancellation_details"] == {"party": "refund_network", "reason": "rejected_by_timeout"}
    payment = till.get(payment_id)
    assert (payment["refunded_amount"]["value"], payment["refundable"]) == ("0.00", True)
    assert "canceled" in till.control(f"/refunds/{refund_id}/succeed", expect=409)["error"]
    assert told_of(till) == ["payment.succeeded"]
    assert refunded(till, payment_id, "250.00")["status"] == "succeeded"


def test_the_next_refunds_fail_at_once(till: Till) -> None:
    payment_id = till.paid()
    till.arm("refund", "canceled", reason="insufficient_funds", party="merchant", times=2)
    for _ in range(2):
        failed = refunded(till, payment_id)
        assert failed["cancellation_details"] == {"party": "merchant", "reason": "insufficient_funds"}
    assert refunded(till, payment_id)["status"] == "succeeded"
    assert told_of(till) == ["payment.succeeded", "refund.succeeded"]
    page = till.browser().open("/sandbox/").page
    assert "Возвраты" in page
    assert "insufficient_funds" in page


def test_what_is_on_its_way_back_cannot_go_back_twice(till: Till) -> None:
    payment_id = till.paid()
    till.arm("refund", "pending", times=2)
    refunded(till, payment_id, "100.00")
    refunded(till, payment_id, "150.00")
    answer = till.api("POST", "/refunds", json=back(payment_id, "0.01"))
    assert (answer.status_code, answer.json()["parameter"]) == (400, "amount")


def test_a_refund_may_be_pending_behind_a_dropped_connection(till: Till) -> None:
    payment_id = till.paid()
    till.arm("refund", "pending")
    till.arm("POST /v3/refunds", "drop", when="after")
    with pytest.raises(requests.ConnectionError):
        refunded(till, payment_id, key="key-1")
    again = refunded(till, payment_id, key="key-1")
    assert again["status"] == "pending"
    assert till.api("GET", "/refunds").json()["items"] == [again]


@pytest.mark.parametrize("body", [{"reason": None}, {"reason": "No"}, {"party": 7}, {"why": "x"}])
def test_a_refund_is_canceled_for_a_reason_only(till: Till, body: dict[str, Any]) -> None:
    till.control(f"/refunds/{GONE}/cancel", expect=400, **body)


def test_an_unknown_refund_is_not_found(till: Till) -> None:
    for verb in ("succeed", "cancel"):
        till.control(f"/refunds/{GONE}/{verb}", expect=404)
