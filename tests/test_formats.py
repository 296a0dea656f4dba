"""What a link says survives each form that we write it in; strict readers of those forms take all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from krotray_core import links
from krotray_core.formats import clash, share, singbox, vless
from krotray_core.formats.common import UnsupportedError
from krotray_core.formats.vless import Node
from tests import format_schemas

KEY = UUID("0d4e6f5c-5f3c-4b59-8a5e-6c4f0b9f8f01")
REALITY = Node(
    KEY,
    "203.0.113.7",
    443,
    "Амстердам 🐀",
    security="reality",
    encryption="none",
    flow="xtls-rprx-vision",
    sni="example.org",
    fingerprint="firefox",
    public_key="2UqLjQFhlvLcY7VzaKRotIDQFOgAJe1dYD1njigp9wk",
    short_id="0123456789abcdef",
    spider_x="/",
)
WS = Node(KEY, "a.example", 443, "ws", "ws", "tls", sni="b.example", host_header="c.example", path="/крот?ed=2048")

# On a machine that has other things to do too, time says nothing.
unhurried = settings(deadline=None, max_examples=50)

labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=10)
hosts = st.one_of(st.ip_addresses().map(str), st.lists(labels, min_size=2, max_size=4).map(".".join))
texts = st.text(max_size=20)
tokens = st.text("abcdefghijklmnopqrstuvwxyz0123456789/.-", min_size=1, max_size=8)
known = {
    "encryption",
    "flow",
    "security",
    "sni",
    "fp",
    "alpn",
    "pbk",
    "sid",
    "spx",
    "type",
    "headerType",
    "host",
    "path",
}
unknown = texts.filter(lambda name: name not in known | {"serviceName", "mode", "extra"})
nodes = st.builds(
    Node,
    key=st.uuids(),
    host=hosts,
    port=st.integers(1, 65535),
    remark=texts,
    transport=st.sampled_from(["tcp", "ws", "grpc", "httpupgrade", "xhttp", "kcp"]),
    security=st.sampled_from(["", "tls", "reality"]),
    **dict.fromkeys(
        ("encryption", "flow", "sni", "fingerprint", "public_key", "short_id", "spider_x", "header_type"), texts
    ),
    **dict.fromkeys(("host_header", "path", "service_name", "mode", "extra"), texts),
    alpn=st.lists(tokens, max_size=3).map(tuple),
    others=st.dictionaries(unknown, texts, max_size=3).map(lambda said: tuple(said.items())),
)
# What servers really ask for.
sane = st.builds(
    Node,
    key=st.uuids(),
    host=hosts,
    port=st.integers(1, 65535),
    remark=texts,
    transport=st.sampled_from(["tcp", "ws", "grpc", "httpupgrade", "xhttp"]),
    security=st.sampled_from(["", "tls", "reality"]),
    encryption=st.sampled_from(["", "none"]),
    flow=st.sampled_from(["", "xtls-rprx-vision", "xtls-rprx-vision-udp443"]),
    sni=hosts | st.just(""),
    fingerprint=st.sampled_from(["", "chrome", "qq", "randomizednoalpn", "x"]),
    alpn=st.lists(tokens, max_size=3).map(tuple),
    public_key=st.from_regex(r"[A-Za-z0-9_-]{43}", fullmatch=True),
    short_id=st.from_regex(r"([0-9a-f]{2}){0,8}", fullmatch=True),
    host_header=hosts | st.just(""),
    path=st.one_of(st.just(""), texts.map("/{}".format), st.just("/a?ed=2048")),
    service_name=texts,
    mode=st.sampled_from(["", "auto"]),
)


# --- links ---


@unhurried
@given(nodes)
def test_a_link_says_all_that_was_put_into_it(node: Node) -> None:
    link = vless.emit(node)
    assert vless.parse(link) == node
    assert link.isascii()
    assert "+" not in link
    assert not any(letter.isspace() for letter in link)
    names = [pair.partition("=")[0] for pair in urlsplit(link).query.split("&")]
    assert len(names) == len(set(names))


@unhurried
@given(nodes)
def test_a_template_of_legal_parts_comes_through_without_loss(node: Node) -> None:
    link = vless.emit(replace(node, remark=""))
    template = link.replace(str(node.key), "{uuid}", 1).replace(vless.bracketed(node.host), "{host}", 1) + "#{name}"
    assume(links.PLACEHOLDERS and "%7B" not in template)
    assert links.check_template(template) == template
    made = links.vless_url(template, key=node.key, host=node.host, name=node.remark, email="user_1")
    assert vless.parse(made) == node
    assert vless.emit(vless.parse(made)) == made


@unhurried
@given(sane)
def test_a_template_written_by_hand_says_the_same(node: Node) -> None:
    """Slashes, question marks, colons, and letters of any alphabet in the remark, as people type them."""
    loose = replace(node, path="/крот/a:b?c=d,e", remark="Нора 🐀 №1")
    link = vless.emit(loose).replace(quote(loose.path, safe=""), loose.path).replace(quote(loose.remark), loose.remark)
    assert not link.isascii()
    assert vless.parse(link) == loose


@pytest.mark.parametrize(
    "link",
    [
        "",
        "vless://",
        "vless://x",
        f"vless://{KEY}@",
        f"vless://{KEY}@:443",
        f"vless://{KEY}@h",
        f"vless://{KEY}@h:99999",
        f"vless://{KEY}@h:x",
        f"vless://{KEY}:password@h:443",
        "vless://not-a-key@h:443",
        f"vmess://{KEY}@h:443",
        f"vless://{KEY}@[::1:443",
        f"vless://{KEY}@h:443#%ff",
        f"vless://{KEY}@h:443?path=%ff",
        f"vless://{KEY}@{'ё' * 300}.рф:443",
    ],
)
def test_what_is_no_link_is_refused(link: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of many kinds
        vless.parse(link)


@unhurried
@given(st.text(max_size=100))
def test_no_text_breaks_the_reader_of_links(text: str) -> None:
    for link in (text, f"vless://{KEY}@{text}", f"vless://{KEY}@h:1?{text}", f"vless://{KEY}@h:1#{text}"):
        try:
            node = vless.parse(link)
        except ValueError:
            continue
        assert vless.parse(vless.emit(node)) == node


@pytest.mark.parametrize(
    ("written", "read"), [("", "tcp"), ("raw", "tcp"), ("TCP", "tcp"), ("splithttp", "xhttp"), ("kcp", "kcp")]
)
def test_a_transport_has_one_name(written: str, read: str) -> None:
    assert vless.parse(f"vless://{KEY}@h:1?type={written}&security=NONE").transport == read


def test_a_plus_is_a_plus_and_the_first_of_two_counts() -> None:
    node = vless.parse(f"vless://{KEY}@h:1?path=a+b&path=c&x=1&x=2#a+b")
    assert (node.path, node.remark, node.others) == ("a+b", "a+b", (("x", "1"),))


# --- Clash and sing-box ---


def read_clash(text: str) -> format_schemas.Clash:
    """Takes the YAML as strictly as Go would."""
    for node in scalars(yaml.compose(text)):
        is_text = node.tag == "tag:yaml.org,2002:str"
        assert not is_text or node.style == '"', "an unquoted text may be a number for a reader of YAML 1.2"
    return format_schemas.clash(yaml.safe_load(text))


def scalars(node: yaml.Node) -> list[yaml.ScalarNode]:
    """All values in a document."""
    if isinstance(node, yaml.ScalarNode):
        return [node]
    values = [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else node.value
    return [scalar for value in values for scalar in scalars(value)]


def read_sing_box(text: str) -> format_schemas.SingBox:
    """Takes the JSON strictly; a name that is there twice is an error."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return format_schemas.sing_box(json.loads(text, object_pairs_hook=once))


