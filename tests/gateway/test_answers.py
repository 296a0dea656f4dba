"""What YooKassa may answer, and what it means to us: every answer is ours to name."""

from __future__ import annotations

import contextlib
import copy
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from krotray_core import yookassa
from krotray_core.errors import GatewayDenied, GatewayError, GatewayNotFound, GatewayUnavailable
from tests.gateway.kit import (
    BODY,
    ERROR,
    ID,
    KEY,
    LOGIN,
    PAYMENT,
    SHOP,
    Serve,
    answer,
    create,
    fails,
    fetch,
    fields,
    payment,
)


def test_what_is_sent_and_what_is_read(serve: Serve) -> None:
    server = serve(answer(200, payment()))
    before = copy.deepcopy(BODY)
    found = create()
    assert before == BODY, "the SDK writes into what it is given"
    assert found == yookassa.Found(
        external_id=ID,
        status="pending",
        paid=False,
        amount_kopecks=100_00,
        refunded_kopecks=0,
        currency="RUB",
        shop_id=SHOP,
        payment_id=KEY,
        confirmation_url="https://yoomoney.example/checkout",
        cancel_reason=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        captured_at=None,
    )
    assert fetch() == found
    posted, got = server.requests
    assert posted.startswith(b"POST /v3/payments HTTP/1.1\r\n")
    assert got.startswith(f"GET /v3/payments/{ID} HTTP/1.1\r\n".encode())
    head, _, body = posted.partition(b"\r\n\r\n")
    assert fields(head)["idempotence-key"] == KEY
    assert fields(head)["authorization"] == fields(got)["authorization"] == f"Basic {LOGIN}"
    assert fields(head)["content-type"].startswith("application/json")
    sent = json.loads(body)
    assert {name: sent[name] for name in BODY if name != "metadata"} == {n: BODY[n] for n in BODY if n != "metadata"}
    assert sent["metadata"]["payment_id"] == KEY
    assert server.connections == 1, "one connection serves both"


def test_the_ends_of_a_payment(serve: Serve) -> None:
    paid = payment(status="succeeded", paid=True, captured_at="2026-01-01T03:00:00.250+03:00", confirmation=None)
    serve(answer(200, paid | {"refunded_amount": {"value": "40.50", "currency": "RUB"}}))
    found = fetch()
    assert (found.status, found.paid, found.refunded_kopecks, found.confirmation_url) == ("succeeded", True, 4050, None)
    assert found.captured_at is not None
    assert found.captured_at.isoformat() == "2026-01-01T03:00:00.250000+03:00"
    serve(answer(200, payment(status="canceled", cancellation_details={"party": "x", "reason": "never_heard_of"})))
    assert (fetch().status, fetch().cancel_reason) == ("canceled", "never_heard_of")


def test_a_status_and_fields_that_are_new_to_us_do_no_harm(serve: Serve) -> None:
    serve(answer(200, payment(status="on_the_moon", metadata=None, news={"a": [1]}, payment_method={"type": "soul"})))
    found = fetch()
    assert (found.status, found.payment_id) == ("on_the_moon", None)


@pytest.mark.parametrize(
    "metadata", [{}, {"payment_id": None}, {"payment_id": 5}, {"payment_id": ["a"]}, {"other": "x"}]
)
def test_metadata_that_is_not_ours_names_no_payment(serve: Serve, metadata: object) -> None:
    serve(answer(200, payment(metadata=metadata)))
    assert fetch().payment_id is None


@pytest.mark.parametrize(
    "moment", [None, 1, "1767225600", "yesterday", "2026-01-01T00:00:00", [], "2026-13-01T00:00:00Z"]
)
def test_a_payment_without_a_readable_time_of_its_making_is_still_one(serve: Serve, moment: object) -> None:
    serve(answer(200, payment(created_at=moment)))
    assert fetch().created_at is None


STATUSES = {
    400: GatewayError,
    401: GatewayDenied,
    403: GatewayDenied,
    404: GatewayNotFound,
    405: GatewayError,
    410: GatewayError,
    415: GatewayError,
    201: GatewayUnavailable,
    202: GatewayUnavailable,
    204: GatewayUnavailable,
    300: GatewayUnavailable,
    304: GatewayUnavailable,
    408: GatewayUnavailable,
    425: GatewayUnavailable,
    429: GatewayUnavailable,
    500: GatewayUnavailable,
    502: GatewayUnavailable,
    503: GatewayUnavailable,
    504: GatewayUnavailable,
    599: GatewayUnavailable,
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    "body", [ERROR, b"<html>Bad Gateway</html>", b"", [], None, "x"], ids=lambda b: type(b).__name__
)
def test_each_status_has_its_meaning_whatever_stands_below_it(serve: Serve, status: int, body: object) -> None:
    server = serve(answer(status, b"" if status in (204, 304) else body))
    for work in (create, fetch):
        message = fails(work, STATUSES[status])
        assert str(status) in message
        assert "4111" not in message
    assert len(server.requests) == 2, "one request each"


@pytest.mark.parametrize(
    "error",
    [
        {"code": {"a": [1]}, "parameter": 5},
        {"code": "x" * 100_000},
        {"code": None},
        {"code": "\x00\ud800"},
        {"code": True},
    ],
)
def test_an_odd_error_is_still_an_error(serve: Serve, error: object) -> None:
    serve(answer(400, error))
    assert len(fails(create, GatewayError)) < 200


