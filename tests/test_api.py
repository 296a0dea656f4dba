"""The HTTP contract: every call, every error in its form, and nothing believed that could be forged."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from sqlalchemy import update
from werkzeug.test import TestResponse

from krotray_core import billing, cabinet, db, settings, subscriptions, users
from krotray_core.db import transaction
from krotray_core.models import Payment, Server, Subscription, User
from krotray_tasks import money
from sandbox.person import Person
from sandbox.world import World
from tests.conftest import at_checkout, at_once, converge_all

HEADER = "X-Telegram-Init-Data"


def get(client: FlaskClient, path: str, person: Person) -> dict[str, Any]:
    """A call of the Mini App that succeeds."""
    answer = client.get(path, headers={HEADER: person.init_data()})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def create(client: FlaskClient, person: Person, body: Any = None) -> TestResponse:
    """Asks for a payment."""
    body = {"tariff": "1m", "method": "card"} if body is None else body
    return client.post("/api/payments/create", json=body, headers={"Authorization": f"tma {person.init_data()}"})


def problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem, in the form of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    body = answer.get_json(force=True)
    assert body.keys() >= {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"]) == (status, code)
    return body


def user_of(person: Person) -> User:
    """Our row of this person."""
    return users.find(person.telegram_id)


def test_plans(client: FlaskClient) -> None:
    assert client.get("/api/plans").get_json() == {
        "plans": [
            {"code": "1m", "months": 1, "days": 30, "amount": "100.00", "currency": "RUB"},
            {"code": "3m", "months": 3, "days": 90, "amount": "250.00", "currency": "RUB"},
        ]
    }


def test_from_nothing_to_a_key_and_back(client: FlaskClient, fresh: World, fleet: list[Server], person: Person) -> None:
    assert fleet
    me = get(client, "/api/me", person)
    assert me["user"] == {"telegram_id": person.telegram_id, "username": None, "first_name": "Анна"}
    assert (me["state"], me["subscription"]) == ("no_subscription", None)
    nothing = {"vless_url": None, "subscription_url": None, "expires_at": None, "days_left": 0}
    assert get(client, "/api/key", person) == nothing

    created = create(client, person)
    assert created.status_code == 201
    bought = created.get_json()
    me = get(client, "/api/me", person)
    assert (me["state"], me["payment_id"]) == ("payment_pending", bought["payment_id"])
    path = f"/api/payments/{bought['payment_id']}"
    pending = get(client, path, person)
    assert (pending["status"], pending["amount"], pending["paid_at"]) == ("pending", "100.00", None)
    assert pending["confirmation_url"] == bought["confirmation_url"]

    at_checkout(fresh, billing.find(UUID(bought["payment_id"])))
    billing.settle(UUID(bought["payment_id"]))
    paid = get(client, path, person)
    assert paid["status"] == "succeeded"
    assert paid["confirmation_url"] is None
    me = get(client, "/api/me", person)
    assert me["state"] == "provisioning"
    assert me["subscription"]["vless_url"] is None
    converge_all()

    me = get(client, "/api/me", person)
    subscription = me["subscription"]
    assert me["state"] == "active"
    assert subscription["key"] in subscription["vless_url"]
    assert subscription["server"]["name"] in {node.name for node in fresh.nodes}
    expires_at = datetime.fromisoformat(subscription["expires_at"])
    assert expires_at.utcoffset() == timedelta(0)
    assert timedelta(days=29, hours=23) < expires_at - datetime.now(UTC) <= timedelta(days=30)
    assert (subscription["status"], subscription["days_left"], subscription["tariff_months"]) == ("active", 30, 1)
    key = get(client, "/api/key", person)
    assert key == {name: subscription[name] for name in ("vless_url", "subscription_url", "expires_at", "days_left")}

    with transaction() as session:  # run out, and no sweep has come by yet
        session.execute(update(Subscription).values(expires_at=datetime.now(UTC)))
    me = get(client, "/api/me", person)
    assert me["state"] == me["subscription"]["status"] == "expired"
    assert me["subscription"]["vless_url"] is None
    assert get(client, "/api/key", person) == nothing


@pytest.mark.parametrize("path", ["/api/me", "/api/key", f"/api/payments/{uuid4()}"])
def test_who_is_not_vouched_for_by_telegram_gets_401(client: FlaskClient, person: Person, path: str) -> None:
    problem(client.get(path), 401, "init_data_missing")
    problem(client.get(path, headers={"Authorization": "Bearer x"}), 401, "init_data_missing")
    genuine = person.init_data()
    forged = [
        "garbage",
        "=&=&%%%",
        genuine[:-1] + ("0" if genuine[-1] != "0" else "1"),
        genuine.replace(str(person.telegram_id), "1"),
        genuine + "&user=%7B%22id%22%3A1%7D",
        genuine.replace("hash=", "hash=%D1%8F"),
        "x" * 9000,
    ]
    for raw in forged:
        problem(client.get(path, headers={HEADER: raw}), 401, "init_data_invalid")
    yesterday = person.init_data(auth_date=int(time.time()) - 25 * 3600)
    problem(client.get(path, headers={HEADER: yesterday}), 401, "init_data_expired")
    problem(client.get(path, headers={HEADER: yesterday[:-1] + "z"}), 401, "init_data_invalid")


def test_what_cannot_be_bought(client: FlaskClient, person: Person) -> None:
    problem(create(client, person, {"tariff": "2m", "method": "card"}), 422, "unknown_tariff")
    problem(create(client, person, {"tariff": "1m", "method": "cash"}), 422, "unknown_method")
    for body in ({}, {"tariff": "1m"}, {"tariff": 1, "method": "card"}, {"tariff": None, "method": []}, [], "x", 1):
        problem(create(client, person, body), 422, "invalid")
    answer = client.post("/api/payments/create", data=b"{", headers={HEADER: person.init_data()})
    problem(answer, 400, "bad_request")
    answer = client.post("/api/payments/create", data=b"x" * 70_000, headers={HEADER: person.init_data()})
    assert answer.status_code == 413
    assert billing.latest() == []


def test_yookassa_away_is_502_and_the_payment_is_not_lost(
    client: FlaskClient, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = billing.yookassa._Client("http://127.0.0.1:1/v3", "1", "x")
    monkeypatch.setattr(billing.yookassa, "_client", lambda: away)
    body = problem(create(client, person), 502, "gateway_unavailable")
    assert "127.0.0.1" not in body["detail"]
    monkeypatch.undo()
    (payment,) = billing.latest()
    assert billing.settle(payment.id).payment.confirmation_url


def test_somebody_elses_payment_is_404(client: FlaskClient, fresh: World, person: Person) -> None:
    payment_id = create(client, person).get_json()["payment_id"]
    other = Person(fresh)
    for path in (f"/api/payments/{payment_id}", f"/api/payments/{uuid4()}", "/api/payments/nonsense"):
        problem(client.get(path, headers={HEADER: other.init_data()}), 404, "not_found")
    problem(client.post(f"/api/payments/{payment_id}/check", headers={HEADER: other.init_data()}), 404, "not_found")


def test_unknown_addresses_and_methods_are_problems_too(client: FlaskClient) -> None:
    problem(client.get("/api/nothing"), 404, "not_found")
    problem(client.post("/api/plans"), 405, "method_not_allowed")


def notification(external_id: str, event: str = "payment.succeeded", **more: Any) -> dict[str, Any]:
    """What YooKassa sends."""
    return {"type": "notification", "event": event, "object": {"id": external_id, "status": "succeeded", **more}}


def test_a_webhook_is_noted_and_a_worker_woken(
    client: FlaskClient, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[tuple[str, str]] = []
    monkeypatch.setattr(money.settle, "enqueue", lambda i: woken.append(("ours", i)) or True)
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
    assert woken == [("ours", str(payment.id)), ("theirs", "unknown-to-us"), ("ours", str(payment.id))]
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
    with transaction() as session:
        session.execute(update(Payment).values(status="canceled", cancel_reason="expired_on_confirmation"))
    at_checkout(fresh, payment)
    monkeypatch.setattr(money.settle, "enqueue", lambda _: False)
    assert client.post("/api/payments/webhook", json=notification(payment.external_id or "")).status_code == 200
    assert billing.claim_open() == [payment.id]
    assert billing.settle(payment.id).payment.status == "succeeded"


def test_a_webhook_that_cannot_be_noted_is_503(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(money.settle_external, "enqueue", lambda _: False)
    problem(client.post("/api/payments/webhook", json=notification("unknown-to-us")), 503, "not_noted")


def test_without_a_database_it_is_503_with_retry_after(
    client: FlaskClient, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine

    nowhere = create_engine("postgresql+psycopg2://x@127.0.0.1:1/x")
    monkeypatch.setattr(db, "engine", lambda: nowhere)
    answer = client.get("/api/me", headers={HEADER: person.init_data()})
    problem(answer, 503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    problem(client.post("/api/payments/webhook", json=notification("x")), 503, "not_noted")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["missing"]) == (503, ["database"])
    assert client.get("/healthz").status_code == 200


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


def test_answers_carry_security_headers_and_cors_only_for_the_mini_app(client: FlaskClient) -> None:
    answer = client.get("/api/plans", headers={"Origin": settings.get().allowed_origins[0]})
    assert answer.headers["Access-Control-Allow-Origin"] == settings.get().allowed_origins[0]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert (
        "Access-Control-Allow-Origin"
        not in client.get("/api/plans", headers={"Origin": "https://evil.example"}).headers
    )
    with client.get("/app/") as page:
        assert page.status_code == 200
    assert "frame-ancestors https://web.telegram.org 'self'" in page.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in page.headers
    asked = {"Origin": settings.get().allowed_origins[0], "Access-Control-Request-Method": "POST"}
    preflight = client.options("/api/payments/create", headers={**asked, "Access-Control-Request-Headers": HEADER})
    assert HEADER.lower() in preflight.headers["Access-Control-Allow-Headers"].lower()


def links(answer: TestResponse) -> list[str]:
    """The links in a subscription's body."""
    return base64.b64decode(answer.data).decode().splitlines()


