"""Every limit of the API, one violation at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from sandbox_yookassa_kit import RETURN_URL, SHOP, Till, order, running


@pytest.fixture(scope="module")
def shared_till() -> Iterator[Till]:
    """One sandbox for the many small tests of this file."""
    with running() as running_till:
        yield running_till


@pytest.fixture
def till(shared_till: Till) -> Till:
    """It is as new for each of them."""
    shared_till.control("/reset")
    return shared_till


def rub(value: Any, currency: Any = "RUB") -> dict[str, Any]:
    return {"value": value, "currency": currency}


def redirect(**changes: Any) -> dict[str, Any]:
    return {"type": "redirect", "return_url": RETURN_URL} | changes


def receipt(**changes: Any) -> dict[str, Any]:
    """A good receipt with some of its fields, or of its one item's, changed."""
    item = {
        "description": "Доступ",
        "quantity": "1.0",
        "amount": rub("250.00"),
        "vat_code": 1,
        "payment_subject": "service",
        "payment_mode": "full_payment",
    }
    of_item = {name: value for name, value in changes.items() if name in item}
    whole = {"customer": {"email": "a@example.org"}, "items": [item | of_item]}
    return whole | {name: value for name, value in changes.items() if name not in item}


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"amount": None}, "amount"),
        ({"amount": "250.00"}, "amount"),
        ({"amount": rub(250)}, "amount.value"),
        ({"amount": rub("250")}, "amount.value"),
        ({"amount": rub("250.0")}, "amount.value"),
        ({"amount": rub("250.000")}, "amount.value"),
        ({"amount": rub("250,00")}, "amount.value"),
        ({"amount": rub("٢٥٠.00")}, "amount.value"),
        ({"amount": rub("250.00\n")}, "amount.value"),
        ({"amount": rub("NaN")}, "amount.value"),
        ({"amount": rub("0.00")}, "amount.value"),
        ({"amount": rub("-1.00")}, "amount.value"),
        ({"amount": rub("250.00", "USD")}, "amount.currency"),
        ({"amount": rub("250.00", None)}, "amount.currency"),
        ({"amount": rub("250.00") | {"tip": "1.00"}}, "amount.tip"),
        ({"description": "я" * 129}, "description"),
        ({"description": 7}, "description"),
        ({"description": "\ud800"}, "description"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"k" * 33: "v"}}, "metadata"),
        ({"metadata": {"": "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {"k": 7}}, "metadata.k"),
        ({"confirmation": None}, "confirmation"),
        ({"confirmation": {"return_url": RETURN_URL}}, "confirmation.type"),
        ({"confirmation": redirect(type="embedded")}, "confirmation.type"),
        ({"confirmation": {"type": "redirect"}}, "confirmation.return_url"),
        ({"confirmation": redirect(return_url="https://a.example/" + "x" * 2048)}, "confirmation.return_url"),
        ({"confirmation": redirect(return_url="javascript:alert(1)")}, "confirmation.return_url"),
        ({"confirmation": redirect(return_url="https://")}, "confirmation.return_url"),
        ({"confirmation": redirect(return_url="https://[broken")}, "confirmation.return_url"),
        ({"confirmation": redirect(locale="de_DE")}, "confirmation.locale"),
        ({"confirmation": redirect(color="amber")}, "confirmation.color"),
        ({"payment_method_data": {"type": "cash"}}, "payment_method_data.type"),
        ({"payment_method_data": {"type": ["sbp"]}}, "payment_method_data.type"),
        ({"payment_method_data": "sbp"}, "payment_method_data"),
        ({"payment_method_data": {"type": "bank_card", "card": {}}}, "payment_method_data.card"),
        ({"capture": "true"}, "capture"),
        ({"capture": 1}, "capture"),
        ({"transfers": [{"account_id": "1"}]}, "transfers"),
        ({"payment_token": "abc"}, "payment_token"),
        ({"discription": "typo"}, "discription"),
        ({"receipt": "yes"}, "receipt"),
        ({"receipt": receipt(customer={})}, "receipt.customer"),
        ({"receipt": receipt(items=[])}, "receipt.items"),
        ({"receipt": receipt(tax_system_code=7)}, "receipt.tax_system_code"),
        ({"receipt": receipt(vat_code=13)}, "receipt.items[0].vat_code"),
        ({"receipt": receipt(vat_code=True)}, "receipt.items[0].vat_code"),
        ({"receipt": receipt(description="x" * 129)}, "receipt.items[0].description"),
        ({"receipt": receipt(quantity="0")}, "receipt.items[0].quantity"),
        ({"receipt": receipt(quantity="1e999999999")}, "receipt.items[0].quantity"),
        ({"receipt": receipt(quantity="one")}, "receipt.items[0].quantity"),
        ({"receipt": receipt(payment_mode="later")}, "receipt.items[0].payment_mode"),
        ({"receipt": receipt(payment_subject="A service")}, "receipt.items[0].payment_subject"),
        ({"receipt": receipt(amount=rub("249.99"))}, "receipt.items"),
    ],
)
def test_what_breaks_a_limit_is_refused_by_name(till: Till, changes: dict[str, Any], parameter: str) -> None:
    answer = till.api("POST", "/payments", json=order(**changes))
    error = answer.json()
    assert (answer.status_code, error["code"], error["parameter"]) == (400, "invalid_request", parameter)
    assert (error["type"], error.keys()) == ("error", {"type", "id", "code", "description", "parameter"})
    assert till.sandbox.payments.records() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": rub("0.01")},
        {"description": "я" * 128},
        {"description": None, "metadata": None, "capture": None},
        {"metadata": {f"{number:032d}": "v" * 512 for number in range(16)}},
        {"confirmation": redirect(return_url="https://a.example/" + "x" * 2030)},
        {"confirmation": redirect(locale="en_US", enforce=False)},
        {"payment_method_data": {"type": "bank_card"}},
        {"transfers": [], "statements": [], "airline": {}, "deal": None},
        {"recipient": {"gateway_id": "42"}, "client_ip": "192.0.2.1", "merchant_customer_id": "user-7"},
        {"save_payment_method": False},
        {"receipt": receipt(tax_system_code=1)},
        {"receipt": receipt(quantity=2, amount=rub("125.00"))},
        {"receipt": receipt(items=receipt(amount=rub("125.00"))["items"] * 2)},
    ],
)
def test_what_keeps_the_limits_is_taken(till: Till, changes: dict[str, Any]) -> None:
    assert till.make(**changes)["status"] == "pending"


