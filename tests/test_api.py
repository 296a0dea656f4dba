"""The HTTP contract: every call, and every error in its form."""

from __future__ import annotations

import base64
import re
import time
from datetime import datetime, timedelta
from urllib.parse import unquote
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from sqlalchemy import select
from werkzeug.test import TestResponse

from krotray_core import billing, cabinet, clock, db, invites, settings, subscriptions
from krotray_core.models import Entry, Server
from sandbox.person import Person
from sandbox.world import World
from tests.conftest import at_checkout, at_once, converge_all
from tests.http_kit import HEADER, create, get, notification, problem, user_of

# For eyes, not for programs: nothing of theirs is described.
PAGES = ("/app", "/pages/", "/open", "/api/openapi.json", "/api/docs")


def test_plans(client: FlaskClient) -> None:
    assert client.get("/api/plans").get_json() == {
        "plans": [
            {"code": "1m", "months": 1, "days": 30, "amount": "100.00", "currency": "RUB"},
            {"code": "3m", "months": 3, "days": 90, "amount": "250.00", "currency": "RUB"},
        ],
        "receipt": {"email_required": False, "consent": None},
    }


def test_from_nothing_to_a_key_and_back(client: FlaskClient, fresh: World, fleet: list[Server], person: Person) -> None:
    assert fleet
    me = get(client, "/api/me", person)
    known = {"telegram_id": person.telegram_id, "username": None, "first_name": "Анна", "receipt_email": None}
    assert me["user"] == known
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
    assert timedelta(days=29, hours=23) < expires_at - clock.now() <= timedelta(days=30)
    assert (subscription["status"], subscription["days_left"], subscription["tariff_months"]) == ("active", 30, 1)
    key = get(client, "/api/key", person)
    assert key == {name: subscription[name] for name in ("vless_url", "subscription_url", "expires_at", "days_left")}

    subscriptions.set_expiry(
        person.telegram_id, clock.now() - timedelta(seconds=1)
    )  # run out, and no sweep has come by yet
    me = get(client, "/api/me", person)
    assert me["state"] == me["subscription"]["status"] == "expired"
    assert me["subscription"]["vless_url"] is None
    assert get(client, "/api/key", person) == nothing


def test_another_key(client: FlaskClient, fleet: list[Server], person: Person) -> None:
    assert fleet
    problem(client.post("/api/key/rotate"), 401, "init_data_missing")
    login = {HEADER: person.init_data()}
    problem(client.post("/api/key/rotate", headers=login), 404, "not_found")
    subscriptions.grant(person.telegram_id, 30)
    converge_all()
    before = get(client, "/api/key", person)
    rotated = client.post("/api/key/rotate", headers=login)
    assert rotated.status_code == 200
    after = rotated.get_json()
    assert after["vless_url"] is None, "no server knows it yet"
    assert after["subscription_url"] != before["subscription_url"]
    assert after["expires_at"] == before["expires_at"]
    problem(client.get(before["subscription_url"].removeprefix(settings.get().origin)), 404, "not_found")
    converge_all()
    key = get(client, "/api/key", person)
    assert key["subscription_url"] == after["subscription_url"]
    assert key["vless_url"].partition("@")[0] != before["vless_url"].partition("@")[0]
    (line,) = [line for line in story(person) if line.event == "key_rotated"]
    assert line.actor == "user"
    for _ in range(3):
        assert client.post("/api/key/rotate", headers=login).status_code == 200
    refused = client.post("/api/key/rotate", headers=login)
    problem(refused, 429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 3601
    assert get(client, "/api/key", person)["subscription_url"] != before["subscription_url"]


def story(person: Person) -> list[Entry]:
    """The ledger's lines about somebody's subscription."""
    mine = select(Entry).where(Entry.user_id == user_of(person).id)
    with db.transaction() as session:
        return list(session.scalars(mine))


def test_what_was_paid_is_listed_to_its_payer_only(client: FlaskClient, fresh: World, person: Person) -> None:
    problem(client.get("/api/payments"), 401, "init_data_missing")
    assert get(client, "/api/payments", person) == {"payments": []}
    bought = [
        create(client, person, {"tariff": tariff, "method": method}).get_json()["payment_id"]
        for tariff, method in (("1m", "card"), ("3m", "card"), ("3m", "sbp"))
    ]
    at_checkout(fresh, billing.find(UUID(bought[0])))
    billing.settle(UUID(bought[0]))
    assert create(client, Person(fresh)).status_code == 201
    listed = get(client, "/api/payments", person)["payments"]
    assert [row["payment_id"] for row in listed] == bought[::-1]
    assert [row["status"] for row in listed] == ["pending", "pending", "succeeded"]
    assert [row["months"] for row in listed] == [3, 3, 1]
    assert listed == [get(client, f"/api/payments/{payment_id}", person) for payment_id in bought[::-1]]


def test_an_invitation_of_ones_own(client: FlaskClient, fresh: World, person: Person) -> None:
    problem(client.get("/api/invite"), 401, "init_data_missing")
    assert get(client, "/api/invite", person) == {"url": None, "came": 0}
    invites.remember_bot(1, "krotray_bot")
    mine = get(client, "/api/invite", person)
    assert mine["url"].startswith("https://t.me/krotray_bot?start=ref_")
    friend = Person(fresh)
    get(client, "/api/me", friend)
    assert invites.accept(user_of(friend).id, mine["url"].partition("=")[2])
    assert get(client, "/api/invite", person) == {"url": mine["url"], "came": 1}
    assert get(client, "/api/invite", friend)["url"] != mine["url"]


@pytest.mark.parametrize("path", ["/api/me", "/api/key", "/api/payments/5f0c3a52-4f0a-4f7e-9d3b-6a1f6f6f0001"])
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
    for path in (
        f"/api/payments/{payment_id}",
        "/api/payments/5f0c3a52-4f0a-4f7e-9d3b-6a1f6f6f0001",
        "/api/payments/nonsense",
    ):
        problem(client.get(path, headers={HEADER: other.init_data()}), 404, "not_found")
    problem(client.post(f"/api/payments/{payment_id}/check", headers={HEADER: other.init_data()}), 404, "not_found")


def test_unknown_addresses_and_methods_are_problems_too(client: FlaskClient) -> None:
    problem(client.get("/api/nothing"), 404, "not_found")
    problem(client.post("/api/plans"), 405, "method_not_allowed")


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
        re.sub(r"<(?:[^:>]*:)?([a-z_]+)>", r"{\1}", str(rule))
        for rule in app.url_map.iter_rules()
        if not str(rule).startswith(PAGES)
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
