"""The webhook: who may call it, what it takes for a notification, and that it is never more than a hint."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from krotray_core import billing, cabinet, settings
from krotray_tasks import money
from sandbox.person import Person
from sandbox.world import World
from tests.conftest import at_checkout, at_once, believe_dead
from tests.http_kit import create, get, notification, problem, user_of


def test_a_webhook_is_noted_and_a_worker_woken(
    client: FlaskClient, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[tuple[str, str]] = []
    monkeypatch.setattr(money.settle, "enqueue", lambda i, by: woken.append((by, i)) or True)
    monkeypatch.setattr(money.settle_external, "enqueue", lambda i: woken.append(("theirs", i)) or True)
    payment = billing.find(UUID(create(client, person).get_json()["payment_id"]))
    assert client.post("/api/payments/webhook", json=notification(payment.external_id or "")).status_code == 200
    assert client.post("/api/payments/webhook", json=notification("unknown-to-us")).status_code == 200
    refund = {
        "type": "notification",
        "event": "refund.succeeded",
        "object": {"id": "r", "payment_id": payment.external_id},
    }
    assert client.post("/api/payments/webhook", json=refund).status_code == 200
    other = {"type": "notification", "event": "payout.succeeded", "object": {"id": "p"}}
    assert client.post("/api/payments/webhook", json=other).status_code == 200
    assert woken == [("webhook", str(payment.id)), ("theirs", "unknown-to-us"), ("webhook", str(payment.id))]
    assert billing.claim_open() == [payment.id], "and if the message is lost, the next sweep asks about it"


@pytest.mark.usefixtures("fleet")
def test_a_forged_webhook_changes_nothing(client: FlaskClient, person: Person) -> None:
    """The body says succeeded, YooKassa says pending."""
    payment = billing.find(UUID(create(client, person).get_json()["payment_id"]))
    forged = notification(
        payment.external_id or "",
        paid=True,
        amount={"value": "100.00", "currency": "RUB"},
        metadata=payment.request["metadata"],
    )
    assert client.post("/api/payments/webhook", json=forged).status_code == 200
    assert billing.settle(payment.id).payment.status == "pending"
    assert get(client, "/api/me", person)["subscription"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"{}",
        b'{"type":"notification"}',
        b'{"type":"notification","event":"payment.succeeded"}',
        b'{"type":"notification","event":"payment.succeeded","object":[]}',
        b'{"type":"notification","event":"payment.succeeded","object":{"id":7}}',
        b'{"type":"notification","event":"payment.succeeded","object":{"id":"' + b"x" * 65 + b'"}}',
        b'{"type":"notification","event":7,"object":{"id":"x"}}',
        b'{"type":"else","event":"payment.succeeded","object":{"id":"x"}}',
        b'{"type":"notification","event":"payment.succeeded","object":{"id":"a\\u0000b"}}',
        b"\xff\xfe",
        b"[" * 5000,
    ],
)
def test_what_is_no_notification_is_400(client: FlaskClient, body: bytes) -> None:
    problem(client.post("/api/payments/webhook", data=body), 400, "bad_request")


def test_a_huge_webhook_is_413(client: FlaskClient) -> None:
    assert client.post("/api/payments/webhook", data=b"x" * 70_000).status_code == 413


@pytest.mark.usefixtures("fleet")
def test_a_webhook_about_a_payment_that_we_gave_up_is_not_lost_with_its_message(
    client: FlaskClient, fresh: World, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = billing.find(UUID(create(client, person).get_json()["payment_id"]))
    believe_dead(payment)
    at_checkout(fresh, payment)
    monkeypatch.setattr(money.settle, "enqueue", lambda *_: False)
    assert client.post("/api/payments/webhook", json=notification(payment.external_id or "")).status_code == 200
    assert billing.claim_open() == [payment.id]
    assert billing.settle(payment.id).payment.status == "succeeded"


def test_a_webhook_that_cannot_be_noted_is_503(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(money.settle_external, "enqueue", lambda _: False)
    problem(client.post("/api/payments/webhook", json=notification("unknown-to-us")), 503, "not_noted")


def test_only_yookassas_addresses_may_call_the_webhook(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    real = settings.get().model_copy(
        update={"yookassa_networks": settings.Settings.model_fields["yookassa_networks"].default}
    )
    monkeypatch.setattr(settings, "get", lambda: real)
    client = app.test_client()

    def status(address: str, **headers: str) -> int:
        call = {"REMOTE_ADDR": address}
        return client.post("/api/payments/webhook", data=b"{}", environ_overrides=call, headers=headers).status_code

    for address in (
        "185.71.76.1",
        "185.71.77.31",
        "77.75.153.127",
        "77.75.156.11",
        "2a02:5180:0:1509::1",
        "::ffff:77.75.156.35",
    ):
        assert status(address) == 400, f"{address} is YooKassa's: the body is what is wrong"
    for address in ("127.0.0.1", "8.8.8.8", "77.75.156.12", "2a02:5181::1", "::ffff:8.8.8.8", "nonsense", ""):
        assert status(address) == 403
    assert status("8.8.8.8", **{"X-Forwarded-For": "185.71.76.1"}) == 403, "no proxy of ours said that"


def test_twenty_copies_of_one_webhook_at_the_same_moment(client: FlaskClient, fresh: World, person: Person) -> None:
    """Delivered by YooKassa itself in twenty threads to this application, then settled by as many workers: thirty days."""
    payment_id = UUID(create(client, person).get_json()["payment_id"])
    payment = billing.find(payment_id)
    at_checkout(fresh, payment)
    body = notification(payment.external_id or "")
    application = client.application
    answers = at_once(20, lambda _: application.test_client().post("/api/payments/webhook", json=body).status_code)
    assert answers == [200] * 20
    at_once(20, lambda _: billing.settle(payment_id))
    assert cabinet.of_user(user_of(person).id).days_left == 30