@pytest.mark.parametrize("changes", [{"save_payment_method": True}, {"payment_method_id": "abc"}])
def test_recurring_payments_need_a_permission_that_the_shop_lacks(till: Till, changes: dict[str, Any]) -> None:
    answer = till.api("POST", "/payments", json=order(**changes))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"amount": NaN}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(till: Till, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Idempotence-Key": "key-1"}
    answer = till.api("POST", "/payments", data=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_a_body_of_another_type_is_refused(till: Till) -> None:
    answer = till.api("POST", "/payments", data={"amount": "1"})
    assert (answer.status_code, answer.json()["parameter"]) == (400, "Content-Type")


def test_a_body_without_end_is_refused_in_the_same_form(till: Till) -> None:
    answer = till.api("POST", "/payments", json=order(description="x" * 2_000_000))
    assert (answer.status_code, answer.json()["type"]) == (413, "error")


@pytest.mark.parametrize(("key", "status"), [(None, 400), ("", 400), ("k" * 65, 400), ("k" * 64, 200)])
def test_a_post_needs_a_key_of_at_most_64_characters(till: Till, key: str | None, status: int) -> None:
    headers = {} if key is None else {"Idempotence-Key": key}
    answer = requests.post(f"{till.url}/v3/payments", json=order(), headers=headers, auth=SHOP, timeout=10)
    assert answer.status_code == status
    if status == 400:
        assert (answer.json()["code"], answer.json()["parameter"]) == ("invalid_request", "Idempotence-Key")
