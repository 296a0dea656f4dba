"""Share links: whatever a server or a template is called, a VPN program reads the right host, port and key."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krotray_core import links
from krotray_core.formats import share, vless
from krotray_core.xray.client import XrayClient
from krotray_core.xray.operations import Add
from sandbox.parts import vpn
from sandbox.world import World
from tests import pages

KEY = UUID("0d4e6f5c-5f3c-4b59-8a5e-6c4f0b9f8f01")
REALITY = (
    "vless://{uuid}@{host}:443?encryption=none&flow=xtls-rprx-vision&security=reality&sni=example.org&fp=chrome"
    "&pbk=2UqLjQFhlvLcY7VzaKRotIDQFOgAJe1dYD1njigp9wk&sid=0123456789abcdef&type=tcp&headerType=none#KrotRay%20{name}"
)
# Braces that are nobody's placeholder, as XHTTP's `extra` has them.
WITH_JSON = 'vless://{uuid}@{host}:443?type=xhttp&extra={"xPaddingBytes":"1-{2}"}&path=/{}#{name}'


def made(
    template: str = REALITY, *, host: str = "203.0.113.7", name: str = "Main", email: str = "user_1"
) -> SplitResult:
    """A link as a VPN program takes it apart."""
    return urlsplit(links.vless_url(template, key=KEY, host=host, name=name, email=email))


def test_a_link_holds_the_key_the_server_and_the_parameters_of_the_template() -> None:
    link = made()
    assert (link.scheme, link.username, link.hostname, link.port) == ("vless", str(KEY), "203.0.113.7", 443)
    wanted = dict(parse_qsl(urlsplit(REALITY).query, keep_blank_values=True))
    assert dict(parse_qsl(link.query, keep_blank_values=True)) == wanted
    assert unquote(link.fragment) == "KrotRay Main"


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("vpn.example.org", "vpn.example.org"),
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("2001:0DB8:0:0:0:0:0:1", "[2001:db8::1]"),
        ("::1", "[::1]"),
    ],
)
def test_the_host_is_written_as_an_address_needs_it(host: str, written: str) -> None:
    link = made(host=host)
    assert link.netloc == f"{KEY}@{written}:443"
    assert link.hostname == written.strip("[]")
    assert link.port == 443


@pytest.mark.parametrize(
    "name",
    [
        "Main",
        "Амстердам",
        "🐀 крот",
        "a#b",
        "a b",
        "100%",
        "%41",
        "{uuid}",
        "{host}",
        "a&b=c",
        "a/b?c",
        "[x]",
        "«ёлка»",
        "a+b",
    ],
)
def test_a_remark_of_any_letters_comes_back_as_it_was(name: str) -> None:
    link = made("vless://{uuid}@{host}:443?type=tcp#{name}", name=name)
    assert unquote(link.fragment) == name
    assert link.fragment.isascii()
    assert (link.username, link.port, link.query) == (str(KEY), 443, "type=tcp")


@given(name=st.text(min_size=1, max_size=64), email=st.text(max_size=32))
def test_no_name_breaks_out_of_its_place(name: str, email: str) -> None:
    link = made("vless://{uuid}@{host}:443?type=tcp&remark={email}&last=1#{name}", name=name, email=email)
    assert unquote(link.fragment) == name
    assert parse_qsl(link.query, keep_blank_values=True) == [("type", "tcp"), ("remark", email), ("last", "1")]
    assert (link.hostname, link.port) == ("203.0.113.7", 443)


@given(st.ip_addresses(), st.uuids())
def test_every_address_and_key_survive(address: object, key: UUID) -> None:
    link = urlsplit(links.vless_url(REALITY, key=key, host=str(address), name="x", email="user_1"))
    assert (link.username, link.hostname, link.port) == (str(key), str(address), 443)


def test_stray_braces_stay_as_they_are() -> None:
    said = dict(parse_qsl(made(WITH_JSON).query))
    assert said == {"type": "xhttp", "extra": '{"xPaddingBytes":"1-{2}"}', "path": "/{}"}


def test_a_template_written_carelessly_makes_a_link_by_the_rules() -> None:
    link = links.vless_url(
        "vless://{uuid}@пример.рф:443?type=ws&path=/крот+нора?ed=2048&type=grpc&sni=a.example&flow=#Нора {name}",
        key=KEY,
        host="unused",
        name="a+b",
        email="user_1",
    )
    assert link.isascii()
    assert "+" not in link
    parts = urlsplit(link)
    assert parts.hostname == "xn--e1afmkfd.xn--p1ai"
    assert parse_qsl(parts.query) == [("sni", "a.example"), ("type", "ws"), ("path", "/крот+нора?ed=2048")]
    assert unquote(parts.fragment) == "Нора a+b"


def test_a_template_from_before_it_was_checked_still_makes_some_link() -> None:
    assert made("vless://{uuid}@{host}?type=tcp#x").netloc == f"{KEY}@203.0.113.7"


@pytest.mark.parametrize(
    "template",
    [
        REALITY,
        WITH_JSON,
        "vless://{uuid}@203.0.113.7:8443?type=ws&host=cdn.example.org",
        "vless://{uuid}@[2001:db8::1]:443#{email}",
        "vless://{uuid}@{host}:1",
        "vless://{uuid}@{host}:65535/?type=grpc&serviceName=a#Кротовая%20нора",
    ],
)
def test_templates_that_will_do(template: str) -> None:
    assert links.check_template(template) == template


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "vless://"),
        ("vmess://{uuid}@{host}:443", "vless://"),
        (" vless://{uuid}@{host}:443", "vless://"),
        ("https://example.org/{uuid}", "vless://"),
        ("vless://@{host}:443", "{uuid}"),
        ("vless://{UUID}@{host}:443", "{uuid}"),
        (f"vless://{KEY}@{{host}}:443", "{uuid}"),
        ("vless://{uuid}@{host}:443#{nmae}", "{nmae}"),
        ("vless://{uuid}@{server_host}:443", "{server_host}"),
        ("vless://{uuid}@{host}", "port"),
        ("vless://{uuid}@{host}:", "port"),
        ("vless://{uuid}@{host}:0", "port"),
        ("vless://{uuid}@{host}:65536", "port"),
        ("vless://{uuid}@{host}:https", "port"),
        ("vless://{uuid}@{host}:-1", "port"),
        ("vless://{uuid}@[{host}:443", "port"),
    ],
)
def test_templates_that_will_not_do_say_why(template: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"should|knows no") as caught:
        links.check_template(template)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "vless://{host}:443?id={uuid}",  # the key is not where a program looks for it
        "vless://{host}:443#{uuid}",
        "vless://{uuid}@:443",  # leads nowhere
        "vless://{uuid}@{host}:443 ?type=tcp",
        "vless://{uuid}@{host}:443?a=b\nc",
    ],
)
def test_a_template_whose_links_no_program_could_use_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="should"):
        links.check_template(template)


def test_a_placeholder_leads_nowhere_and_says_why() -> None:
    said = "Подписка закончилась — продлите её в Telegram #1 🐀"
    link = urlsplit(vless.emit(links.placeholder(said)))
    assert unquote(link.fragment) == said
    assert (link.scheme, link.username, link.hostname, link.port) == ("vless", str(UUID(int=0)), "127.0.0.1", 1)
    assert link.fragment.isascii()


def test_a_subscription_body_is_base64_of_one_link_a_line() -> None:
    several = [links.vless_url(REALITY, key=uuid4(), host="h.example", name=n, email="user_1") for n in ("A", "Б")]
    body = share.body(several)
    assert base64.b64decode(body, validate=True).decode().split("\n") == several
    assert base64.b64decode(share.body([])) == b""


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n", codec="utf-8"), min_size=1), min_size=1))
def test_any_links_come_back_from_a_body(several: list[str]) -> None:
    body = share.body(several)
    assert "\n" not in body
    assert base64.b64decode(body, validate=True).decode().split("\n") == several


def test_a_real_xray_takes_the_link(world: World, page: str, tmp_path: Path) -> None:
    node = world.nodes[0]
    key, email = uuid4(), f"link_{uuid4().hex}"
    link = links.vless_url(
        f"vless://{{uuid}}@{{host}}:{node.vless_port}?encryption=none&type=tcp&security=none&note={{email}}#{{name}}",
        key=key,
        host="127.0.0.1",
        name="Крот #1 🐀",
        email=email,
    )
    with vpn(link, tmp_path) as client:
        assert client.fetch(page) is None, "nobody may in before the server knows the key"
        XrayClient(f"127.0.0.1:{node.grpc_port}", "vless-in").apply([Add(email, key)])
        assert client.fetch(page) == pages.TEXT
