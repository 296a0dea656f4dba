"""What was noted or asked for survives days without messages: regressions that the state machine has found."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask

from krotray_core import (
    billing,
    checkout,
    leases,
    reconciliation,
)
from krotray_core.errors import GatewayUnavailable, KrotRayError
from krotray_core.models import User
from krotray_tasks import money
from tests.money_kit import (
    Bank,
    running,
)


def _workers_have_their_turn(bank: Bank) -> None:
    money.sweep_payments()
    while bank.messages:
        task, arguments = bank.messages.pop(0)
        with contextlib.suppress(KrotRayError):
            task(*arguments)


@pytest.mark.usefixtures("fleet")
def test_news_of_a_payment_whose_id_we_never_learnt_outlive_their_message(
    app: Flask, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made, but the answer was lost; paid; noted with 200 when its key is too old to be repeated; then Redis forgets."""
    with running(monkeypatch) as bank:
        with bank.answer_lost("POST /v3/payments", "drop"), pytest.raises(GatewayUnavailable):
            checkout.start(user.id, "1m", "card")
        bank.at_the_till(bank.payments()[0], "pays")
        bank.pass_time(timedelta(hours=23, minutes=30))
        assert app.test_client().post("/api/payments/webhook", json=bank.told[0]).status_code == 200
        bank.messages.clear()
        for _ in range(3):
            _workers_have_their_turn(bank)
            bank.pass_time(timedelta(days=1))
        payment = billing.latest()[0]
        assert payment.status == "succeeded", "the sweeps find all that was noted"
        assert payment.hinted_at is None, "and come to an end"


@pytest.mark.usefixtures("fleet")
def test_a_refund_in_the_cabinet_that_takes_a_bank_days_is_found_without_its_webhook(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "take", lambda *_: True)  # they go by the database's clock
    with running(monkeypatch) as bank:
        payment = checkout.start(user.id, "1m", "card")
        bank.at_the_till(bank.payments()[0], "pays")
        _workers_have_their_turn(bank)
        bank.pass_time(timedelta(minutes=1))
        _workers_have_their_turn(bank)
        assert billing.find(payment.id).status == "succeeded"
        bank.give_back(bank.payments()[0], Decimal(1), "pending")
        for day in range(1, 11):
            bank.pass_time(timedelta(days=1))
            if day == 5:
                bank.sandbox.refunds.succeed(bank.refunds()[0]["id"])
            _workers_have_their_turn(bank)
            reconciliation.daily()
        assert billing.find(payment.id).status == "refunded"
