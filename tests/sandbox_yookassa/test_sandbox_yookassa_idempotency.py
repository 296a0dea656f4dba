"""One key, one effect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from sandbox_yookassa_kit import Till, order
from yookassa import Payment
from yookassa.domain.exceptions import BadRequestError


@pytest.mark.usefixtures("sdk")
def test_a_repeated_request_has_the_first_result(till: Till) -> None:
    made = Payment.create(order(), "key-1")
    till.control(f"/payments/{made.id}/pay")
    again = Payment.create(order(), "key-1")
    assert (again.id, again.status) == (made.id, "pending")
    assert len(till.sandbox.payments.records()) == 1


@pytest.mark.usefixtures("sdk")
def test_another_body_under_the_same_key_is_refused(till: Till) -> None:
    Payment.create(order(), "key-1")
    with pytest.raises(BadRequestError) as refusal:
        Payment.create(order(description="Другое"), "key-1")
    assert refusal.value.content["code"] == "invalid_request"
    assert refusal.value.content["parameter"] == "Idempotence-Key"
    assert len(till.sandbox.payments.records()) == 1


def test_another_operation_under_the_same_key_is_refused(till: Till) -> None:
    made = till.make(capture=False)
    till.control(f"/payments/{made['id']}/pay")
    assert till.api("POST", f"/payments/{made['id']}/capture", key="key-1").status_code == 200
    assert till.api("POST", f"/payments/{made['id']}/cancel", key="key-1").status_code == 400


def test_a_repeated_capture_is_no_second_one(till: Till) -> None:
    made = till.make(capture=False)
    till.control(f"/payments/{made['id']}/pay")
    first, second = (till.api("POST", f"/payments/{made['id']}/capture", key="key-1") for _ in range(2))
    assert (first.status_code, second.json()) == (200, first.json())
    assert till.api("POST", f"/payments/{made['id']}/capture").status_code == 400


def test_a_refused_request_needs_a_new_key_when_it_is_corrected(till: Till) -> None:
    wrong = till.api("POST", "/payments", key="key-1", json=order(capture="yes"))
    assert till.api("POST", "/payments", key="key-1", json=order(capture="yes")).json() == wrong.json()
    assert till.api("POST", "/payments", key="key-1", json=order()).json()["parameter"] == "Idempotence-Key"
    assert till.api("POST", "/payments", key="key-2", json=order()).status_code == 200


def test_a_wrong_secret_does_not_use_a_key_up(till: Till) -> None:
    assert till.api("POST", "/payments", key="key-1", json=order(), auth=("100500", "no")).status_code == 401
    assert till.api("POST", "/payments", key="key-1", json=order(capture=False)).status_code == 200


def test_many_at_the_same_moment_make_one_payment(till: Till) -> None:
    at_once = Barrier(16)

    def create(_: int) -> tuple[int, str]:
        at_once.wait()
        answer = till.api("POST", "/payments", key="key-1", json=order())
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(create, range(16)))
    assert len(answers) == 1
    assert {status for status, _ in answers} == {200}
    assert len(till.sandbox.payments.records()) == 1


def test_the_second_waits_while_the_first_is_at_work(till: Till) -> None:
    started, finished = Event(), Event()
    performed = []

    def slow() -> dict[str, str]:
        performed.append("slow")
        started.set()
        finished.wait(0.2)  # passes only when the other one did not wait for us
        return {"by": "slow"}

    def quick() -> dict[str, str]:
        performed.append("quick")
        return {"by": "quick"}

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(till.sandbox.idempotency.once, "key-1", {}, slow)
        assert started.wait(5)
        second = pool.submit(till.sandbox.idempotency.once, "key-1", {}, quick)
        second.add_done_callback(lambda _: finished.set())
        assert first.result() == second.result()
    assert performed == ["slow"]


def test_many_keys_at_the_same_moment_make_as_many_payments(till: Till) -> None:
    with ThreadPoolExecutor(16) as pool:
        ids = {made["id"] for made in pool.map(lambda _: till.make(), range(48))}
    assert len(ids) == len(till.sandbox.payments.records()) == 48


def test_a_key_is_forgotten_after_a_day(till: Till) -> None:
    first = till.api("POST", "/payments", key="key-1", json=order()).json()
    till.control("/clock", advance_seconds=24 * 3600 - 60)
    assert till.api("POST", "/payments", key="key-1", json=order()).json() == first
    till.control("/clock", advance_seconds=60)
    assert till.api("POST", "/payments", key="key-1", json=order()).json()["id"] != first["id"]
