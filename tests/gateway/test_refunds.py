"""Money that goes back: asked for once, whatever happens on the way, and read without trust."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from krotray_core import yookassa
from krotray_core.errors import GatewayDenied, GatewayError, GatewayNotFound, GatewayUnavailable, GatewayUnreadable
from sandbox.yookassa.incoming import RefundRequest
from tests.gateway.kit import (
    BODY,
    ERROR,
    ID,
    LOGIN,
    REFUND,
    REFUND_ID,
    REFUND_KEY,
    Serve,
    Till,
    answer,
    create_refund,
    fails,
    fetch_refund,
    fields,
    hurried,
    refund,
    refund_body,
)
from tests.gateway.test_answers import STATUSES
from tests.gateway.test_weather import BROKEN, ELSEWHERE

CREATE, FIND, LIST = "POST /v3/refunds", "GET /v3/refunds/{id}", "GET /v3/refunds"


def refunds_of() -> list[yookassa.FoundRefund]:
    """All refunds of a payment are asked for."""
    return yookassa.refunds_of(ID)


VERBS = (create_refund, fetch_refund, refunds_of)

RECEIPT = {
    "customer": {"email": "buyer@example.org"},
    "items": [
        {
            "description": "KrotRay, 30 дней",
            "quantity": "1.00",
            "amount": {"value": "40.50", "currency": "RUB"},
            "vat_code": 1,
            "payment_subject": "service",
            "payment_mode": "full_payment",
        }
    ],
    "tax_system_code": 2,
}


def test_what_is_sent_and_what_is_read(serve: Serve) -> None:
    server = serve(answer(200, refund()))
    body = refund_body() | {"receipt": copy.deepcopy(RECEIPT)}
    before = copy.deepcopy(body)
    found = yookassa.create_refund(body, REFUND_KEY)
    assert body == before
    assert found == yookassa.FoundRefund(
        external_id=REFUND_ID,
        payment_external_id=ID,
        status="succeeded",
        amount_kopecks=40_50,
        currency="RUB",
        refund_id=REFUND_KEY,
        cancel_reason=None,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    assert fetch_refund() == found
    posted, got = server.requests
    assert posted.startswith(b"POST /v3/refunds HTTP/1.1\r\n")
    assert got.startswith(f"GET /v3/refunds/{REFUND_ID} HTTP/1.1\r\n".encode())
    head, _, data = posted.partition(b"\r\n\r\n")
    assert fields(head)["idempotence-key"] == REFUND_KEY
    assert fields(head)["authorization"] == fields(got)["authorization"] == f"Basic {LOGIN}"
    sent = json.loads(data)
    assert sent.pop("sources") == [], "the SDK's own"
    assert {name: sent[name] for name in body if name != "receipt"} == refund_body(), "the metadata too"
    assert sent.keys() == body.keys()
    [item], [wanted] = sent["receipt"].pop("items"), RECEIPT["items"]
    assert Decimal(item["quantity"]) == 1, "the SDK writes its own 1.0"
    assert {name: item[name] for name in wanted if name != "quantity"} == {
        name: wanted[name] for name in wanted if name != "quantity"
    }
    assert {name: sent["receipt"][name] for name in RECEIPT if name != "items"} == {
        name: RECEIPT[name] for name in RECEIPT if name != "items"
    }


def test_a_part_of_a_payment_goes_back(till: Till) -> None:
    paid = till.paid()
    made = yookassa.create_refund(refund_body(paid.external_id, 40_50), REFUND_KEY)
    assert (made.status, made.amount_kopecks, made.currency) == ("succeeded", 40_50, "RUB")
    assert (made.payment_external_id, made.refund_id, made.cancel_reason) == (paid.external_id, REFUND_KEY, None)
    assert made.created_at is not None
    assert paid.created_at is not None
    assert made.created_at >= paid.created_at
    assert yookassa.fetch_refund(made.external_id) == made
    assert yookassa.refunds_of(paid.external_id) == [made]
    assert yookassa.fetch(paid.external_id).refunded_kopecks == 40_50
    assert till.sandbox.refunds.find(made.external_id)["metadata"] == {"refund_id": REFUND_KEY}


def test_a_refund_with_a_receipt_is_taken(till: Till) -> None:
    paid = till.paid()
    body = refund_body(paid.external_id) | {"receipt": RECEIPT}
    assert yookassa.create_refund(body, REFUND_KEY).status == "succeeded"


def test_the_same_key_twice_makes_one_refund(till: Till) -> None:
    paid = till.paid()
    body = refund_body(paid.external_id)
    assert yookassa.create_refund(body, REFUND_KEY) == yookassa.create_refund(body, REFUND_KEY)
    assert len(yookassa.refunds_of(paid.external_id)) == 1
    fails(lambda: yookassa.create_refund(refund_body(paid.external_id, 1), REFUND_KEY), GatewayError)
    assert yookassa.fetch(paid.external_id).refunded_kopecks == 40_50


def test_parts_go_back_until_nothing_is_left_and_never_more(till: Till) -> None:
    paid = till.paid(100_00)
    parts = [yookassa.create_refund(refund_body(paid.external_id, part), str(part)) for part in (40_50, 59_49)]
    fails(lambda: yookassa.create_refund(refund_body(paid.external_id, 2), "more than is left"), GatewayError)
    parts.append(yookassa.create_refund(refund_body(paid.external_id, 1), "the rest"))
    fails(lambda: yookassa.create_refund(refund_body(paid.external_id, 1), "nothing is left"), GatewayError)
    assert yookassa.refunds_of(paid.external_id) == parts[::-1]
    assert sum(part.amount_kopecks for part in parts) == yookassa.fetch(paid.external_id).refunded_kopecks == 100_00


def test_what_yookassa_refuses(till: Till) -> None:
    unpaid = yookassa.create(BODY, str(uuid.uuid4()))
    for payment_id in (unpaid.external_id, str(uuid.uuid4())):
        fails(lambda payment_id=payment_id: yookassa.create_refund(refund_body(payment_id), payment_id), GatewayError)
    fails(lambda: yookassa.fetch_refund(str(uuid.uuid4())), GatewayNotFound)
    fails(lambda: yookassa.fetch_refund(unpaid.external_id), GatewayNotFound)
    assert yookassa.refunds_of(unpaid.external_id) == yookassa.refunds_of(str(uuid.uuid4())) == []
    assert till.sandbox.refunds.all() == []


def test_a_pending_refund_ends_later(till: Till) -> None:
    paid = till.paid()
    till.arm("refund", "pending", times=2)
    made = yookassa.create_refund(refund_body(paid.external_id), "one")
    lost = yookassa.create_refund(refund_body(paid.external_id), "two")
    assert made.status == lost.status == yookassa.fetch_refund(made.external_id).status == "pending"
    assert yookassa.fetch(paid.external_id).refunded_kopecks == 0
    till.control(f"/refunds/{made.external_id}/succeed")
    till.control(f"/refunds/{lost.external_id}/cancel", reason="rejected_by_payee")
    done, gone = yookassa.fetch_refund(made.external_id), yookassa.fetch_refund(lost.external_id)
    assert (done.status, done.cancel_reason) == ("succeeded", None)
    assert (gone.status, gone.cancel_reason) == ("canceled", "rejected_by_payee")
    assert yookassa.refunds_of(paid.external_id) == [gone, done]
    assert yookassa.create_refund(refund_body(paid.external_id), "one") == made, "the key still tells the first answer"


def test_a_refund_may_be_canceled_at_once(till: Till) -> None:
    paid = till.paid()
    till.arm("refund", "canceled", reason="insufficient_funds")
    made = yookassa.create_refund(refund_body(paid.external_id), REFUND_KEY)
    assert (made.status, made.cancel_reason) == ("canceled", "insufficient_funds")
    assert yookassa.fetch(paid.external_id).refunded_kopecks == 0


UNKNOWN: list[dict[str, Any]] = [
    {"kind": "drop", "when": "before"},
    {"kind": "drop", "when": "after"},
    {"kind": "500", "when": "before"},
    {"kind": "500", "when": "after"},
    {"kind": "502", "when": "before"},
    {"kind": "502", "when": "after"},
    {"kind": "202", "when": "before"},
    {"kind": "202", "when": "after"},
    {"kind": "429", "retry_after": 1},
    {"kind": "truncated"},
    {"kind": "truncated", "whole_length": True},
    {"kind": "wrong", "content": "[]"},
    {"kind": "wrong", "content": "{}"},
]
HANGING: list[dict[str, Any]] = [
    {"kind": "hang", "when": "before"},
    {"kind": "hang", "when": "after"},
    {"kind": "drip", "pause_ms": 20},
]
REFUSED: list[dict[str, Any]] = [
    {"kind": "401", "means": GatewayDenied},
    {"kind": "403", "means": GatewayDenied},
]


@pytest.mark.parametrize("fault", [*UNKNOWN, *REFUSED, *HANGING], ids=lambda fault: "-".join(map(str, fault.values())))
def test_whatever_happens_the_same_request_ends_in_one_refund(till: Till, fault: dict[str, Any]) -> None:
    paid = till.paid()
    body = refund_body(paid.external_id)
    options = dict(fault)
    means = options.pop("means", GatewayUnavailable)
    till.arm(CREATE, **options)
    if fault in HANGING:
        with hurried(till):
            fails(lambda: yookassa.create_refund(body, REFUND_KEY), means)
    else:
        fails(lambda: yookassa.create_refund(body, REFUND_KEY), means)
    made = 1 if fault.get("when", "after") == "after" and fault["kind"] not in ("401", "403", "429") else 0
    assert len(till.sandbox.refunds.all()) == made
    found = yookassa.create_refund(body, REFUND_KEY)
    assert found.status == "succeeded"
    assert yookassa.refunds_of(paid.external_id) == [found]
    assert yookassa.fetch(paid.external_id).refunded_kopecks == 40_50
    assert till.asked(CREATE) == 2, "nothing is sent again silently"


@pytest.mark.parametrize("operation", [FIND, LIST])
@pytest.mark.parametrize("fault", [*UNKNOWN, *REFUSED, *HANGING], ids=lambda fault: "-".join(map(str, fault.values())))
def test_asking_again_after_a_failure_helps(till: Till, operation: str, fault: dict[str, Any]) -> None:
    paid = till.paid()
    made = yookassa.create_refund(refund_body(paid.external_id), REFUND_KEY)

    def ask() -> object:
        if operation == FIND:
            return yookassa.fetch_refund(made.external_id)
        return yookassa.refunds_of(paid.external_id)[0]

    options = dict(fault)
    means = options.pop("means", GatewayUnavailable)
    till.arm(operation, **options)
    if fault in HANGING:
        with hurried(till):
            fails(ask, means)
    else:
        fails(ask, means)
    assert ask() == made
    assert till.asked(operation) == 2


def test_all_refunds_of_a_payment_are_told_however_many(till: Till) -> None:
    paid, other = till.paid(), till.paid()
    with till.sandbox.store.transaction():
        for payment in (paid, other):
            for number in range(120):
                made = RefundRequest(payment.external_id, Decimal("0.01"), None, {"refund_id": str(number)})
                till.sandbox.refunds.create(made)
    found = yookassa.refunds_of(paid.external_id)
    assert [refund.refund_id for refund in found] == [str(number) for number in reversed(range(120))]
    assert {refund.payment_external_id for refund in found} == {paid.external_id}
    assert till.asked(LIST) == 2


def test_a_refund_of_another_payment_is_not_taken(till: Till) -> None:
    paid, other = till.paid(), till.paid()
    theirs = yookassa.create_refund(refund_body(other.external_id), "theirs")
    till.arm(LIST, "wrong", overrides={"items": [till.sandbox.refunds.find(theirs.external_id)]})
    fails(lambda: yookassa.refunds_of(paid.external_id))
    till.arm(FIND, "wrong", overrides={"id": REFUND_ID})
    fails(lambda: yookassa.fetch_refund(theirs.external_id))
    till.arm(CREATE, "wrong", overrides={"payment_id": other.external_id})
    fails(lambda: yookassa.create_refund(refund_body(paid.external_id), "ours"))


def test_a_sum_is_not_made_from_a_list_with_a_hole(serve: Serve) -> None:
    serve(answer(200, {"type": "list", "items": [refund(), refund(amount=None)]}))
    assert "cannot be read" in fails(refunds_of, GatewayUnreadable)


NOT_A_REFUND = {
    "nothing": b"",
    "html": b"<html>It works!</html>",
    "half": json.dumps(REFUND).encode()[:-20],
    "list": [REFUND],
    "null": None,
    "an error with 200": ERROR,
    "a list of refunds": {"type": "list", "items": [REFUND]},
    "no id": refund(id=None),
    "id a number": refund(id=5),
    "id that leads elsewhere": refund(id="a/../../me"),
    "no payment": refund(payment_id=None),
    "payment a number": refund(payment_id=7),
    "payment that leads elsewhere": refund(payment_id="a/../../me"),
    "no status": refund(status=None),
    "status a number": refund(status=1),
    "status unprintable": refund(status="a\x00b"),
    "no amount": refund(amount=None),
    "value a float": refund(amount={"value": 40.5, "currency": "RUB"}),
    "value NaN": refund(amount={"value": float("nan"), "currency": "RUB"}),
    "value negative": refund(amount={"value": "-40.50", "currency": "RUB"}),
    "no currency": refund(amount={"value": "40.50"}),
    "metadata a list": refund(metadata=[]),
    "reason a number": refund(status="canceled", cancellation_details={"reason": 5}),
}


@pytest.mark.parametrize("body", NOT_A_REFUND.values(), ids=NOT_A_REFUND)
def test_a_200_without_a_refund_in_it_means_nothing(serve: Serve, body: object) -> None:
    server = serve(answer(200, body))
    fails(create_refund)
    fails(fetch_refund)
    assert len(server.requests) == 2


@pytest.mark.parametrize("metadata", [None, {}, {"refund_id": 5}, {"refund_id": ["a"]}, {"payment_id": "x"}])
def test_metadata_that_is_not_ours_names_no_refund(serve: Serve, metadata: object) -> None:
    serve(answer(200, refund(metadata=metadata)))
    assert fetch_refund().refund_id is None


def test_news_in_a_refund_do_no_harm(serve: Serve) -> None:
    news = {"news": [1], "cancellation_details": {"party": "x", "reason": "never_heard_of"}}
    serve(answer(200, refund(status="on_the_moon", created_at="soon") | news))
    found = fetch_refund()
    assert (found.status, found.cancel_reason, found.created_at) == ("on_the_moon", "never_heard_of", None)


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_its_meaning(serve: Serve, status: int) -> None:
    server = serve(answer(status, b"" if status in (204, 304) else ERROR))
    for work in VERBS:
        assert str(status) in fails(work, STATUSES[status])
    assert len(server.requests) == len(VERBS)


@pytest.mark.parametrize("work", VERBS)
@pytest.mark.parametrize("does", BROKEN.values(), ids=BROKEN)
def test_a_broken_connection_is_unknown(
    serve: Serve, does: Callable[[Any], object], work: Callable[[], object]
) -> None:
    server = serve(does)
    fails(work)
    assert len(server.requests) == 1


@pytest.mark.parametrize("external_id", ELSEWHERE)
def test_an_id_that_could_lead_elsewhere_is_refused_without_a_request(serve: Serve, external_id: str) -> None:
    server = serve(answer(200, refund()))
    fails(lambda: yookassa.fetch_refund(external_id), GatewayNotFound)
    fails(lambda: yookassa.refunds_of(external_id), GatewayNotFound)
    assert server.connections == 0


@pytest.mark.parametrize(
    "change",
    [
        {"payment_id": None},
        {"payment_id": "short"},
        {"amount": None},
        {"amount": "40.50"},
        {"amount": {"value": "0.00", "currency": "RUB"}},
        {"amount": {"value": "NaN", "currency": "RUB"}},
        {"amount": {"value": "much", "currency": "RUB"}},
        {"amount": {"currency": "RUB"}},
        {"description": "x" * 256},
        {"receipt": {"items": [7]}},
    ],
)
def test_a_body_that_the_sdk_does_not_take_is_refused_without_a_request(serve: Serve, change: dict[str, Any]) -> None:
    server = serve(answer(200, refund()))
    body = {name: value for name, value in (refund_body() | change).items() if value is not None}
    fails(lambda: yookassa.create_refund(body, REFUND_KEY), GatewayError)
    assert server.connections == 0