@unhurried
@given(st.lists(sane, min_size=1, max_size=3))
def test_mihomo_takes_all_that_servers_ask_for(several: list[Node]) -> None:
    configuration = read_clash(clash.emit(several))
    assert len(configuration.proxies) == len(several)
    for proxy, node in zip(configuration.proxies, several, strict=True):
        assert (proxy.server, proxy.port, proxy.uuid) == (node.host, node.port, str(node.key))
        assert proxy.tls == bool(node.security)
        assert proxy.servername == (((node.sni or node.host_header) or None) if node.security else None)
        assert (proxy.flow is not None) == (node.transport == "tcp" and bool(node.flow))
        assert proxy.alpn == (list(node.alpn) if node.security else [])
        if node.security == "reality":
            assert proxy.reality_opts
            assert (proxy.reality_opts.public_key, proxy.reality_opts.short_id) == (node.public_key, node.short_id)
        else:
            assert proxy.reality_opts is None
        if node.transport == "grpc":
            assert proxy.grpc_opts
            assert proxy.grpc_opts.grpc_service_name == node.service_name
        if proxy.ws_opts:
            assert proxy.ws_opts.v2ray_http_upgrade == (node.transport == "httpupgrade")
            assert proxy.ws_opts.headers == ({"Host": node.host_header} if node.host_header else {})
        if proxy.xhttp_opts:
            assert (proxy.xhttp_opts.path, proxy.xhttp_opts.host) == (node.path or "/", node.host_header or None)


