"""Lists of everything between two moments: complete and in order, or an error; never quietly less."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from krotray_core import yookassa
from krotray_core.errors import GatewayDenied, GatewayError, GatewayUnavailable, GatewayUnreadable
from krotray_core.yookassa import Found, FoundRefund
from sandbox.yookassa.incoming import RefundRequest, payment_request
from tests.gateway.kit import (
    BODY,
    ERROR,
    ID,
    KEEP,
    KEY,
    REFUND_ID,
    REFUND_KEY,
    Serve,
    Till,
    answer,
    create,
    discreet,
    fails,
    hurried,
    payment,
    refund,
    refund_body,
)
from tests.gateway.test_answers import STATUSES
from tests.gateway.test_refunds import HANGING, REFUSED, UNKNOWN

PAYMENTS, REFUNDS = "GET /v3/payments", "GET /v3/refunds"
SINCE, UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
LISTS: dict[str, Callable[[], Iterator[Found] | Iterator[FoundRefund]]] = {
    PAYMENTS: lambda: yookassa.payments_between(SINCE, UNTIL),
    REFUNDS: lambda: yookassa.refunds_between(SINCE, UNTIL),
}
lists = pytest.mark.parametrize("between", LISTS.values(), ids=LISTS)


def page(*items: object, **more: object) -> bytes:
    """A page of a list."""
    return answer(200, {"type": "list", "items": items} | more)


def test_what_is_sent_and_what_is_read(serve: Serve) -> None:
    pages = iter([page(payment(), next_cursor="a b&c"), page(payment(id=KEY))])
    server = serve(lambda connection: connection.sendall(next(pages)) or KEEP)
    moscow = timezone(timedelta(hours=3))
    since, until = datetime(2026, 1, 1, 3, tzinfo=moscow), datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=moscow)
    found = list(yookassa.payments_between(since, until))
    assert [one.external_id for one in found] == [ID, KEY]
    window = {"created_at.gte": ["2026-01-01T00:00:00.000Z"], "created_at.lt": ["2026-01-02T00:04:05.678Z"]}
    asked = [urlsplit(request.split(b" ")[1].decode()) for request in server.requests]
    assert [where.path for where in asked] == ["/v3/payments"] * 2
    assert parse_qs(asked[0].query) == window | {"limit": ["100"]}
    assert parse_qs(asked[1].query) == window | {"limit": ["100"], "cursor": ["a b&c"]}


@pytest.mark.parametrize("between", [yookassa.payments_between, yookassa.refunds_between])
def test_a_naive_moment_is_a_mistake(between: Callable[[datetime, datetime], object]) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    for since, until in ((naive, UNTIL), (SINCE, naive)):
        with pytest.raises(ValueError, match="naive"):
            between(since, until)


def test_since_is_inside_and_until_is_outside(till: Till) -> None:
    paid = []
    for _ in range(4):
        paid.append(till.paid())
        till.control("/clock", advance_seconds=60)
    moments = [one.created_at for one in paid]
    assert all(moments)
    found = list(yookassa.payments_between(moments[1], moments[3]))
    assert found == [paid[2], paid[1]]
    assert list(yookassa.payments_between(moments[0], moments[1])) == [paid[0]], "windows that touch share nothing"
    assert list(yookassa.payments_between(moments[1], moments[1])) == []
    assert list(yookassa.payments_between(SINCE, UNTIL)) == paid[::-1]
    assert list(yookassa.payments_between(UNTIL, SINCE)) == []


def test_refunds_are_listed_by_their_own_time(till: Till) -> None:
    first, second = till.paid(), till.paid()
    till.control("/clock", advance_seconds=3600)
    one = yookassa.create_refund(refund_body(first.external_id), "one")
    till.control("/clock", advance_seconds=60)
    two = yookassa.create_refund(refund_body(second.external_id), "two")
    assert one.created_at
    assert two.created_at
    assert list(yookassa.refunds_between(SINCE, UNTIL)) == [two, one]
    assert list(yookassa.refunds_between(one.created_at, two.created_at)) == [one]
    assert list(yookassa.refunds_between(SINCE, one.created_at)) == []


def fill(till: Till, count: int) -> None:
    """Many payments, made where they are kept."""
    with till.sandbox.store.transaction():
        for number in range(count):
            body = BODY | {"metadata": {"payment_id": str(number)}}
            till.sandbox.payments.create(payment_request(body, receipt_required=False, recurring_allowed=False))


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (100, 1), (101, 2), (250, 3)])
def test_all_pages_are_read_and_each_payment_comes_once(till: Till, count: int, pages: int) -> None:
    fill(till, count)
    found = [one.payment_id for one in yookassa.payments_between(SINCE, UNTIL)]
    assert found == [str(number) for number in reversed(range(count))]
    assert till.asked(PAYMENTS) == pages


def test_all_pages_of_refunds_are_read(till: Till) -> None:
    paid = till.paid()
    with till.sandbox.store.transaction():
        for number in range(105):
            made = RefundRequest(paid.external_id, Decimal("0.01"), None, {"refund_id": str(number)})
            till.sandbox.refunds.create(made)
    found = [one.refund_id for one in yookassa.refunds_between(SINCE, UNTIL)]
    assert found == [str(number) for number in reversed(range(105))]


def test_a_page_is_asked_for_when_it_is_wanted(till: Till) -> None:
    fill(till, 101)
    found = yookassa.payments_between(SINCE, UNTIL)
    assert till.asked(PAYMENTS) == 0
    next(found)
    assert till.asked(PAYMENTS) == 1


def test_a_payment_made_meanwhile_moves_nothing(till: Till) -> None:
    fill(till, 150)
    found = yookassa.payments_between(SINCE, UNTIL)
    numbers = [next(found).payment_id]
    create()
    numbers += [one.payment_id for one in found]
    assert numbers == [str(number) for number in reversed(range(150))]


@pytest.mark.parametrize("operation", LISTS)
@pytest.mark.parametrize("fault", [*UNKNOWN, *REFUSED, *HANGING], ids=lambda fault: "-".join(map(str, fault.values())))
def test_asking_again_after_a_failure_helps(till: Till, operation: str, fault: dict[str, Any]) -> None:
    paid = till.paid()
    made = yookassa.create_refund(refund_body(paid.external_id), REFUND_KEY)
    options = dict(fault)
    means = options.pop("means", GatewayUnavailable)
    till.arm(operation, **options)
    if fault in HANGING:
        with hurried(till):
            fails(lambda: list(LISTS[operation]()), means)
    else:
        fails(lambda: list(LISTS[operation]()), means)
    assert till.asked(operation) == 1
    assert [one.external_id for one in LISTS[operation]()] == [
        paid.external_id if operation == PAYMENTS else made.external_id
    ]


@pytest.mark.parametrize(("kind", "means"), [("500", GatewayUnavailable), ("403", GatewayDenied)])
def test_a_failure_on_a_later_page_is_no_end_of_the_list(till: Till, kind: str, means: type[Exception]) -> None:
    fill(till, 150)
    till.arm(PAYMENTS, "pass")
    till.arm(PAYMENTS, kind, when="before")
    found = yookassa.payments_between(SINCE, UNTIL)
    assert len([next(found) for _ in range(100)]) == 100
    fails(lambda: next(found), means)


def test_a_cursor_that_is_not_accepted_is_no_end_of_the_list(till: Till) -> None:
    fill(till, 1)
    till.arm(PAYMENTS, "wrong", overrides={"next_cursor": "nowhere"})
    fails(lambda: list(yookassa.payments_between(SINCE, UNTIL)), GatewayError)


def test_pages_that_go_in_a_circle_are_left(till: Till) -> None:
    fill(till, 3)
    newest = next(yookassa.payments_between(SINCE, UNTIL)).external_id
    till.arm(PAYMENTS, "wrong", overrides={"next_cursor": newest}, times="forever")
    assert "circle" in fails(lambda: list(yookassa.payments_between(SINCE, UNTIL)))
    assert till.asked(PAYMENTS) == 1 + 2


@lists
def test_pages_without_an_end_are_left(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, between: Callable[[], Iterator[object]]
) -> None:
    monkeypatch.setattr(yookassa, "MOST_PAGES", 5)
    server = serve(lambda connection: connection.sendall(page(next_cursor=str(len(server.requests)))) or KEEP)
    assert "no end" in fails(lambda: list(between()))
    assert len(server.requests) == 5


def test_one_that_cannot_be_read_hides_no_other_and_is_not_passed_over(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    paid = [till.paid() for _ in range(3)]
    till.control(f"/payments/{paid[1].external_id}/tamper", amount="-1.00")
    found = yookassa.payments_between(SINCE, UNTIL)
    assert [next(found), next(found)] == [paid[2], paid[0]]
    assert "1 that cannot be read" in fails(lambda: next(found), GatewayUnreadable)
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert paid[1].external_id in warning.getMessage()
    assert "amount.value" in warning.getMessage()


@pytest.mark.parametrize(
    "item",
    [
        *(None, 1, "x", [], {}, ERROR, {"id": 5}, {"id": "a\nb"}, {"id": "x" * 1000}),
        *(payment(status=None), payment(id="a/../../me"), refund(amount=None), {"type": "list", "items": [payment()]}),
    ],
)
def test_whatever_stands_among_the_items_is_reported_at_the_end(
    serve: Serve, caplog: pytest.LogCaptureFixture, item: object
) -> None:
    pages = iter([page(item, payment(), next_cursor="x"), page(payment(id=KEY), item)])
    serve(lambda connection: connection.sendall(next(pages)) or KEEP)
    found = yookassa.payments_between(SINCE, UNTIL)
    assert [next(found).external_id, next(found).external_id] == [ID, KEY]
    assert "2 that cannot be read" in fails(lambda: next(found), GatewayUnreadable)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    for warning in warnings:
        assert warning.isprintable()
        assert len(warning) < 250
        assert "4111" not in warning
        discreet(warning)


NOT_A_LIST = {
    "nothing": b"",
    "html": b"<html>It works!</html>",
    "list": [payment()],
    "null": None,
    "empty": {},
    "an error with 200": ERROR,
    "one payment": payment(),
    "items null": {"type": "list", "items": None},
    "items an object": {"type": "list", "items": {"0": payment()}},
    "items a text": {"type": "list", "items": "none"},
    "cursor a number": {"type": "list", "items": [], "next_cursor": 1},
    "cursor empty": {"type": "list", "items": [], "next_cursor": ""},
    "cursor false": {"type": "list", "items": [], "next_cursor": False},
    "cursor unprintable": {"type": "list", "items": [], "next_cursor": "a\r\nb"},
    "cursor too long": {"type": "list", "items": [], "next_cursor": "x" * 5000},
}


@lists
@pytest.mark.parametrize("body", NOT_A_LIST.values(), ids=NOT_A_LIST)
def test_a_200_without_a_list_in_it_is_no_empty_list(
    serve: Serve, body: object, between: Callable[[], Iterator[object]]
) -> None:
    server = serve(answer(200, body))
    fails(lambda: list(between()))
    assert len(server.requests) == 1


@lists
@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_its_meaning(serve: Serve, status: int, between: Callable[[], Iterator[object]]) -> None:
    serve(answer(status, b"" if status in (204, 304) else ERROR))
    assert str(status) in fails(lambda: list(between()), STATUSES[status])


@lists
def test_an_empty_list_is_an_answer(serve: Serve, between: Callable[[], Iterator[object]]) -> None:
    serve(page(next_cursor=None))
    assert list(between()) == []


def test_a_page_of_payments_whose_metadata_are_full_is_not_too_large(serve: Serve) -> None:
    full = {f"{number:032}": "ё" * 512 for number in range(16)}
    serve(page(*[payment(id=f"{number}", metadata=full) for number in range(100)]))
    assert len(list(yookassa.payments_between(SINCE, UNTIL))) == 100


def test_items_of_the_other_kind_are_not_taken(serve: Serve) -> None:
    serve(page(payment(), refund(id=REFUND_ID)))
    assert fails(lambda: list(yookassa.refunds_between(SINCE, UNTIL)), GatewayUnreadable)
