"""The API as the real SDK and a careful reader of its documentation see it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
import requests
from sandbox_yookassa_kit import GONE, RETURN_URL, SHOP, Till, order, running
from yookassa import Configuration, Payment, Settings
from yookassa.domain.exceptions import BadRequestError, NotFoundError, UnauthorizedError


@pytest.mark.usefixtures("sdk")
def test_the_sdk_makes_and_finds_a_payment(till: Till) -> None:
    made = Payment.create(order(payment_method_data={"type": "sbp"}), "key-1")
    found = Payment.find_one(made.id)
    assert (found.status, found.paid, found.test) == ("pending", False, True)
    assert (str(found.amount.value), found.amount.currency) == ("250.00", "RUB")
    assert found.metadata == {"payment_id": "7", "cms_name": "yookassa_sdk_python"}
    assert found.payment_method.type == "sbp"
    assert found.confirmation.confirmation_url == f"{till.url}/checkout/{made.id}"
    assert found.recipient.account_id == SHOP[0]


@pytest.mark.usefixtures("sdk")
def test_the_sdk_sees_a_payment_succeed(till: Till) -> None:
    made = Payment.create(order(), "key-1")
    till.control(f"/payments/{made.id}/pay")
    found = Payment.find_one(made.id)
    assert (found.status, found.paid, found.refundable) == ("succeeded", True, True)
    assert str(found.income_amount.value) == "241.25"
    assert found.payment_method.card.last4 == "4444"
    assert found.authorization_details.three_d_secure.applied is False


def test_a_new_payment_has_every_field_of_the_real_one(till: Till) -> None:
    made = till.make()
    assert re.fullmatch(r"[0-9a-f]{8}-000f-5000-8000-[0-9a-f]{12}", made["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["created_at"])
    assert made == {
        "id": made["id"],
        "status": "pending",
        "amount": {"value": "250.00", "currency": "RUB"},
        "description": "KrotRay, 3 месяца",
        "recipient": {"account_id": "100500", "gateway_id": "1100500"},
        "created_at": made["created_at"],
        "confirmation": {
            "type": "redirect",
            "return_url": RETURN_URL,
            "confirmation_url": f"{till.url}/checkout/{made['id']}",
        },
        "test": True,
        "paid": False,
        "refundable": False,
        "metadata": {"payment_id": "7"},
    }


def test_a_paid_one_too(till: Till) -> None:
    made = till.make()
    paid = till.control(f"/payments/{made['id']}/pay", method="bank_card")
    assert paid == till.get(made["id"])
    assert {"confirmation", "expires_at", "cancellation_details"}.isdisjoint(paid)
    assert paid["captured_at"] >= paid["created_at"]
    assert paid["refunded_amount"] == {"value": "0.00", "currency": "RUB"}
    year = str(datetime.now(UTC).year + 3)
    assert paid["payment_method"] == {
        "type": "bank_card",
        "id": made["id"],
        "saved": False,
        "title": "Bank card *4444",
        "card": {
            "first6": "555555",
            "last4": "4444",
            "expiry_month": "12",
            "expiry_year": year,
            "card_type": "MasterCard",
            "issuer_country": "RU",
        },
    }


@pytest.mark.usefixtures("sdk")
def test_without_capture_the_money_is_held_until_the_shop_decides(till: Till) -> None:
    held, given_back = (Payment.create(order(capture=None)).id for _ in range(2))
    for payment_id in (held, given_back):
        with pytest.raises(BadRequestError):
            Payment.capture(payment_id)
        till.control(f"/payments/{payment_id}/pay")
        waiting = Payment.find_one(payment_id)
        assert (waiting.status, waiting.paid) == ("waiting_for_capture", True)
        assert waiting.expires_at is not None
    captured = Payment.capture(held, {"amount": {"value": "100.00", "currency": "RUB"}})
    assert (captured.status, str(captured.amount.value)) == ("succeeded", "100.00")
    canceled = Payment.cancel(given_back)
    assert canceled.status == "canceled"
    assert canceled.cancellation_details.party == "merchant"
    assert canceled.cancellation_details.reason == "canceled_by_merchant"


def test_capture_takes_at_most_what_is_held(till: Till) -> None:
    made = till.make(capture=False)
    till.control(f"/payments/{made['id']}/pay")
    too_much = {"amount": {"value": "250.01", "currency": "RUB"}}
    answer = till.api("POST", f"/payments/{made['id']}/capture", json=too_much)
    assert (answer.status_code, answer.json()["parameter"]) == (400, "amount")


@pytest.mark.parametrize("paid", [False, True])
def test_only_a_held_payment_can_be_canceled(till: Till, paid: bool) -> None:
    made = till.make()
    if paid:
        till.control(f"/payments/{made['id']}/pay")
    answer = till.api("POST", f"/payments/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert till.get(made["id"])["status"] == ("succeeded" if paid else "pending")


@pytest.mark.usefixtures("sdk")
def test_the_list_is_cut_into_pages_newest_first(till: Till) -> None:
    ids = [till.make()["id"] for _ in range(5)]
    first = Payment.list({"limit": 2})
    second = Payment.list({"limit": 2, "cursor": first.next_cursor})
    third = Payment.list({"limit": 2, "cursor": second.next_cursor})
    assert [found.id for page in (first, second, third) for found in page.items] == ids[::-1]
    assert third.next_cursor is None
    assert "next_cursor" not in till.api("GET", "/payments?limit=5").json()


def test_the_list_is_filtered_by_time_and_status(till: Till) -> None:
    early = till.make()
    till.control("/clock", advance_seconds=60)
    late = till.make()
    till.control(f"/payments/{late['id']}/pay")

    def ids(**query: str) -> list[str]:
        listed = till.api("GET", "/payments", params={name.replace("_at_", "_at."): at for name, at in query.items()})
        assert listed.json()["type"] == "list"
        return [found["id"] for found in listed.json()["items"]]

    moment = late["created_at"]
    assert ids(created_at_gte=moment) == [late["id"]]
    assert ids(created_at_gt=moment) == []
    assert ids(created_at_lt=moment) == [early["id"]]
    assert ids(created_at_lte=moment) == [late["id"], early["id"]]
    assert ids(status="pending") == [early["id"]]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=²", "limit"),
        ("status=paid", "status"),
        ("cursor=nowhere", "cursor"),
        ("created_at.gte=yesterday", "created_at.gte"),
        ("created_at.lt=2026-01-01T00:00:00", "created_at.lt"),
        ("metadata=7", "metadata"),
    ],
)
def test_a_list_refuses_what_it_does_not_know(till: Till, query: str, parameter: str) -> None:
    answer = till.api("GET", f"/payments?{query}")
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


@pytest.mark.usefixtures("sdk")
def test_the_shop_can_ask_who_it_is() -> None:
    me = Settings.get_account_settings()
    assert (me.account_id, me.status, me.test, me.fiscalization_enabled) == (SHOP[0], "enabled", True, False)


@pytest.mark.usefixtures("sdk")
def test_the_sdk_is_refused_with_a_wrong_secret(till: Till) -> None:
    Configuration.configure(SHOP[0], "wrong", api_url=f"{till.url}/v3")
    with pytest.raises(UnauthorizedError) as refusal:
        Payment.create(order(), "key-1")
    assert refusal.value.content["code"] == "invalid_credentials"
    assert till.sandbox.payments.records() == []


@pytest.mark.parametrize("header", ["", "Bearer abc", "Basic ???", "Basic MTAwNTAw", "Basic MTAwNTAxOnRlc3Rfc2VjcmV0"])
def test_wrong_credentials_get_the_documented_error(till: Till, header: str) -> None:
    for path in ("/payments", "/me", "/nowhere"):
        answer = requests.get(f"{till.url}/v3{path}", headers={"Authorization": header}, timeout=10)
        assert answer.status_code == 401
        assert answer.json().keys() == {"type", "id", "code", "description", "parameter"}
        assert (answer.json()["type"], answer.json()["code"]) == ("error", "invalid_credentials")


@pytest.mark.usefixtures("sdk")
def test_what_does_not_exist_is_not_found(till: Till) -> None:
    with pytest.raises(NotFoundError):
        Payment.find_one(GONE)
    for method, path in (
        ("GET", "/refunds/nothing"),
        ("POST", f"/payments/{GONE}/cancel"),
        ("GET", "/nowhere"),
        ("DELETE", "/payments"),
        ("POST", "/"),
    ):
        answer = till.api(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_shop_with_fiscalization_says_so() -> None:
    with running(receipt_required=True) as till:
        assert till.api("GET", "/me").json()["fiscalization"] == {"enabled": True}
        refusal = till.api("POST", "/payments", json=order())
        assert (refusal.status_code, refusal.json()["parameter"]) == (400, "receipt")


def test_requests_are_counted_by_operation(till: Till) -> None:
    made = till.make()
    till.get(made["id"])
    till.get(GONE)
    till.api("POST", "/payments", json={})
    till.api("GET", "/nowhere")
    assert till.look("/requests") == {
        "POST /v3/payments": 2,
        "GET /v3/payments/{id}": 2,
        "(unknown)": 1,
    }