@unhurried
@given(st.lists(sane.filter(lambda node: node.transport != "xhttp"), min_size=1, max_size=3))
def test_sing_box_takes_all_that_servers_ask_for(several: list[Node]) -> None:
    configuration = read_sing_box(singbox.emit(several))
    outbounds = [one for one in configuration.outbounds if isinstance(one, format_schemas.VlessOutbound)]
    assert len(outbounds) == len(several)
    for outbound, node in zip(outbounds, several, strict=True):
        assert (outbound.server, outbound.server_port, outbound.uuid) == (node.host, node.port, str(node.key))
        assert (outbound.tls is not None) == bool(node.security)
        assert (outbound.flow is not None) == (node.transport == "tcp" and bool(node.flow))
        if outbound.tls:
            assert outbound.tls.server_name == (node.sni or node.host_header or None)
            assert (outbound.tls.reality is not None) == (node.security == "reality")
        kind = outbound.transport.type if outbound.transport else "tcp"
        assert kind == node.transport


def test_early_data_is_said_in_each_programs_own_way() -> None:
    (proxy,) = read_clash(clash.emit([WS])).proxies
    assert proxy.ws_opts
    assert (proxy.ws_opts.path, proxy.ws_opts.max_early_data) == ("/крот", 2048)
    assert proxy.ws_opts.early_data_header_name == "Sec-WebSocket-Protocol"
    transport = read_sing_box(singbox.emit([WS])).outbounds[1].transport  # type: ignore[union-attr]
    assert isinstance(transport, format_schemas.WsTransport)
    assert (transport.path, transport.max_early_data) == ("/крот", 2048)
    upgraded = replace(WS, transport="httpupgrade")
    (proxy,) = read_clash(clash.emit([upgraded])).proxies
    assert proxy.ws_opts
    assert (proxy.ws_opts.path, proxy.ws_opts.v2ray_http_upgrade_fast_open) == ("/крот", True)
    assert '"path": "/крот"' in singbox.emit([upgraded])


@pytest.mark.parametrize("short_id", ["12e4", "0e", "00", "1234567890123456", "0x10", "", "1_0"])
def test_a_short_id_that_looks_like_a_number_stays_a_text(short_id: str) -> None:
    text = clash.emit([replace(REALITY, short_id=short_id)])
    assert f'short-id: "{short_id}"' in text


