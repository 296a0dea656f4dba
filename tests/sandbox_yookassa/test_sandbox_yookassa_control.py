"""The control API's remaining doors, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from sandbox_yookassa_kit import GONE, Receiver, Till

from sandbox.yookassa.clock import from_wire


def test_pay_follows_the_shop_or_the_caller(till: Till) -> None:
    fixed, free = till.make(payment_method_data={"type": "sbp"})["id"], till.make()["id"]
    assert till.control(f"/payments/{fixed}/pay")["payment_method"]["type"] == "sbp"
    assert till.control(f"/payments/{free}/pay", method="sbp")["payment_method"]["type"] == "sbp"


def test_a_payment_is_paid_once_and_only_as_the_shop_wants(till: Till) -> None:
    payment_id = till.make(payment_method_data={"type": "sbp"})["id"]
    assert "error" in till.control(f"/payments/{payment_id}/pay", expect=409, method="bank_card")
    till.control(f"/payments/{payment_id}/pay")
    for verb in ("pay", "decline", "cancel"):
        assert "error" in till.control(f"/payments/{payment_id}/{verb}", expect=409)


def test_a_declined_payment_stays_payable(till: Till) -> None:
    payment_id = till.make()["id"]
    assert till.control(f"/payments/{payment_id}/decline", reason="call_issuer")["status"] == "pending"
    assert 'data-reason="call_issuer"' in till.browser().open(f"/checkout/{payment_id}").page
    assert till.control(f"/payments/{payment_id}/pay")["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({}, {"party": "payment_network", "reason": "general_decline"}),
        ({"reason": "expired_on_confirmation"}, {"party": "yoo_money", "reason": "expired_on_confirmation"}),
        ({"reason": "brand_new_reason"}, {"party": "payment_network", "reason": "brand_new_reason"}),
        ({"reason": "x", "party": "merchant"}, {"party": "merchant", "reason": "x"}),
    ],
)
def test_a_payment_is_canceled_for_any_reason(till: Till, body: dict[str, str], details: dict[str, str]) -> None:
    payment_id = till.make()["id"]
    till.control(f"/payments/{payment_id}/cancel", **body)
    assert till.get(payment_id)["cancellation_details"] == details
    assert till.browser().open(f"/checkout/{payment_id}").status == 200


def test_a_tampered_payment_tells_another_story(till: Till) -> None:
    payment_id = till.make()["id"]
    till.control(f"/payments/{payment_id}/tamper", amount="1.00", currency="USD", metadata={}, account_id="666")
    told = till.get(payment_id)
    assert told["amount"] == {"value": "1.00", "currency": "USD"}
    assert (told["metadata"], told["recipient"]["account_id"]) == ({}, "666")
    paid = till.control(f"/payments/{payment_id}/pay")
    assert paid["amount"] == {"value": "1.00", "currency": "USD"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("pay", {"method": "cash"}),
        ("pay", {"methode": "sbp"}),
        ("decline", {"reason": "Not a word"}),
        ("cancel", {"reason": 7}),
        ("cancel", {"party": 7}),
        ("tamper", {"amount": 1}),
        ("tamper", {"amount": "much"}),
        ("tamper", {"metadata": "none"}),
        ("notify", {}),
        ("notify", {"event": "payment.succeeded", "copies": 0}),
        ("notify", {"event": "payment.succeeded", "copies": 51}),
        ("notify", {"event": "payment.succeeded", "object_overrides": []}),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(till: Till, path: str, body: dict[str, Any]) -> None:
    made = till.make()
    assert "error" in till.control(f"/payments/{made['id']}/{path}", expect=400, **body)
    assert till.get(made["id"]) == made


@pytest.mark.parametrize("body", [{"enabled": "no"}, {"url": "ftp://a.example"}, {"url": 7}])
def test_the_switch_refuses_nonsense(till: Till, body: dict[str, Any]) -> None:
    assert "error" in till.control("/webhooks", expect=400, **body)


def test_a_body_has_to_be_an_object(till: Till) -> None:
    answer = requests.post(f"{till.url}/sandbox/clock", json=[60], timeout=10)
    assert answer.status_code == 400
    assert requests.post(f"{till.url}/sandbox/reset", timeout=10).status_code == 200


@pytest.mark.parametrize("verb", ["pay", "decline", "cancel", "notify", "tamper"])
def test_an_unknown_payment_is_not_found(till: Till, verb: str) -> None:
    assert "error" in till.control(f"/payments/{GONE}/{verb}", expect=404)


def test_a_reset_leaves_nothing(till: Till, receiver: Receiver) -> None:
    receiver.answer(*[500] * 3)
    payment_id = till.make()["id"]
    till.control(f"/payments/{payment_id}/pay")
    till.control("/clock", advance_seconds=600)
    till.control("/webhooks", enabled=False, url="http://127.0.0.1:9/")
    assert till.control("/reset") == {"ok": True}
    assert till.api("GET", "/payments").json() == {"type": "list", "items": []}
    assert till.look("/deliveries") == {"items": [], "undelivered": 0}
    assert till.look("/requests") == {"GET /v3/payments": 1}
    assert till.control("/webhooks") == {"enabled": True, "url": receiver.url}
    assert from_wire(till.control("/clock")["now"]) - datetime.now(UTC) < timedelta(seconds=60)


def test_the_overview_lists_payments_and_deliveries(till: Till) -> None:
    assert "Пока ни одного" in till.browser().open("/sandbox/").page
    payment_id = till.make()["id"]
    till.control(f"/payments/{payment_id}/pay")
    till.look("/deliveries?wait=5")
    page = till.browser().open("/sandbox/")
    assert f"/checkout/{payment_id}" in page.links()
    for words in ("payment.succeeded", "250\N{NO-BREAK SPACE}₽", "succeeded"):
        assert words in page.page


def test_the_control_api_answers_on_this_machine_only(till: Till) -> None:
    client = till.app.test_client()
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 403), ("", 403)):
        assert client.get("/sandbox/requests", environ_base={"REMOTE_ADDR": address}).status_code == status
