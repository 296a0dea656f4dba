"""Receipts (54-FZ): a shop that must give them does, with every payment and every refund; one that need not asks nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from krotray_core import billing, checkout, money, receipts, refunds, settings, users
from krotray_core.errors import EmailInvalid, EmailRequired, GatewayError
from krotray_core.models import User
from sandbox.world import World
from tests.conftest import at_checkout, buy
from tests.test_billing import payments_at

CODES = {"receipt_vat_code": 4, "receipt_tax_system_code": 2}


@pytest.fixture
def with_receipts(fresh: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A shop with fiscalization, here and at YooKassa."""
    on = settings.get().model_copy(update=CODES)
    monkeypatch.setattr(settings, "get", lambda: on)
    modes(fresh, receipt_required=True)
    yield fresh
    modes(fresh, receipt_required=False)


def modes(world: World, **switches: bool) -> None:
    """What kind of shop YooKassa takes us for."""
    requests.post(f"{world.yookassa_url}/sandbox/modes", json=switches, timeout=5).raise_for_status()


def test_without_receipts_nobody_is_asked(user: User) -> None:
    assert not receipts.required()
    payment = buy(user)
    assert "receipt" not in payment.request


@pytest.mark.usefixtures("fleet")
def test_payment_and_refunds_carry_receipts_that_add_up(with_receipts: World, user: User) -> None:
    payment = checkout.start(user.id, "3m", "card", "Anna.K@Example.COM")
    receipt = payment.request["receipt"]
    assert receipt["customer"] == {"email": "Anna.K@example.com"}
    assert receipt["tax_system_code"] == 2
    (item,) = receipt["items"]
    assert item["amount"] == payment.request["amount"] == {"value": "250.00", "currency": "RUB"}
    assert (item["vat_code"], item["payment_subject"], item["payment_mode"]) == (4, "service", "full_payment")
    at_checkout(with_receipts, payment)
    billing.settle(payment.id)
    refunds.start(payment.id, 83_33)
    refunds.start(payment.id)
    assert billing.find(payment.id).status == "refunded"
    for refund, amount in zip(refunds.of_payment(payment.id), ("83.33", "166.67"), strict=True):
        assert refund.request
        assert refund.request["receipt"]["items"][0]["amount"]["value"] == amount
        assert refund.request["receipt"]["customer"] == receipt["customer"]


def test_without_an_address_yookassa_is_not_even_asked(with_receipts: World, user: User) -> None:
    with pytest.raises(EmailRequired):
        buy(user)
    for text in (
        "",
        "anna",
        "anna@",
        "@example.com",
        "a@b",
        "a b@example.com",
        "a@example.com\nBcc: x@y.zz",
        "x" * 400,
    ):
        with pytest.raises(EmailInvalid):
            checkout.start(user.id, "1m", "card", text)
    assert payments_at(with_receipts) == []
    assert billing.latest() == []


@pytest.mark.usefixtures("with_receipts")
def test_the_address_is_kept_for_the_next_time_and_can_be_changed(user: User) -> None:
    first = checkout.start(user.id, "1m", "card", "one@example.com")
    assert checkout.start(user.id, "1m", "card").id == first.id
    changed = checkout.start(user.id, "1m", "card", "two@example.com")
    assert changed.id != first.id, "a receipt cannot be redirected once the payment is made"
    assert users.find(user.telegram_id).receipt_email == "two@example.com"
    assert buy(user, "3m").request["receipt"]["customer"] == {"email": "two@example.com"}


def test_a_shop_that_should_send_them_and_does_not_hears_so(fresh: World, user: User) -> None:
    modes(fresh, receipt_required=True)
    try:
        with pytest.raises(GatewayError):
            buy(user)
        assert billing.latest()[0].status == "canceled"
    finally:
        modes(fresh, receipt_required=False)


@pytest.mark.usefixtures("fleet")
def test_switched_off_later_old_payments_are_still_refunded_with_theirs(
    with_receipts: World, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = checkout.start(user.id, "1m", "card", "one@example.com")
    at_checkout(with_receipts, payment)
    billing.settle(payment.id)
    off = settings.get().model_copy(update={"receipt_vat_code": None})
    monkeypatch.setattr(settings, "get", lambda: off)
    assert refunds.start(payment.id).refund.status == "succeeded"


@given(amount=st.integers(1, 10**9), part=st.integers(1, 10**9))
def test_the_receipt_of_a_part_is_over_that_part(amount: int, part: int) -> None:
    receipt = {
        "customer": {"email": "a@example.com"},
        "items": [{"amount": {"value": money.to_text(amount), "currency": "RUB"}}],
    }
    some = receipts.for_part(receipt, part)
    assert money.from_text(some["items"][0]["amount"]["value"]) == part
    assert money.from_text(receipt["items"][0]["amount"]["value"]) == amount, "the one that was sent stays as it was"
    assert some["customer"] == receipt["customer"]
