"""The edge: how often one may ask and how much one may send; and that no limit ever costs money or waits for Redis."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine
from werkzeug.test import TestResponse

from krotray_api import limits
from krotray_core import billing, db, settings
from krotray_core.settings import Settings
from sandbox.person import Person
from sandbox.process import wait_until
from sandbox.world import World
from tests.http_kit import HEADER, create, problem

WEBHOOK = "/api/payments/webhook"
YOOKASSA = "185.71.76.1"
PROXY = "10.0.0.1"

Set = Callable[..., None]


@pytest.fixture
def set_(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Set:
    """Sets settings for this test; nothing has been counted yet."""
    limits.limiter.reset()
    limits.valve.storage.reset()

    def changed(**update: object) -> None:
        copy = settings.get().model_copy(update=update)
        monkeypatch.setattr(settings, "get", lambda: copy)

    assert client
    changed(yookassa_networks=Settings.model_fields["yookassa_networks"].default)
    return changed


def refused(answer: TestResponse) -> None:
    """429 in its form: a problem that says when to come back."""
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    assert answer.headers["Retry-After"] in problem(answer, 429, "too_many_requests")["detail"]


def hook(client: FlaskClient, peer: str, *forwarded: str) -> TestResponse:
    """An empty webhook: 400 from YooKassa's addresses, 403 from others, 429 when it is too much."""
    headers = {"X-Forwarded-For": ", ".join(forwarded)} if forwarded else {}
    return client.post(WEBHOOK, data=b"{}", environ_overrides={"REMOTE_ADDR": peer}, headers=headers)


def statuses(client: FlaskClient, *callers: str | tuple[str, ...]) -> list[int]:
    """What each caller gets, in order: a peer, or a peer and what it says in X-Forwarded-For."""
    return [hook(client, *([c] if isinstance(c, str) else c)).status_code for c in callers]


# --- people ---


def test_each_person_may_ask_for_so_many_payments(client: FlaskClient, fresh: World, person: Person, set_: Set) -> None:
    set_(create_rate_limit="3 per minute")
    assert [create(client, person).status_code for _ in range(3)] == [201] * 3
    bought = len(billing.latest())
    refused(create(client, person))
    other_header = {HEADER: person.init_data()}
    refused(client.post("/api/payments/create", json={"tariff": "1m", "method": "card"}, headers=other_header))
    assert len(billing.latest()) == bought
    assert client.get("/api/me", headers=other_header).status_code == 200, "all else goes on"
    assert create(client, Person(fresh)).status_code == 201, "and everybody else"


def test_the_limit_runs_out(client: FlaskClient, person: Person, set_: Set) -> None:
    set_(create_rate_limit="1/second")
    assert create(client, person).status_code == 201
    wait_until(lambda: create(client, person).status_code == 201, seconds=5, what="the second to be over")


def test_several_limits_at_once(client: FlaskClient, person: Person, set_: Set) -> None:
    set_(create_rate_limit="100/second;2 per 10 minutes")
    assert [create(client, person).status_code for _ in range(3)] == [201, 201, 429]