@pytest.mark.parametrize(
    "name",
    [
        "KrotRay",
        "direct",
        "DIRECT",
        "GLOBAL",
        clash.GROUP,
        "",
        "   ",
        "a\nb: c",
        "- x",
        "#",
        "{}",
        "*a",
        "&a",
        "\x00",
        "\u2028",
        "yes",
    ],
)
def test_no_name_is_taken_for_something_else(name: str) -> None:
    several = [replace(REALITY, remark=name)] * 3
    assert len(read_clash(clash.emit(several)).proxies) == 3
    assert len(read_sing_box(singbox.emit(several)).outbounds) == 5


def test_xhttp_and_its_finer_points() -> None:
    node = replace(REALITY, transport="xhttp", flow="", path="/x", host_header="h.example", mode="packet-up")
    extra = {"xPaddingBytes": "100-1000", "noGRPCHeader": True, "headers": {"A": "b"}, "xmux": {"maxConcurrency": "1"}}
    (proxy,) = read_clash(clash.emit([replace(node, extra=json.dumps(extra))])).proxies
    assert proxy.xhttp_opts
    assert proxy.xhttp_opts.model_dump(by_alias=True) == {
        "path": "/x",
        "host": "h.example",
        "mode": "packet-up",
        "headers": {"A": "b"},
        "no-grpc-header": True,
        "x-padding-bytes": "100-1000",
    }
    (proxy,) = read_clash(clash.emit([replace(node, extra='{"xPaddingBytes": 100}', mode="auto")])).proxies
    assert proxy.xhttp_opts
    assert (proxy.xhttp_opts.x_padding_bytes, proxy.xhttp_opts.mode) == ("100", None)
    with pytest.raises(UnsupportedError):
        singbox.emit([node])
    hostile = ["{", "[]", "1", '{"xPaddingBytes": true}', '{"x": 1}', '{"headers": {"a": 1}}', "[" * 100_000]
    for bad in hostile:
        with pytest.raises(UnsupportedError):
            clash.emit([replace(node, extra=bad)])


@pytest.mark.parametrize(
    "change",
    [
        {"transport": "kcp"},
        {"transport": "quic"},
        {"security": "xtls"},
        {"header_type": "http"},
        {"flow": "xtls-rprx-direct"},
        {"public_key": ""},
    ],
)
def test_what_a_form_has_no_words_for_is_refused(change: dict[str, str]) -> None:
    node = replace(REALITY, **change)  # type: ignore[arg-type]
    for emit in (clash.emit, singbox.emit):
        with pytest.raises(UnsupportedError):
            emit([node])


def test_vless_encryption_is_known_to_mihomo_alone() -> None:
    node = replace(REALITY, encryption="mlkem768x25519plus.native.0rtt.x")
    assert read_clash(clash.emit([node])).proxies[0].encryption == node.encryption
    with pytest.raises(UnsupportedError):
        singbox.emit([node])
    with pytest.raises(UnsupportedError):
        clash.emit([replace(node, transport="xhttp", flow="", mode="x")])


@unhurried
@given(nodes)
def test_whatever_a_link_says_it_is_written_or_refused(node: Node) -> None:
    for emit, read in ((clash.emit, yaml.safe_load), (singbox.emit, json.loads)):
        try:
            text = emit([node])
        except UnsupportedError:
            continue
        assert read(text)


def test_the_readers_of_these_tests_are_strict() -> None:
    good = yaml.safe_load(clash.emit([REALITY]))
    for change in ({"port": "443"}, {"tls": "true"}, {"sni": "x"}, {"tls": False}, {"network": "ws"}, {"uuid": "x"}):
        with pytest.raises((ValidationError, ValueError)):
            format_schemas.clash(good | {"proxies": [good["proxies"][0] | change]})
    made = json.loads(singbox.emit([REALITY]))
    for name, change in (("dns", {"final": "nowhere"}), ("route", {"final": "nowhere"}), ("route", {"geoip": {}})):
        with pytest.raises((ValidationError, ValueError)):
            format_schemas.sing_box(made | {name: made[name] | change})


def test_lines_and_base64_hold_the_same_links() -> None:
    several = [vless.emit(REALITY), vless.emit(WS)]
    assert share.lines(several).split("\n") == several
