"""Notifications: what is sent, how often, and who can be lied to."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import pytest
from sandbox_yookassa_kit import Receiver, Till, running
from yookassa.domain.notification import WebhookNotificationFactory

from sandbox.yookassa.clock import from_wire


def log(till: Till, **query: Any) -> list[tuple[str, int | None]]:
    """The delivery log once everything is delivered, or once it is as long as the query says."""
    asked = "&".join(f"{name}={value}" for name, value in ({"wait": 5} | query).items())
    return [(entry["event"], entry["http_status"]) for entry in till.look(f"/deliveries?{asked}")["items"]]


def test_a_success_is_told_in_the_documented_form(till: Till, receiver: Receiver) -> None:
    made = till.make()
    paid = till.control(f"/payments/{made['id']}/pay")
    body = receiver.next()
    assert body == {"type": "notification", "event": "payment.succeeded", "object": paid}
    assert WebhookNotificationFactory().create(body).object.id == made["id"]
    assert log(till) == [("payment.succeeded", 200)]
    entry = till.look("/deliveries")["items"][0]
    assert entry["payment_id"] == entry["object_id"] == made["id"]
    assert (entry["attempt"], entry["error"], entry["forced"]) == (1, None, False)


def test_each_step_of_a_held_payment_is_told(till: Till, receiver: Receiver) -> None:
    made = till.make(capture=False)
    till.control(f"/payments/{made['id']}/pay")
    till.api("POST", f"/payments/{made['id']}/capture")
    events = [(body["event"], body["object"]["status"]) for body in (receiver.next(), receiver.next())]
    assert events == [
        ("payment.waiting_for_capture", "waiting_for_capture"),
        ("payment.succeeded", "succeeded"),
    ]


def test_nothing_is_told_of_a_payment_that_is_only_made_or_declined(till: Till) -> None:
    made = till.make()
    till.control(f"/payments/{made['id']}/decline", reason="insufficient_funds")
    assert till.look("/deliveries?wait=5") == {"items": [], "undelivered": 0}


@pytest.mark.parametrize("refusal", [500, 302, 404, 201])
def test_only_200_ends_the_repetition(till: Till, receiver: Receiver, refusal: int) -> None:
    receiver.answer(refusal, refusal, 200)
    made = till.make()
    till.control(f"/payments/{made['id']}/pay")
    assert [receiver.next()["object"]["id"] for _ in range(3)] == [made["id"]] * 3
    assert [status for _, status in log(till)] == [refusal, refusal, 200]
    assert [entry["attempt"] for entry in till.look("/deliveries")["items"]] == [1, 2, 3]


def test_the_pauses_grow_and_a_day_ends_them(receiver: Receiver) -> None:
    receiver.answer(*[503] * 50)
    pauses = (100, 200, 300, 300)
    with running(webhook_url=receiver.url, first_retry_pause=100, longest_retry_pause=300) as till:
        made = till.make()
        till.control(f"/payments/{made['id']}/pay")
        for number, pause in enumerate(pauses, start=1):
            assert len(log(till, at_least=number)) == number
            # In two steps: an attempt that came too early would show in the times below.
            till.control("/clock", advance_seconds=pause - 10)
            till.control("/clock", advance_seconds=10)
        assert len(log(till, at_least=5)) == 5
        times = [from_wire(entry["time"]) for entry in till.look("/deliveries")["items"]]
        waited = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
        assert all(pause <= seconds < pause + 10 for pause, seconds in zip(pauses, waited, strict=True))
        till.control("/clock", advance_seconds=24 * 3600)
        assert len(log(till)) == 5
        assert till.look("/deliveries")["undelivered"] == 0


def test_a_receiver_that_is_silent_or_away_is_tried_again(receiver: Receiver) -> None:
    receiver.hold = threading.Event()
    with running(webhook_url=receiver.url, first_retry_pause=0.02, webhook_timeout=0.1) as till:
        made = till.make()
        till.control(f"/payments/{made['id']}/pay")
        receiver.next()
        receiver.next()
        receiver.hold.set()
        assert log(till)[-1] == ("payment.succeeded", 200)
        assert till.look("/deliveries")["items"][0]["error"] == "no answer within 0.1 s"

        till.control("/webhooks", url="http://127.0.0.1:9/closed")
        other = till.make()
        till.control(f"/payments/{other['id']}/pay")
        till.look(f"/deliveries?wait=5&at_least={len(till.look('/deliveries')['items']) + 1}")
        till.control("/webhooks", url=receiver.url)
        assert till.look("/deliveries?wait=5")["undelivered"] == 0
        errors = {entry["error"] for entry in till.look("/deliveries")["items"] if entry["payment_id"] == other["id"]}
        assert errors >= {"ConnectionError", None}


def test_disabled_notifications_are_lost_for_good(receiver: Receiver) -> None:
    receiver.answer(500)
    with running(webhook_url=receiver.url, first_retry_pause=100) as till:
        refused, silent, told = till.make()["id"], till.make()["id"], till.make()["id"]
        till.control(f"/payments/{refused}/pay")
        assert log(till, at_least=1) == [("payment.succeeded", 500)]
        assert receiver.next()["object"]["id"] == refused
        assert till.control("/webhooks", enabled=False) == {"enabled": False, "url": receiver.url}
        assert till.look("/deliveries")["undelivered"] == 0
        till.control(f"/payments/{silent}/pay")
        till.control("/webhooks", enabled=True)
        till.control("/clock", advance_seconds=200)
        till.control(f"/payments/{told}/pay")
        assert receiver.next()["object"]["id"] == told
        assert len(log(till)) == 2
        assert till.get(silent)["status"] == "succeeded"


def test_a_notification_on_its_way_does_not_outlive_a_reset(till: Till, receiver: Receiver) -> None:
    receiver.hold = threading.Event()
    till.control(f"/payments/{till.make()['id']}/pay")
    receiver.next()
    till.control("/reset")
    receiver.hold.set()
    made = till.make()
    till.control(f"/payments/{made['id']}/pay")
    receiver.next()
    assert log(till) == [("payment.succeeded", 200)]


def test_without_an_address_nothing_is_sent() -> None:
    with running() as till:
        made = till.make()
        till.control(f"/payments/{made['id']}/pay")
        assert till.look("/deliveries") == {"items": [], "undelivered": 0}
        assert "error" in till.control(f"/payments/{made['id']}/notify", expect=400)


def test_copies_arrive_at_the_same_moment(till: Till, receiver: Receiver) -> None:
    made = till.make()
    till.control("/webhooks", enabled=False)
    paid = till.control(f"/payments/{made['id']}/pay")
    receiver.hold = threading.Event()
    answers: list[dict[str, Any]] = []

    def ask() -> None:
        answers.append(till.control(f"/payments/{made['id']}/notify", copies=5))

    asking = threading.Thread(target=ask)
    asking.start()
    # Nobody has been answered yet, and all five are here already.
    assert [receiver.next()["object"] for _ in range(5)] == [paid] * 5
    receiver.hold.set()
    asking.join()
    assert answers == [{"statuses": [200] * 5, "errors": [None] * 5}]
    assert {entry["forced"] for entry in till.look("/deliveries")["items"]} == {True}


def test_a_forged_notification_disagrees_with_the_api(till: Till, receiver: Receiver) -> None:
    made = till.make()
    receiver.answer(403)
    answer = till.control(
        f"/payments/{made['id']}/notify",
        event="payment.succeeded",
        object_overrides={"status": "succeeded", "amount": {"value": "1.00"}},
    )
    assert answer["statuses"] == [403]
    body = receiver.next()
    assert (body["event"], body["object"]["status"]) == ("payment.succeeded", "succeeded")
    assert body["object"]["amount"] == {"value": "1.00", "currency": "RUB"}
    assert till.get(made["id"]) == made


def test_a_refund_can_be_told_again(till: Till, receiver: Receiver) -> None:
    made = till.make()
    till.control(f"/payments/{made['id']}/pay")
    assert "error" in till.control(f"/payments/{made['id']}/notify", expect=400, event="refund.succeeded")
    refund = {"payment_id": made["id"], "amount": {"value": "1.00", "currency": "RUB"}}
    refunded = till.api("POST", "/refunds", json=refund).json()
    assert [receiver.next()["event"] for _ in range(2)] == ["payment.succeeded", "refund.succeeded"]
    till.control(f"/payments/{made['id']}/notify", event="refund.succeeded")
    assert receiver.next()["object"] == refunded
