"""Shops of another kind: with fiscalization, and with the permission to charge saved methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sandbox_yookassa_kit import GONE, Receiver, Till, order, running
from yookassa import Payment


@pytest.fixture
def shop(till: Till) -> Till:
    """A sandbox whose shop may save methods."""
    till.control("/modes", recurring_allowed=True)
    return till


def charge(method_id: str, **changes: Any) -> dict[str, Any]:
    """The body of a payment by a saved method."""
    return order(confirmation=None, payment_method_id=method_id, **changes)


def charged(shop: Till, method_id: str, **changes: Any) -> dict[str, Any]:
    answer = shop.api("POST", "/payments", json=charge(method_id, **changes))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_modes_are_switched_and_reset(till: Till) -> None:
    assert till.control("/modes") == {"receipt_required": False, "recurring_allowed": False}
    assert till.control("/modes", receipt_required=True) == {"receipt_required": True, "recurring_allowed": False}
    assert till.api("POST", "/payments", json=order()).json()["parameter"] == "receipt"
    assert till.api("GET", "/me").json()["fiscalization_enabled"] is True
    assert till.control("/modes", recurring_allowed=True) == {"receipt_required": True, "recurring_allowed": True}
    till.control("/reset")
    assert till.control("/modes") == {"receipt_required": False, "recurring_allowed": False}
    assert till.make()["status"] == "pending"


def test_the_modes_begin_as_configured_and_survive_a_restart(tmp_path: Path) -> None:
    settings = {"receipt_required": True, "recurring_allowed": True, "state_file": tmp_path / "state.sqlite"}
    with running(**settings) as till:
        assert till.control("/modes", receipt_required=False) == {"receipt_required": False, "recurring_allowed": True}
    with running(**settings) as till:
        assert till.control("/modes") == {"receipt_required": False, "recurring_allowed": True}


@pytest.mark.parametrize("body", [{"receipt_required": 1}, {"recurring": True}])
def test_the_modes_refuse_nonsense(till: Till, body: dict[str, Any]) -> None:
    till.control("/modes", expect=400, **body)


@pytest.mark.parametrize("method", ["bank_card", "sbp"])
def test_a_method_is_saved_when_the_payer_has_paid(shop: Till, method: str) -> None:
    made = shop.make(save_payment_method=True, payment_method_data={"type": method})
    assert made["payment_method"] == {"type": method, "id": made["id"], "saved": False}
    assert shop.look("/methods") == {"items": []}
    paid = shop.control(f"/payments/{made['id']}/pay")
    assert (paid["payment_method"]["saved"], paid["payment_method"]["id"]) == (True, made["id"])
    assert shop.look("/methods") == {"items": [{"method": paid["payment_method"], "declines_with": None}]}


def test_a_method_is_not_saved_unasked(shop: Till) -> None:
    payment_id = shop.paid(save_payment_method=False)
    assert shop.get(payment_id)["payment_method"]["saved"] is False
    answer = shop.api("POST", "/payments", json=charge(payment_id))
    assert (answer.status_code, answer.json()["parameter"]) == (400, "payment_method_id")


def test_a_saved_method_is_charged_without_anybody(shop: Till, receiver: Receiver) -> None:
    method_id = shop.paid(save_payment_method=True)
    assert receiver.next()["object"]["id"] == method_id
    paid = charged(shop, method_id, metadata={"payment_id": "8"})
    assert (paid["status"], paid["paid"], paid["metadata"]) == ("succeeded", True, {"payment_id": "8"})
    assert "confirmation" not in paid
    assert paid["id"] != method_id == paid["payment_method"]["id"]
    assert paid["payment_method"]["saved"] is True
    assert receiver.next() == {"type": "notification", "event": "payment.succeeded", "object": paid}
    assert shop.browser().open(f"/checkout/{paid['id']}").status == 200
    refund = {"payment_id": paid["id"], "amount": paid["amount"]}
    assert shop.api("POST", "/refunds", json=refund).json()["status"] == "succeeded"


@pytest.mark.usefixtures("sdk")
def test_the_sdk_charges_a_saved_method(shop: Till) -> None:
    made = Payment.create(order(save_payment_method=True), "key-1")
    shop.control(f"/payments/{made.id}/pay")
    method = Payment.find_one(made.id).payment_method
    assert method.saved is True
    assert Payment.create(charge(method.id), "key-2").status == "succeeded"


def test_a_charge_may_be_held(shop: Till) -> None:
    held = charged(shop, shop.paid(save_payment_method=True), capture=False)
    assert held["status"] == "waiting_for_capture"
    assert shop.api("POST", f"/payments/{held['id']}/capture").json()["status"] == "succeeded"


def test_a_repeated_charge_is_no_second_one(shop: Till) -> None:
    body = charge(shop.paid(save_payment_method=True))
    first, second = (shop.api("POST", "/payments", key="key-1", json=body).json() for _ in range(2))
    assert first == second
    assert len(shop.sandbox.payments.records()) == 2


def test_a_charge_fails_for_a_reason(shop: Till, receiver: Receiver) -> None:
    method_id = shop.paid(save_payment_method=True)
    receiver.next()
    shop.arm("charge", "canceled", reason="insufficient_funds")
    failed = charged(shop, method_id)
    assert (failed["status"], failed["paid"]) == ("canceled", False)
    assert failed["cancellation_details"] == {"party": "payment_network", "reason": "insufficient_funds"}
    assert receiver.next()["event"] == "payment.canceled"
    assert charged(shop, method_id)["status"] == "succeeded"


def test_a_permission_is_revoked_for_good(shop: Till) -> None:
    revoked, other = shop.paid(save_payment_method=True), shop.paid(save_payment_method=True)
    told = shop.control(f"/methods/{revoked}", declines_with="permission_revoked")
    assert (told["method"]["id"], told["declines_with"]) == (revoked, "permission_revoked")
    for _ in range(2):
        details = charged(shop, revoked)["cancellation_details"]
        assert details == {"party": "yoo_money", "reason": "permission_revoked"}
    assert charged(shop, other)["status"] == "succeeded"
    shop.control(f"/methods/{revoked}", declines_with=None)
    assert charged(shop, revoked)["status"] == "succeeded"


@pytest.mark.parametrize(("verb", "status"), [("pay", "succeeded"), ("cancel", "canceled")])
def test_a_charge_may_take_its_time(shop: Till, verb: str, status: str) -> None:
    method_id = shop.paid(save_payment_method=True)
    shop.arm("charge", "pending")
    pending = charged(shop, method_id)
    assert pending["status"] == "pending"
    assert shop.browser().open(f"/checkout/{pending['id']}").status == 404
    assert "error" in shop.control(f"/payments/{pending['id']}/pay", expect=409, method="sbp")
    done = shop.control(f"/payments/{pending['id']}/{verb}")
    assert (done["status"], done["payment_method"]["id"]) == (status, method_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"confirmation": order()["confirmation"]},
        {"payment_method_data": {"type": "sbp"}},
        {"save_payment_method": True},
        {"payment_method_id": 7},
        {"payment_method_id": ""},
        {"payment_method_id": GONE},
    ],
)
def test_a_charge_that_makes_no_sense_is_refused(shop: Till, changes: dict[str, Any]) -> None:
    body = charge(shop.paid(save_payment_method=True)) | changes
    answer = shop.api("POST", "/payments", json=body)
    assert (answer.status_code, answer.json()["parameter"]) == (400, next(iter(changes)))


@pytest.mark.parametrize("body", [{}, {"declines_with": "No"}, {"declines_with": 7}, {"reason": "x"}])
def test_a_method_declines_with_a_reason_only(shop: Till, body: dict[str, Any]) -> None:
    shop.control(f"/methods/{GONE}", expect=400, **body)
    shop.control(f"/methods/{GONE}", expect=404, declines_with="card_expired")
