"""GET /sub/<token>: what each program gets, and what it is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from krotray_core import apps, cabinet, qr, settings, subscriptions
from krotray_core.db import transaction
from krotray_core.formats import vless
from krotray_core.models import Server, Subscription, User
from tests import format_schemas
from tests.conftest import converge_all
from tests.http_kit import problem
from tests.sub_kit import BROWSER, granted, sub_path

PROGRAMS = {
    "Happ/3.4.1": "base64",
    "v2rayNG/1.10.8": "base64",
    "v2RayTun/1.9": "base64",
    "Streisand/1.6 CFNetwork/3826": "base64",
    "Shadowrocket/2.2.60 CFNetwork/3826 Darwin/24": "base64",
    "HiddifyNext/2.5.7 (android) like ClashMeta v2ray sing-box": "base64",
    "NekoBox/Android/1.3.8 (Prefer ClashMeta Format)": "base64",
    "curl/8.5.0": "base64",
    "": "base64",
    "clash-verge/v2.2.3": "clash",
    "ClashMetaForAndroid/2.11.5.Meta": "clash",
    "ClashX Meta/v1.4": "clash",
    "FlClash/v0.8.85 clash-verge Platform/android": "clash",
    "clash.meta/1.19": "clash",
    "mihomo/1.19.14": "clash",
    "Stash/2.7.2 Clash/1.9.0": "clash",
    "SFA/1.12.1 (Build 580; sing-box 1.12.1; language ru_RU)": "sing-box",
    "SFI/1.12.1 (Build 1; sing-box 1.12.1; language ru_RU)": "sing-box",
    "SFM/1.12.1": "sing-box",
    "SFT/1.12.1": "sing-box",
    "sing-box 1.12.1": "sing-box",
    "sing-box/1.12.1": "sing-box",
    "Karing/1.2.9.1102 SFA/1.12 ClashMeta": "sing-box",
}


@pytest.fixture
def path(fleet: list[Server], user: User) -> str:
    """The link of somebody whose key works."""
    assert fleet
    made = granted(user)
    converge_all()
    return made


def form(answer: TestResponse) -> str:
    """The form that this answer is in; it is read whole on the way."""
    assert answer.status_code == 200, answer.text
    match answer.mimetype:
        case "text/yaml":
            format_schemas.clash(yaml.safe_load(answer.text))
            return "clash"
        case "application/json":
            format_schemas.sing_box(json.loads(answer.text))
            return "sing-box"
        case "text/html":
            return "page"
    if answer.text.startswith("vless://"):
        return "links"
    vless.parse(base64.b64decode(answer.data, validate=True).decode())
    return "base64"


def remark(answer: TestResponse) -> str:
    """The name of the only server in an answer of any form."""
    match form(answer):
        case "clash":
            return yaml.safe_load(answer.text)["proxies"][0]["name"]
        case "sing-box":
            return json.loads(answer.text)["outbounds"][1]["tag"]
        case "links":
            return unquote(urlsplit(answer.text).fragment)
        case _:
            return unquote(urlsplit(base64.b64decode(answer.data).decode()).fragment)


def decoded(answer: TestResponse, header: str) -> str:
    """A header whose text is in base64."""
    return base64.b64decode(answer.headers[header].removeprefix("base64:")).decode()


# --- which form, for whom ---


@pytest.mark.parametrize(("program", "wanted"), PROGRAMS.items())
def test_each_program_gets_the_form_that_it_reads(client: FlaskClient, path: str, program: str, wanted: str) -> None:
    assert form(client.get(path, headers={"User-Agent": program, "Accept": "*/*"})) == wanted


def test_a_form_can_be_asked_for_by_name(client: FlaskClient, path: str) -> None:
    named = {"base64": "base64", "links": "links", "clash": "clash", "mihomo": "clash", "sing-box": "sing-box"}
    for name, wanted in (named | {"singbox": "sing-box", "json": "sing-box"}).items():
        for headers in ({}, BROWSER, {"User-Agent": "mihomo/1"}):
            assert form(client.get(path, query_string={"format": name}, headers=headers)) == wanted
    for odd in ("", "x", "CLASH", "clash ", "../clash", "<b>", "\x00", "clash\n", "x" * 5000):
        problem(client.get(path, query_string={"format": odd}), 422, "invalid")
    assert "sing-box" in client.get(f"{path}?format=x").get_json()["detail"]


@pytest.mark.parametrize(
    ("accept", "agent", "wanted"),
    [
        (BROWSER["Accept"], BROWSER["User-Agent"], "page"),
        ("text/html", "", "page"),
        ("*/*", BROWSER["User-Agent"], "base64"),
        ("", BROWSER["User-Agent"], "base64"),
        ("text/html;q=0", BROWSER["User-Agent"], "base64"),
        ("text/*", BROWSER["User-Agent"], "base64"),
        (BROWSER["Accept"], "clash-verge/v2.2.3", "clash"),
        (BROWSER["Accept"], "SFA/1.12.1", "sing-box"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "Java/21.0.1", "base64"),
    ],
)
def test_browsers_get_the_page(client: FlaskClient, path: str, accept: str, agent: str, wanted: str) -> None:
    assert form(client.get(path, headers={"Accept": accept, "User-Agent": agent})) == wanted


def test_head_answers_like_get_without_a_body(client: FlaskClient, path: str) -> None:
    for headers in ({}, BROWSER, {"User-Agent": "mihomo/1"}):
        whole, head = client.get(path, headers=headers), client.head(path, headers=headers)
        assert (head.status_code, head.data) == (200, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    assert client.post(path).status_code == 405


# --- what is said beside it ---


@pytest.mark.parametrize("wanted", ["base64", "links", "clash", "sing-box"])
def test_programs_are_told_about_the_subscription(client: FlaskClient, path: str, user: User, wanted: str) -> None:
    answer = client.get(f"{path}?format={wanted}")
    end = cabinet.of_user(user.id).expires_at
    assert end
    assert answer.headers["Subscription-Userinfo"] == f"upload=0; download=0; total=0; expire={int(end.timestamp())}"
    assert decoded(answer, "Profile-Title") == "KrotRay"
    assert answer.headers["Profile-Update-Interval"] == "12"
    assert answer.headers["Profile-Web-Page-Url"] == settings.get().origin + path
    assert answer.headers["Content-Disposition"] == 'attachment; filename="KrotRay"'
    assert "Announce" not in answer.headers
    assert "Support-Url" not in answer.headers


def test_where_there_is_support_programs_show_it(
    client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    helpful = settings.get().model_copy(update={"support_url": "https://t.me/krotray_help"})
    monkeypatch.setattr(settings, "get", lambda: helpful)
    assert client.get(path).headers["Support-Url"] == "https://t.me/krotray_help"


@pytest.mark.parametrize("tail", ["", "?format=clash", "?format=sing-box", "/qr.svg", "/qr.png", "page"])
def test_an_address_that_is_a_login_is_kept_and_told_to_nobody(client: FlaskClient, path: str, tail: str) -> None:
    answer = client.get(path, headers=BROWSER) if tail == "page" else client.get(path + tail)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {"Accept", "User-Agent", "Accept-Language"} <= set(answer.headers["Vary"].split(", "))
    assert "Access-Control-Allow-Origin" not in answer.headers
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    if tail == "page":
        assert "<script>" not in answer.text
        assert "style=" not in answer.text
        assert 'onclick="' not in answer.text
        assert '<meta name="robots" content="noindex' in answer.text


# --- nothing to give ---


@pytest.mark.parametrize("wanted", ["base64", "links", "clash", "sing-box"])
@pytest.mark.parametrize("lang", ["ru", "en"])
def test_an_expired_subscription_says_so_in_every_form(
    client: FlaskClient, path: str, user: User, wanted: str, lang: str
) -> None:
    subscriptions.revoke(user.telegram_id)
    answer = client.get(f"{path}?format={wanted}", headers={"Accept-Language": lang})
    said = {"ru": "Подписка закончилась", "en": "Your subscription has ended"}[lang]
    assert remark(answer).startswith(said)
    assert str(cabinet.of_user(user.id).subscription.uuid) not in answer.text  # type: ignore[union-attr]
    assert decoded(answer, "Announce").startswith(said)
    assert len(decoded(answer, "Announce")) <= 200
    assert int(answer.headers["Subscription-Userinfo"].rpartition("=")[2]) > 0


@pytest.mark.parametrize("wanted", ["base64", "clash", "sing-box"])
def test_who_waits_for_a_place_is_told_so(client: FlaskClient, user: User, wanted: str) -> None:
    answer = client.get(f"{granted(user)}?format={wanted}")  # there is no server at all
    assert remark(answer).startswith("Свободного сервера пока нет")
    assert "Дни не тратятся" in decoded(answer, "Announce")
    assert len(decoded(answer, "Announce")) <= 200


def test_a_server_that_a_program_cannot_use_says_so_by_its_name(client: FlaskClient, alone: Server, user: User) -> None:
    with transaction() as session:
        session.get_one(Server, alone.id).vless_url_template = "vless://{uuid}@{host}:443?type=xhttp&path=/x#{name}"
    path = granted(user)
    assert "возьмите Happ" in remark(client.get(f"{path}?format=sing-box"))
    assert remark(client.get(f"{path}?format=clash")) == alone.name
    assert remark(client.get(path)) == alone.name
    with transaction() as session:
        session.get_one(Server, alone.id).vless_url_template = "vless://{uuid}@{host}:443?type=kcp#{name}"
    assert "возьмите Happ" in remark(client.get(f"{path}?format=clash"))
    assert remark(client.get(path)) == alone.name


def test_a_replaced_link_is_gone_at_once_and_the_new_one_works(client: FlaskClient, path: str, user: User) -> None:
    subscriptions.rotate_key(user.telegram_id)
    for tail in ("", "?format=clash", "/qr.svg", "/qr.png"):
        problem(client.get(path + tail), 404, "not_found")
    answer = client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "Эта ссылка больше не работает" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert form(client.get(sub_path(user))) == "base64"


def test_only_programs_count_as_having_asked(client: FlaskClient, path: str, user: User) -> None:
    """Who has asked is taken to ask again by themselves, and hears nothing of a move."""

    def asked() -> bool:
        with transaction() as session:
            return session.query(Subscription).filter_by(user_id=user.id).one().fetched_at is not None

    client.get(path, headers=BROWSER)
    client.head(path)
    client.get(f"{path}/qr.svg")
    client.get(f"{path}?format=x")
    assert not asked()
    client.get(path, headers={"User-Agent": "SFA/1.12.1"})
    assert asked()


# --- hostile callers ---


@pytest.mark.parametrize(
    "token", ["x", "x" * 129, "x" * 5000, "%00", "a%2Fb", "..", "%2e%2e%2f", "a.b", "🐀", "'--", "a b", "{uuid}", "%"]
)
def test_odd_tokens_are_not_found(client: FlaskClient, token: str) -> None:
    for tail in ("", "/qr.svg", "/qr.png", "/qr.gif", "/x"):
        answer = client.get(f"/sub/{token}{tail}")
        assert answer.status_code in (404, 308), token
        assert client.get(f"/sub/{token}{tail}", headers=BROWSER).status_code in (404, 308)


words = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=300)
asking = st.fixed_dictionaries({"User-Agent": words, "Accept": words, "Accept-Language": words})
queries = st.dictionaries(st.sampled_from(["lang", "platform", "format", "x"]), st.text(max_size=50))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(headers=asking, query=queries)
def test_whatever_is_sent_something_sensible_comes(
    app: Flask, path: str, headers: dict[str, str], query: dict[str, str]
) -> None:
    client = app.test_client()
    answer = client.get(path, headers=headers, query_string=query)
    if "format" in query:
        assert answer.status_code in (200, 422)
    else:
        assert form(answer)
    others = {name: value for name, value in query.items() if name != "format"}
    reading = headers | {"User-Agent": "", "Accept": "text/html"}
    assert form(client.get(path, headers=reading, query_string=others)) == "page"


# --- the QR code ---


def test_the_picture_is_that_of_the_address(client: FlaskClient, path: str) -> None:
    url = settings.get().origin + path
    svg = client.get(f"{path}/qr.svg")
    assert (svg.mimetype, svg.text) == ("image/svg+xml", qr.svg(url))
    png = client.get(f"{path}/qr.png")
    assert (png.mimetype, png.data) == ("image/png", qr.png(url))
    assert client.head(f"{path}/qr.svg").status_code == 200


def test_an_expired_link_still_has_a_picture(
    client: FlaskClient, path: str, pass_time: Callable[[timedelta], None]
) -> None:
    pass_time(timedelta(days=31))
    assert client.get(f"{path}/qr.svg").status_code == 200


def test_the_title_fits_into_what_programs_show() -> None:
    assert len(apps.TITLE) <= 25
