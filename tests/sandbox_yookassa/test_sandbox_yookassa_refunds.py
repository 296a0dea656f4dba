"""Money that goes back."""

from __future__ import annotations

from typing import Any

import pytest
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
