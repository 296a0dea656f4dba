"""Notifications that are lost, doubled, late, out of order or false, and receivers that never answer."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sandbox_yookassa_kit import GONE, Receiver, Till, running


def ids(receiver: Receiver, number: int) -> list[str]:
    """The payments of the next notifications."""
    return [receiver.next()["object"]["id"] for _ in range(number)]


def nothing_more(till: Till, receiver: Receiver) -> bool:
    """All is delivered, and nothing of it unread."""
    return till.look("/deliveries?wait=5")["undelivered"] == 0 and receiver.arrived.empty()


def test_the_next_ones_are_lost(till: Till, receiver: Receiver) -> None:
    till.arm("webhook payment.succeeded", "lost", times=2)
    held = till.paid(capture=False)
    _, _, told = till.paid(), till.paid(), till.paid()
    assert ids(receiver, 2) == [held, told]
    assert nothing_more(till, receiver)
    assert till.fired() == [2]


def test_all_are_lost_until_the_fault_is_cleared(till: Till, receiver: Receiver) -> None:
    till.arm("webhook *", "lost", times="forever")
    for _ in range(3):
        till.paid()
    assert till.fired() == [3]
    till.control("/faults/clear")
    assert till.paid() == receiver.next()["object"]["id"]
    assert nothing_more(till, receiver)


def test_one_arrives_many_times_at_once(till: Till, receiver: Receiver) -> None:
    till.arm("webhook *", "duplicated", copies=20)
    receiver.hold = threading.Event()
    payment_id = till.paid()
    # Nobody has been answered yet, and all are here already.
    assert ids(receiver, 20) == [payment_id] * 20
    receiver.hold.set()
    assert nothing_more(till, receiver)
    assert len(till.look("/deliveries")["items"]) == 20


def test_one_arrives_late(till: Till, receiver: Receiver) -> None:
    till.arm("webhook *", "delayed", seconds=3600)
    late, prompt = till.paid(), till.paid()
    assert ids(receiver, 1) == [prompt]
    till.control("/clock", advance_seconds=3590)
    assert till.look("/deliveries")["undelivered"] == 1
    till.control("/clock", advance_seconds=10)
    assert ids(receiver, 1) == [late]
    assert nothing_more(till, receiver)


@pytest.mark.parametrize(("options", "places"), [({}, [3, 2, 1, 0]), ({"order": "shuffled", "seed": 7}, [3, 1, 0, 2])])
def test_the_next_ones_change_places(
    till: Till, receiver: Receiver, options: dict[str, Any], places: list[int]
) -> None:
    till.arm("webhook *", "reordered", times=4, **options)
    paid = [till.paid() for _ in range(3)]
    assert till.look("/deliveries") == {"items": [], "undelivered": 3}
    paid.append(till.paid())
    assert ids(receiver, 4) == [paid[place] for place in places]
    assert nothing_more(till, receiver)


def test_the_end_may_be_told_before_the_beginning(till: Till, receiver: Receiver) -> None:
    till.arm("webhook *", "reordered", times=2)
    payment_id = till.paid(capture=False)
    till.api("POST", f"/payments/{payment_id}/capture")
    assert [receiver.next()["event"] for _ in range(2)] == ["payment.succeeded", "payment.waiting_for_capture"]


def test_what_a_fault_holds_back_is_sent_when_it_is_cleared(till: Till, receiver: Receiver) -> None:
    fault_id = till.arm("webhook *", "reordered", times=5)
    paid = [till.paid(), till.paid()]
    assert till.control("/faults/clear", id=fault_id) == {"cleared": 1}
    assert ids(receiver, 2) == paid
    assert nothing_more(till, receiver)


def test_what_a_fault_holds_back_is_sent_after_a_restart(tmp_path: Any, receiver: Receiver) -> None:
    settings = {"webhook_url": receiver.url, "state_file": tmp_path / "state.sqlite"}
    with running(**settings) as till:
        till.arm("webhook *", "reordered", times=5)
        payment_id = till.paid()
    with running(**settings) as till:
        assert ids(receiver, 1) == [payment_id]
        assert nothing_more(till, receiver)


@pytest.mark.parametrize("way_out", ["reset", "off"])
def test_what_a_fault_holds_back_may_be_lost(till: Till, receiver: Receiver, way_out: str) -> None:
    till.arm("webhook *", "reordered", times=2)
    till.paid()
    if way_out == "reset":
        till.control("/reset")
    else:
        till.control("/webhooks", enabled=False)
        till.control("/webhooks", enabled=True)
        till.control("/faults/clear")
    assert till.paid() == receiver.next()["object"]["id"]
    assert nothing_more(till, receiver)


def test_a_forged_one_takes_the_place_of_the_true_one(till: Till, receiver: Receiver) -> None:
    till.arm("webhook *", "forged", object_overrides={"id": GONE, "amount": {"value": "0.01"}})
    till.arm("webhook *", "forged", event="payment.canceled")
    till.paid()
    false = receiver.next()
    assert (false["event"], false["object"]["id"]) == ("payment.succeeded", GONE)
    assert false["object"]["amount"] == {"value": "0.01", "currency": "RUB"}
    payment_id = till.paid()
    turned = receiver.next()
    assert (turned["event"], turned["object"]["id"]) == ("payment.canceled", payment_id)
    assert nothing_more(till, receiver)


@pytest.mark.parametrize("body", [[], "paid", 7, {}, {"event": "payment.succeeded", "object": 7}])
def test_a_forged_one_may_be_any_json(till: Till, receiver: Receiver, body: Any) -> None:
    receiver.answer(400)
    till.arm("webhook *", "forged", body=body)
    till.paid()
    assert receiver.next() == receiver.next() == body
    assert nothing_more(till, receiver)
    assert till.browser().open("/sandbox/").status == 200


def test_a_storm_of_notifications(till: Till, receiver: Receiver) -> None:
    till.arm("webhook *", "lost", times="forever", probability=0.3, seed=1)
    till.arm("webhook *", "duplicated", times="forever", probability=0.3, seed=2)
    paid = [till.paid() for _ in range(20)]
    assert till.look("/deliveries?wait=5")["undelivered"] == 0
    lost, doubled = till.fired()
    assert min(lost, doubled) > 0
    arrived = [receiver.arrived.get_nowait()["object"]["id"] for _ in range(20 - lost + doubled)]
    assert len(set(arrived)) == 20 - lost
    assert set(arrived) <= set(paid)
    assert receiver.arrived.empty()


def test_a_receiver_that_hangs_holds_up_no_other_notification(till: Till, receiver: Receiver) -> None:
    receiver.hold = threading.Event()
    paid = [till.paid() for _ in range(10)]
    assert sorted(ids(receiver, 10)) == sorted(paid)
    assert till.look("/deliveries") == {"items": [], "undelivered": 10}
    receiver.hold.set()
    assert nothing_more(till, receiver)


def test_not_even_for_long_one_about_the_same_payment(receiver: Receiver) -> None:
    receiver.hold = threading.Event()
    with running(webhook_url=receiver.url) as till:
        payment_id = till.paid(capture=False)
        till.api("POST", f"/payments/{payment_id}/capture")
        assert [receiver.next()["event"] for _ in range(2)] == ["payment.waiting_for_capture", "payment.succeeded"]
        assert till.look("/deliveries")["items"] == []
        receiver.hold.set()
        assert nothing_more(till, receiver)


def test_only_so_many_are_on_their_way_at_once(receiver: Receiver) -> None:
    receiver.hold = threading.Event()
    with running(webhook_url=receiver.url) as till:
        till.arm("webhook *", "duplicated", copies=50, times=2)
        till.paid()
        till.paid()
        ids(receiver, 64)
        assert receiver.arrived.empty()
        receiver.hold.set()
        ids(receiver, 36)
        assert nothing_more(till, receiver)