def test_the_subscription_for_vpn_programs(client: FlaskClient, fleet: list[Server], person: Person) -> None:
    assert fleet
    get(client, "/api/me", person)
    subscriptions.grant(person.telegram_id, 30)
    seen = cabinet.of_user(user_of(person).id)
    path = (seen.subscription_url or "").removeprefix(settings.get().origin)
    soon = links(client.get(path))
    converge_all()
    answer = client.get(path)
    assert links(answer) == [cabinet.of_user(user_of(person).id).vless_url]
    assert soon == links(answer), (
        "a program that asks while the key is being made gets the key, for it asks again only in hours"
    )
    expire = int(seen.expires_at.timestamp()) if seen.expires_at else 0
    assert answer.headers["Subscription-Userinfo"] == f"upload=0; download=0; total=0; expire={expire}"
    assert base64.b64decode(answer.headers["Profile-Title"].removeprefix("base64:")).decode() == "KrotRay"
    subscriptions.revoke(person.telegram_id)
    assert "закончилась" in unquote(links(client.get(path))[0])
    problem(client.get("/sub/" + "x" * 32), 404, "not_found")
    for odd in ("x" * 3000, "%00abc", "%F0%9F%90%80", "a.b"):
        problem(client.get(f"/sub/{odd}"), 404, "not_found")


def test_the_description_is_valid_and_complete(app: Flask, client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").get_json()
    validate(document)
    served = {
        str(rule).replace("<", "{").replace(">", "}")
        for rule in app.url_map.iter_rules()
        if str(rule).startswith("/api/") and "openapi" not in str(rule)
    }
    assert set(document["paths"]) == served


def test_metrics_count_what_is_there(client: FlaskClient, fleet: list[Server], person: Person) -> None:
    create(client, person)
    subscriptions.grant(person.telegram_id, 30)
    text = client.get("/metrics").text
    assert 'krotray_payments{status="pending"} 1.0' in text
    assert 'krotray_subscriptions{status="active"} 1.0' in text
    assert "krotray_dirty_seats 1.0" in text
    assert f'krotray_server_up{{server="{fleet[0].name}"}} 1.0' in text
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": "8.8.8.8"}).status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "8.8.8.8"}).status_code == 403


@pytest.mark.usefixtures("fleet")
def test_twenty_first_calls_of_one_person_make_one_user(app: Flask, fresh: World, person: Person) -> None:
    assert fresh
    at_once(20, lambda _: get(app.test_client(), "/api/me", person))
    assert user_of(person)


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