NOT_A_PAYMENT = {
    "nothing": b"",
    "html": b"<html>It works!</html>",
    "half": json.dumps(PAYMENT).encode()[:-20],
    "twice": json.dumps(PAYMENT).encode() * 2,
    "not utf-8": b'{"id": "\xff\xfe"}',
    "list": [PAYMENT],
    "null": None,
    "true": True,
    "number": 1,
    "text": "succeeded",
    "NaN": b"NaN",
    "number too long for Python": b'{"id": ' + b"1" * 5000 + b"}",
    "empty": {},
    "an error with 200": ERROR,
    "a list of payments": {"type": "list", "items": [PAYMENT]},
    "no id": payment(id=None),
    "id a number": payment(id=5),
    "no status": payment(status=None),
    "status a number": payment(status=1),
    "no amount": payment(amount=None),
    "amount a number": payment(amount=100),
    "amount a list": payment(amount=["100.00", "RUB"]),
    "value a float": payment(amount={"value": 100.0, "currency": "RUB"}),
    "value a whole number": payment(amount={"value": 100, "currency": "RUB"}),
    "value NaN": payment(amount={"value": float("nan"), "currency": "RUB"}),
    "value the word NaN": payment(amount={"value": "NaN", "currency": "RUB"}),
    "value infinite": payment(amount={"value": "Infinity", "currency": "RUB"}),
    "value negative": payment(amount={"value": "-100.00", "currency": "RUB"}),
    "value with an exponent": payment(amount={"value": "1e2", "currency": "RUB"}),
    "value with three decimals": payment(amount={"value": "100.001", "currency": "RUB"}),
    "value with other digits": payment(amount={"value": "١٠٠.٠٠", "currency": "RUB"}),
    "value null": payment(amount={"value": None, "currency": "RUB"}),
    "no value": payment(amount={"currency": "RUB"}),
    "no currency": payment(amount={"value": "100.00"}),
    "currency a number": payment(amount={"value": "100.00", "currency": 643}),
    "refunded a float": payment(refunded_amount={"value": 0.1, "currency": "RUB"}),
    "refunded negative": payment(refunded_amount={"value": "-1.00", "currency": "RUB"}),
    "paid a word": payment(paid="true"),
    "paid a number": payment(paid=1),
    "no recipient": payment(recipient=None),
    "recipient without account": payment(recipient={"gateway_id": "1"}),
    "account a number": payment(recipient={"account_id": 100500}),
    "confirmation a text": payment(confirmation="https://yoomoney.example"),
    "confirmation_url a list": payment(confirmation={"confirmation_url": []}),
    "metadata a list": payment(metadata=[]),
    "metadata a text": payment(metadata=KEY),
    "captured_at garbage": payment(captured_at="yesterday"),
    "captured_at without a zone": payment(captured_at="2026-01-01T00:00:00"),
    "captured_at a number": payment(captured_at=1),
    "captured_at a number in a text": payment(captured_at="1767225600"),
    "captured_at a list": payment(captured_at=[]),
    "reason a number": payment(status="canceled", cancellation_details={"reason": 5}),
}


@pytest.mark.parametrize("body", NOT_A_PAYMENT.values(), ids=NOT_A_PAYMENT)
def test_a_200_without_a_payment_in_it_means_nothing(serve: Serve, body: object) -> None:
    server = serve(answer(200, body))
    fails(create)
    fails(fetch)
    assert len(server.requests) == 2


@pytest.mark.parametrize("external_id", ["", "a/../../me", "x" * 65, "a b", "a\nb", "a\x00b", "ёж"])
def test_a_payment_that_could_never_be_asked_about_again_is_not_taken(serve: Serve, external_id: str) -> None:
    serve(answer(200, payment(id=external_id)))
    fails(create)


@pytest.mark.parametrize(
    "change",
    [
        {"confirmation": {"confirmation_url": "https://x.example/\x00"}},
        {"status": "canceled", "cancellation_details": {"reason": "a\x00b"}},
        {"confirmation": {"confirmation_url": "https://x.example/\ud800"}},
    ],
)
def test_text_that_the_database_cannot_keep_is_no_payment(serve: Serve, change: dict[str, Any]) -> None:
    serve(answer(200, payment(**change)))
    fails(fetch)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "not an address", "file:///etc/passwd", "//x.example"])
def test_a_buyer_is_sent_to_a_web_page_or_nowhere(serve: Serve, url: str) -> None:
    serve(answer(200, payment(confirmation={"type": "redirect", "confirmation_url": url})))
    fails(create)


def test_an_answer_about_another_payment_is_not_taken(serve: Serve) -> None:
    serve(answer(200, payment(id=str(uuid4()))))
    fails(fetch)
    serve(answer(200, payment(id=ID.upper())))
    fails(fetch)


@pytest.mark.parametrize("depth", [500, *range(900, 1000, 7), 2_000, 100_000, 400_000])
@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_nested_deeply_fells_nobody(serve: Serve, depth: int, status: int) -> None:
    nested = b"[" * depth + b"]" * depth
    head = json.dumps(PAYMENT)[:-1].encode()
    serve(answer(status, head + b', "news": ' + nested + b', "code": ' + nested + b', "parameter": ' + nested + b"}"))
    with contextlib.suppress(GatewayUnavailable, GatewayError):
        fetch()