def test_a_refused_call_does_not_touch_the_database(
    client: FlaskClient, person: Person, set_: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_(create_rate_limit="1/minute")
    nowhere = create_engine("postgresql+psycopg2://x@127.0.0.1:1/x")
    monkeypatch.setattr(db, "engine", lambda: nowhere)
    problem(create(client, person), 503, "database_unavailable")
    refused(create(client, person))


def test_without_good_init_data_it_is_the_address_that_is_counted(
    client: FlaskClient, person: Person, set_: Set
) -> None:
    set_(create_rate_limit="3/minute")
    forged = person.init_data() + "&user=%7B%22id%22%3A1%7D"

    def call(init_data: str | None, peer: str = "203.0.113.5") -> TestResponse:
        headers = {HEADER: init_data} if init_data else {}
        body = {"tariff": "1m", "method": "card"}
        overrides = {"REMOTE_ADDR": peer}
        return client.post("/api/payments/create", json=body, headers=headers, environ_overrides=overrides)

    assert [call(raw).status_code for raw in (None, "garbage", forged)] == [401] * 3
    for raw in (None, "x" * 9000, forged):
        refused(call(raw))
    assert call(forged, "203.0.113.6").status_code == 401
    assert call(person.init_data()).status_code == 201, "whom they pretended to be has lost nothing"


def test_each_person_may_have_so_many_looks(client: FlaskClient, fresh: World, person: Person, set_: Set) -> None:
    set_(check_rate_limit="2/minute", create_rate_limit="1/minute")
    payment_id = create(client, person).get_json()["payment_id"]

    def look(who: Person, which: str) -> TestResponse:
        return client.post(f"/api/payments/{which}/check", headers={HEADER: who.init_data()})

    assert [look(person, payment_id).status_code, look(person, "nonsense").status_code] == [200, 404]
    refused(look(person, payment_id))
    assert look(Person(fresh), payment_id).status_code == 404
    assert client.get(f"/api/payments/{payment_id}", headers={HEADER: person.init_data()}).status_code == 200


def test_a_browser_s_preflight_is_not_counted(client: FlaskClient, person: Person, set_: Set) -> None:
    set_(create_rate_limit="1/minute")
    for _ in range(3):
        assert client.options("/api/payments/create", headers={"Origin": "https://x.example"}).status_code == 200
    assert create(client, person).status_code == 201


# --- the webhook ---


def test_strangers_at_the_webhook_are_cut_short_each_by_themselves(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="3/minute")
    assert statuses(client, *["203.0.113.5"] * 4) == [403, 403, 403, 429]
    refused(hook(client, "203.0.113.5"))
    assert statuses(client, "203.0.113.6", YOOKASSA) == [403, 400]


def test_yookassa_is_not_counted_among_strangers_but_has_a_valve_of_its_own(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="1/minute", webhook_burst_limit="5/minute")
    assert statuses(client, *["203.0.113.5"] * 5) == [403, 429, 429, 429, 429]
    theirs = (YOOKASSA, "185.71.77.2", "77.75.156.11", "2a02:5180::1", f"::ffff:{YOOKASSA}")
    assert statuses(client, *theirs) == [400] * 5
    refused(hook(client, "77.75.153.9"))


def test_the_valve_may_have_several_limits_and_opens_again(client: FlaskClient, set_: Set) -> None:
    set_(webhook_burst_limit="100/minute;2 per second")
    assert statuses(client, *[YOOKASSA] * 3) == [400, 400, 429]
    assert hook(client, YOOKASSA).headers["Retry-After"] == "1"
    wait_until(lambda: hook(client, YOOKASSA).status_code == 400, seconds=5, what="the second to be over")


def test_by_default_nothing_that_yookassa_sends_is_turned_away(client: FlaskClient, set_: Set) -> None:
    assert set_
    assert set(statuses(client, *[YOOKASSA] * 200)) == {400}


def test_another_header_does_not_make_another_stranger(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="2/minute")
    callers = [("203.0.113.5", forged) for forged in ("1.1.1.1", "1.1.1.2", YOOKASSA, PROXY, "")]
    assert statuses(client, *callers) == [403, 403, 429, 429, 429]


def test_behind_a_trusted_proxy_it_is_the_client_that_is_counted(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="2/minute", trusted_proxies=(ip_network("10.0.0.0/24"),))
    first = [(PROXY, forged, "203.0.113.5") for forged in ("1.1.1.1", YOOKASSA, "203.0.113.6", "nonsense")]
    assert statuses(client, *first) == [403, 403, 429, 429], "what it wrote itself stands to the left"
    assert statuses(client, (PROXY, "203.0.113.6"), ("10.0.0.2", "203.0.113.6, 10.0.0.3")) == [403, 403]
    assert statuses(client, (PROXY, "203.0.113.6")) == [429], "whatever way it came"
    assert statuses(client, *[(PROXY, YOOKASSA)] * 5) == [400] * 5


def test_all_of_a_slash_64_is_one_stranger_and_a_mapped_address_the_ipv4_one(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="2/minute")
    near = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1%eth0")
    assert statuses(client, *near) == [403, 403, 429, 429]
    assert statuses(client, "2001:db8:1:3::1") == [403]
    assert statuses(client, "203.0.113.5", "::ffff:203.0.113.5", "::ffff:cb00:7105") == [403, 403, 429]


def test_callers_of_unknown_address_are_one_stranger(client: FlaskClient, set_: Set) -> None:
    set_(webhook_rate_limit="2/minute")
    assert statuses(client, "", "nonsense", "unix:") == [403, 403, 429]


def test_the_description_says_that_it_may_be_too_much(client: FlaskClient) -> None:
    paths = client.get("/api/openapi.json").get_json()["paths"]
    limited = {path for path, calls in paths.items() if "429" in calls.get("post", {}).get("responses", {})}
    payments = {"/api/payments/create", "/api/payments/{payment_id}/check", WEBHOOK}
    assert limited == payments | {"/api/key/rotate"}


def test_a_second_application_counts_with_the_first(app: Flask, set_: Set) -> None:
    """As two web processes do."""
    from krotray_api.app import create_app

    set_(webhook_rate_limit="2/minute")
    other = create_app()
    other.testing = False
    peers = [hook(one.test_client(), "203.0.113.7").status_code for one in (app, other, app)]
    assert peers == [403, 403, 429]
