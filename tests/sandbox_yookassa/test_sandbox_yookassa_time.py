"""What happens by itself when the sandbox's clock moves."""

from __future__ import annotations

import pytest
from sandbox_yookassa_kit import Receiver, Till

from sandbox.yookassa.payer import NotPayableError


def test_an_unpaid_payment_lives_one_hour(till: Till, receiver: Receiver) -> None:
    made = till.make()
    till.control("/clock", advance_seconds=3590)
    assert till.get(made["id"])["status"] == "pending"
    till.control("/clock", advance_seconds=10)
    expired = till.get(made["id"])
    assert (expired["status"], expired["paid"]) == ("canceled", False)
    assert expired["cancellation_details"] == {"party": "yoo_money", "reason": "expired_on_confirmation"}
    assert receiver.next() == {"type": "notification", "event": "payment.canceled", "object": expired}
    assert "error" in till.control(f"/payments/{made['id']}/pay", expect=409)


def test_the_hour_ends_without_anyone_asking(till: Till, receiver: Receiver) -> None:
    made = till.make()
    till.sandbox.advance(3600)
    body = receiver.next()
    assert (body["event"], body["object"]["id"]) == ("payment.canceled", made["id"])


def test_the_last_click_loses_even_before_anyone_has_noticed_the_hour(till: Till) -> None:
    sandbox, made = till.sandbox, till.make()
    with sandbox.store.transaction():  # keeps the background thread out
        sandbox.clock.advance(3600)
        with pytest.raises(NotPayableError, match="expired"):
            sandbox.payer.pay(made["id"])
    assert till.get(made["id"])["status"] == "canceled"


def test_a_hold_lives_seven_days(till: Till) -> None:
    made = till.make(capture=False)
    till.control("/clock", advance_seconds=3000)
    till.control(f"/payments/{made['id']}/pay")
    till.control("/clock", advance_seconds=7 * 24 * 3600 - 10)
    assert till.get(made["id"])["status"] == "waiting_for_capture"
    till.control("/clock", advance_seconds=10)
    assert till.get(made["id"])["cancellation_details"] == {"party": "yoo_money", "reason": "expired_on_capture"}


def test_what_is_paid_stays_paid(till: Till) -> None:
    made = till.make()
    paid = till.control(f"/payments/{made['id']}/pay")
    till.control("/clock", advance_seconds=30 * 24 * 3600)
    assert till.get(made["id"]) == paid


def test_new_payments_are_made_at_the_moved_time(till: Till) -> None:
    now = till.control("/clock", advance_seconds=3600.5)["now"]
    assert till.make()["created_at"] >= now


@pytest.mark.parametrize("seconds", [-1, "60", True, None, 1e12])
def test_the_clock_refuses_nonsense(till: Till, seconds: object) -> None:
    assert "error" in till.control("/clock", expect=400, advance_seconds=seconds)
