"""The shop's own client against faults: it names each one, and the same request passes afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_yookassa_kit import SHOP, Till, order

from krotray_core import yookassa
from krotray_core.errors import GatewayDenied, GatewayError, GatewayUnavailable
from krotray_core.yookassa import client as transport


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"kind": "drop", "when": "before"}, GatewayUnavailable),
        ({"kind": "drop", "when": "after"}, GatewayUnavailable),
        ({"kind": "500", "when": "after"}, GatewayUnavailable),
        ({"kind": "502", "when": "after"}, GatewayUnavailable),
        ({"kind": "202", "when": "before"}, GatewayUnavailable),
        ({"kind": "429", "retry_after": 1}, GatewayUnavailable),
        ({"kind": "hang", "when": "after", "seconds": 0.5}, GatewayUnavailable),
        ({"kind": "drip", "pause_ms": 20}, GatewayUnavailable),
        ({"kind": "truncated"}, GatewayUnavailable),
        ({"kind": "truncated", "whole_length": True}, GatewayUnavailable),
        ({"kind": "wrong", "content": "[]"}, GatewayUnavailable),
        ({"kind": "wrong", "overrides": {"amount": None}}, GatewayUnavailable),
        ({"kind": "401"}, GatewayDenied),
        ({"kind": "403"}, GatewayDenied),
        ({"kind": "wrong", "content": "{}", "status": 400}, GatewayError),
    ],
)
def test_the_shops_own_client_names_each_fault_and_recovers(
    till: Till, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], outcome: type[Exception]
) -> None:
    till.arm("POST /v3/payments", **fault)
    with monkeypatch.context() as hurry:
        hurry.setattr(transport, "READ_SECONDS", 0.2)
        hurry.setattr(transport, "ANSWER_SECONDS", 0.3)
        hurried = yookassa._Client(f"{till.url}/v3", *SHOP)
        hurry.setattr(yookassa, "_client", lambda: hurried)
        with pytest.raises((GatewayError, GatewayUnavailable)) as caught:
            yookassa.create(order(), "key-1")
        hurried._session.close()
    assert caught.type is outcome
    client = yookassa._Client(f"{till.url}/v3", *SHOP)
    monkeypatch.setattr(yookassa, "_client", lambda: client)
    found = yookassa.create(order(), "key-1")
    assert (found.status, found.amount_kopecks) == ("pending", 25000)
    assert len(till.sandbox.payments.records()) == 1
    client._session.close()
