"""Descriptions of faults: which ones make sense, and what is said about the others."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.yookassa.api import OPERATIONS
from sandbox.yookassa.faults import EVENTS, FaultError, parse

CREATE = "POST /v3/payments"
OPERATION_NAMES = [operation.name for operation in OPERATIONS]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "operation has to be one of *, POST /v3/payments,"),
        ({"operation": "PUT /v3/payments", "kind": "403"}, "operation has to be"),
        ({"operation": ["*"], "kind": "403"}, "operation has to be"),
        ({"operation": "webhook payment.eaten", "kind": "lost"}, "webhook payment.succeeded"),
        ({"operation": "*"}, "kind has to be one of pass, drop, hang,"),
        ({"operation": "*", "kind": "lost"}, "kind has to be"),
        ({"operation": "*", "kind": 500}, "kind has to be"),
        ({"operation": "webhook *", "kind": "drop"}, "kind has to be one of pass, lost,"),
        ({"operation": "refund", "kind": "lost"}, "kind has to be one of pass, pending, canceled"),
        ({"operation": "*", "kind": "drop"}, "when has to be before or after for drop"),
        ({"operation": "*", "kind": "drop", "when": "never"}, "when has to be before or after for drop"),
        ({"operation": "*", "kind": "401", "when": "after"}, "when has to be before for 401"),
        ({"operation": "*", "kind": "drip", "when": "before"}, "when has to be after for drip"),
        ({"operation": "refund", "kind": "pending", "when": "after"}, "pending does not know: when"),
        ({"operation": "*", "kind": "401", "pause_ms": 1}, "401 does not know: pause_ms; it knows: operation, kind,"),
        ({"operation": "*", "kind": "401", "times": 0}, "times has to be a whole number from 1"),
        ({"operation": "*", "kind": "401", "times": True}, "times has to be"),
        ({"operation": "*", "kind": "401", "times": None}, "times has to be"),
        ({"operation": "*", "kind": "401", "times": "often"}, 'or "forever"'),
        ({"operation": "*", "kind": "401", "probability": 0}, "probability has to be"),
        ({"operation": "*", "kind": "401", "probability": 1.1}, "probability has to be"),
        ({"operation": "*", "kind": "401", "probability": "1"}, "probability has to be"),
        ({"operation": "*", "kind": "401", "seed": "x"}, "seed has to be a whole number"),
        ({"operation": "*", "kind": "429", "retry_after": -1}, "retry_after has to be a whole number from 0"),
        ({"operation": "*", "kind": "hang", "when": "after", "seconds": 0}, "seconds has to be a number above 0"),
        ({"operation": "*", "kind": "hang", "when": "after", "then": "cry"}, "then has to be one of close, go_on"),
        ({"operation": "*", "kind": "drip", "pause_ms": 0.5}, "pause_ms has to be a whole number"),
        ({"operation": "*", "kind": "truncated", "whole_length": 1}, "whole_length has to be a boolean"),
        ({"operation": "*", "kind": "wrong"}, "wrong needs either overrides or content"),
        ({"operation": "*", "kind": "wrong", "overrides": {}, "content": ""}, "wrong needs either"),
        ({"operation": "*", "kind": "wrong", "overrides": []}, "overrides has to be an object"),
        ({"operation": "*", "kind": "wrong", "content": "", "content_type": "a\nb"}, "content_type has to be"),
        ({"operation": "*", "kind": "wrong", "content": "", "status": 100}, "status has to be"),
        ({"operation": "webhook *", "kind": "delayed"}, "delayed needs seconds: a number"),
        (
            {"operation": "webhook *", "kind": "duplicated", "copies": 51},
            "copies has to be a whole number from 2 to 50",
        ),
        ({"operation": "webhook *", "kind": "reordered"}, "reordered needs times from 2 to 50"),
        ({"operation": "webhook *", "kind": "reordered", "times": "forever"}, "reordered needs times from 2 to 50"),
        ({"operation": "webhook *", "kind": "reordered", "times": 2, "order": "x"}, "order has to be one of reverse"),
        ({"operation": "webhook *", "kind": "forged"}, "forged needs object_overrides, event or body"),
        ({"operation": "webhook *", "kind": "forged", "body": 1, "event": "x"}, "forged takes a body, or"),
        ({"operation": "charge", "kind": "canceled", "reason": "No money"}, "reason has to be a word such as"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_in_words(body: dict[str, Any], says: str) -> None:
    with pytest.raises(FaultError) as refusal:
        parse(body, OPERATION_NAMES)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("*", "403"),
        *((name, "429") for name in OPERATION_NAMES),
        ("webhook *", "lost"),
        *((f"webhook {event}", "duplicated") for event in EVENTS),
        ("refund", "pending"),
        ("charge", "canceled"),
    ],
)
def test_a_fault_is_told_as_it_can_be_armed_again(operation: str, kind: str) -> None:
    fault = parse({"operation": operation, "kind": kind, "times": "forever", "probability": 0.5}, OPERATION_NAMES)
    assert parse(fault.told(), OPERATION_NAMES) == fault


def test_a_fault_concerns_its_own_place_only() -> None:
    targets = (CREATE, "(unknown)", "webhook payment.succeeded", "webhook refund.succeeded", "refund", "charge")
    for operation, kind, met in (
        (CREATE, "403", {CREATE}),
        ("*", "403", {CREATE, "(unknown)"}),
        ("webhook payment.succeeded", "lost", {"webhook payment.succeeded"}),
        ("webhook *", "lost", {"webhook payment.succeeded", "webhook refund.succeeded"}),
        ("refund", "pending", {"refund"}),
        ("charge", "pending", {"charge"}),
    ):
        fault = parse({"operation": operation, "kind": kind}, OPERATION_NAMES)
        assert {target for target in targets if fault.matches(target)} == met
