"""Checks of statements about YooKassa that no test of another file shows, and what makes checks of other tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import requests
import test_sandbox_yookassa_checkout as checkout
import test_sandbox_yookassa_faults as faults
import test_sandbox_yookassa_lies as lies
import test_sandbox_yookassa_limits as limits
import test_sandbox_yookassa_modes as modes
import test_sandbox_yookassa_refunds as refunds
from sandbox_yookassa_kit import RETURN_URL, SHOP, Receiver, Till, order
from yookassa import Payment

from sandbox.yookassa.cards import REASONS

Check = Callable[..., None]


def refuses(parameter: str, **changes: Any) -> Check:
    """A payment with such a field is refused with its name."""
    return partial(limits.test_what_breaks_a_limit_is_refused_by_name, changes=changes, parameter=parameter)


def takes(**changes: Any) -> Check:
    """A payment with such fields is made."""
    return partial(limits.test_what_keeps_the_limits_is_taken, changes=changes)


def both(*checks: Check) -> Check:
    """Several checks, one after the other."""

    def check(till: Till, receiver: Receiver) -> None:
        for one in checks:
            run(one, till=till, receiver=receiver)
            till.control("/reset")

    return check


def run(check: Check, **things: Any) -> None:
    """Call a check with those of the things that it asks for."""
    check(**{name: thing for name, thing in things.items() if name in inspect.signature(check).parameters})


def is_held_unless_capture_is_said(till: Till) -> None:
    for capture, status in ((None, "waiting_for_capture"), (False, "waiting_for_capture"), (True, "succeeded")):
        assert till.get(till.paid(capture=capture))["status"] == status


def final_states_stay(till: Till) -> None:
    paid, canceled = till.paid(), till.make()["id"]
    till.control(f"/payments/{canceled}/cancel")
    for payment_id, status in ((paid, "succeeded"), (canceled, "canceled")):
        for verb in ("capture", "cancel"):
            assert till.api("POST", f"/payments/{payment_id}/{verb}").status_code == 400
        for verb in ("pay", "decline", "cancel"):
            till.control(f"/payments/{payment_id}/{verb}", expect=409)
        assert till.get(payment_id)["status"] == status


def is_payable_to_the_end(till: Till) -> None:
    payment_id, browser = checkout.opened(till)
    assert RETURN_URL in browser.links()
    till.control("/clock", advance_seconds=3595)
    assert till.api("POST", f"/payments/{payment_id}/cancel").status_code == 400
    till.browser().open(f"/checkout/{payment_id}").press("/card")
    assert till.get(payment_id)["status"] == "succeeded"


def fails_for_every_reason(till: Till) -> None:
    for reason in (*REASONS, "never_heard_of"):
        payment_id = till.make()["id"]
        till.control(f"/payments/{payment_id}/cancel", reason=reason)
        assert till.get(payment_id)["cancellation_details"]["reason"] == reason


def goes_back_to_the_address_as_it_was(till: Till) -> None:
    _, browser = checkout.opened(till)
    assert RETURN_URL in browser.press("/card").links()


def needs_a_key_for_every_post(till: Till) -> None:
    for path in ("/payments", "/refunds", f"/payments/{till.make()['id']}/cancel"):
        answer = till.api("POST", path, json={}, headers={})
        assert (answer.status_code, answer.json()["parameter"]) == (400, "Idempotence-Key")
    assert till.api("GET", "/payments").status_code == 200


def is_found_in_the_list_when_in_doubt(till: Till) -> None:
    till.arm("POST /v3/payments", "drop", when="after")
    with pytest.raises(requests.ConnectionError):
        till.api("POST", "/payments", json=order(metadata={"payment_id": "in doubt"}))
    [found] = till.api("GET", "/payments").json()["items"]
    assert found["metadata"] == {"payment_id": "in doubt"}


def carries_no_signature(till: Till, receiver: Receiver) -> None:
    till.paid()
    receiver.next()
    usual = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    assert receiver.headers == [usual]


def tells_what_the_api_tells(till: Till, receiver: Receiver) -> None:
    payment_id = till.paid()
    body = {"type": "notification", "event": "payment.succeeded", "object": till.get(payment_id)}
    assert receiver.next() == body


def tells_only_four_events(till: Till, receiver: Receiver) -> None:
    till.make()
    payment_id = till.paid(capture=False)
    till.api("POST", f"/payments/{payment_id}/capture")
    till.control(f"/payments/{till.make()['id']}/cancel")
    refunds.refunded(till, payment_id)
    events = [receiver.next()["event"] for _ in range(4)]
    assert sorted(events) == [
        "payment.canceled",
        "payment.succeeded",
        "payment.waiting_for_capture",
        "refund.succeeded",
    ]
    assert lies.nothing_more(till, receiver)


def wants_a_receipt(till: Till) -> None:
    till.control("/modes", receipt_required=True)
    answer = till.api("POST", "/payments", json=order())
    assert (answer.status_code, answer.json()["code"], answer.json()["parameter"]) == (
        400,
        "invalid_request",
        "receipt",
    )
    assert till.make(receipt=limits.receipt(tax_system_code=6, vat_code=12))["status"] == "pending"


def forbids_saving_but_takes_a_plain_payment(till: Till) -> None:
    answer = till.api("POST", "/payments", json=order(save_payment_method=True))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert till.make()["status"] == "pending"


def in_a_shop_that_may_charge(test: Check) -> Check:
    """A test of that kind of shop."""

    def check(till: Till, receiver: Receiver) -> None:
        till.control("/modes", recurring_allowed=True)
        run(test, shop=till, receiver=receiver)

    return check


def declines_charges(till: Till) -> None:
    till.control("/modes", recurring_allowed=True)
    method_id = till.paid(save_payment_method=True)
    for reason in (
        "permission_revoked",
        "card_expired",
        "payment_method_restricted",
        "insufficient_funds",
        "issuer_unavailable",
    ):
        till.arm("charge", "canceled", reason=reason)
        failed = modes.charged(till, method_id)
        assert (failed["status"], failed["cancellation_details"]["reason"]) == ("canceled", reason)


def has_every_operation(till: Till) -> None:
    payment_id = till.paid(capture=False)
    refund = {"payment_id": payment_id, "amount": order()["amount"]}
    assert till.api("POST", f"/payments/{payment_id}/capture").status_code == 200
    refund_id = till.api("POST", "/refunds", json=refund).json()["id"]
    for path in ("/payments", f"/payments/{payment_id}", "/refunds", f"/refunds/{refund_id}", "/me"):
        assert till.api("GET", path).status_code == 200
        assert requests.get(f"{till.url}/v3{path}", auth=(SHOP[0], "wrong"), timeout=10).status_code == 401
    canceled = till.paid(capture=False)
    assert till.api("POST", f"/payments/{canceled}/cancel").json()["status"] == "canceled"


def meets_the_sdk_as_the_real_one_does(till: Till) -> None:
    """The two ways in which the SDK was seen to fail; POSTs over plain HTTP it does not send again."""
    till.arm("POST /v3/payments", "drop", when="before")
    with pytest.raises(AttributeError):
        Payment.create(order(), "key-1")
    till.arm("POST /v3/payments", "502", when="before")
    with pytest.raises(requests.JSONDecodeError):
        Payment.create(order(), "key-1")


def stays_unknown(kind: str, when: str) -> Check:
    """The answer does not tell whether the payment was made; repeating the request settles it."""
    return partial(
        faults.test_an_answer_that_leaves_open_what_happened, kind=kind, when=when, number=int(when == "after")
    )
