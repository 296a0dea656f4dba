"""Where a request comes from: what a stranger writes into X-Forwarded-For never counts."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from krotray_api.addresses import client_address, within
from krotray_core.settings import IPNetwork

HEADER = "X-Forwarded-For"
YOOKASSA = "185.71.76.1"
STRANGER = "203.0.113.66"


def asked(peer: str, *lines: str, trusted: tuple[str, ...] = ()) -> str | None:
    """Who calls, when `peer` is at the other end and sent these header lines."""
    address = client_address(request(peer, *lines), networks(*trusted))
    return None if address is None else str(address)


def request(peer: str, *lines: str) -> Request:
    """A request as it comes from a WSGI server, which joins header lines of one name with commas (RFC 3875)."""
    environ = EnvironBuilder("/").get_environ()
    environ["REMOTE_ADDR"] = peer
    if lines:
        environ["HTTP_X_FORWARDED_FOR"] = ",".join(lines)
    return Request(environ)


def networks(*texts: str) -> tuple[IPNetwork, ...]:
    """As the settings hold them."""
    return tuple(ip_network(text) for text in texts)


@pytest.mark.parametrize("lines", [(), (YOOKASSA,), (f"{YOOKASSA}, {YOOKASSA}",), ("",), ("garbage",)])
def test_without_trusted_proxies_only_the_peer_counts(lines: tuple[str, ...]) -> None:
    assert asked(STRANGER, *lines) == STRANGER


@pytest.mark.parametrize(
    "header", [HEADER, "Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "Client-IP"]
)
def test_no_other_header_is_ever_believed(header: str) -> None:
    environ = EnvironBuilder("/", headers={header: YOOKASSA}).get_environ() | {"REMOTE_ADDR": STRANGER}
    assert client_address(Request(environ), ()) == ip_address(STRANGER)
    if header != HEADER:
        assert client_address(Request(environ), networks(STRANGER)) == ip_address(STRANGER)


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ((), "10.0.0.1"),
        ((STRANGER,), STRANGER),
        ((f"{YOOKASSA}, {STRANGER}",), STRANGER),
        ((YOOKASSA, STRANGER), STRANGER),
        ((YOOKASSA, f"{YOOKASSA}, {STRANGER}, 10.0.0.2"), STRANGER),
        ((f"{YOOKASSA},{STRANGER},10.0.0.3,10.0.0.2",), STRANGER),
        ((f"{STRANGER}:51234",), STRANGER),
        ((f"  {STRANGER}\t",), STRANGER),
        ((f"{STRANGER}, ,",), STRANGER),
        (("2001:db8::7",), "2001:db8::7"),
        (("[2001:db8::7]",), "2001:db8::7"),
        (("[2001:db8::7]:51234",), "2001:db8::7"),
        (("2001:DB8:0:0::7",), "2001:db8::7"),
        ((f"::ffff:{STRANGER}",), STRANGER),
        ((f"[::ffff:{STRANGER}]:80",), STRANGER),
        (("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ((f"{YOOKASSA}, {STRANGER}, ::ffff:10.0.0.3, [::ffff:a00:2]:443",), STRANGER),
        ((f", ,{YOOKASSA},,{STRANGER}, ,",), STRANGER),
        ((f"{YOOKASSA}, fe80::1%eth0",), "fe80::1%eth0"),
        ((", ".join([YOOKASSA] * 10_000 + [STRANGER] + ["10.0.0.2"] * 10_000),), STRANGER),
    ],
)
def test_behind_trusted_proxies_the_last_one_they_do_not_know_counts(lines: tuple[str, ...], answer: str) -> None:
    assert asked("10.0.0.1", *lines, trusted=("10.0.0.0/24",)) == answer


@pytest.mark.parametrize(
    "hop",
    [
        "unknown",
        "_hidden",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.02.03.04",
        "0x7f.1",
        "2130706433",
        "127.1",
        "::g",
        "[]",
        ":80",
        "185.71.76.1/27",
        "localhost",
        "１８５.71.76.1",
        "185.71.76.1 185.71.76.2",
        '"185.71.76.1"',
        "for=185.71.76.1",
        "x" * 10_000,
        "1" * 10_000,
        "::" * 5_000,
        f"{YOOKASSA}:80:80",
        f"{YOOKASSA}%eth0",
        "[2a02:5180::1",
        "[2a02:5180::1]x",
        "[2a02:5180::1]:https",
        "2a02:5180::1]",
        "[[2a02:5180::1]]",
        f"{YOOKASSA}:",
        f"{YOOKASSA}:https",
        f"{YOOKASSA}:999999",
        "unix:",
        "-",
        "\u0661\u0668\u0665.71.76.1",
        "\x00",
    ],
)
def test_a_hop_that_is_no_address_ends_the_search_without_an_answer(hop: str) -> None:
    assert asked("10.0.0.1", f"{YOOKASSA}, {hop}", trusted=("10.0.0.0/24",)) is None
    assert asked("10.0.0.1", f"{YOOKASSA}, {hop}, 10.0.0.2", trusted=("10.0.0.0/24",)) is None


@pytest.mark.parametrize("peer", ["", "unix:", "not an address"])
def test_an_unknown_peer_is_nobody_whatever_it_says(peer: str) -> None:
    assert asked(peer, YOOKASSA, trusted=("0.0.0.0/0", "::/0")) is None


def test_a_peer_on_a_dual_stack_socket_is_known_by_its_ipv4_address() -> None:
    assert asked("::ffff:10.0.0.1", STRANGER, trusted=("10.0.0.0/24",)) == STRANGER
    assert asked("::ffff:203.0.113.66", YOOKASSA, trusted=("10.0.0.0/24",)) == STRANGER


def test_proxies_may_have_ipv6_addresses() -> None:
    trusted = ("fd00::/8", "::1/128")
    assert asked("fd00::1", f"{YOOKASSA}, {STRANGER}", trusted=trusted) == STRANGER
    assert asked("::1", f"{STRANGER}, fd00::2", trusted=trusted) == STRANGER
    assert asked("fd00:0:0:0:0:0:0:1", "[2001:db8::7]:1", trusted=trusted) == "2001:db8::7"
    assert asked("fe00::1", YOOKASSA, trusted=trusted) == "fe00::1"


def test_a_scope_does_not_make_another_address_of_it() -> None:
    assert asked("fe80::1%eth0", STRANGER, trusted=("fe80::/10",)) == STRANGER


def test_only_a_mapped_address_is_the_ipv4_one() -> None:
    """The other ways of putting an IPv4 address into an IPv6 one say where to, not from where."""
    published = networks(f"{YOOKASSA}/32")
    for text in ("::ffff:185.71.76.1", "::ffff:b947:4c01", "0:0:0:0:0:FFFF:185.71.76.1", "::ffff:185.71.76.1%eth0"):
        assert asked(text) == YOOKASSA
    for text in (
        "::185.71.76.1",
        "2002:b947:4c01::1",
        "64:ff9b::185.71.76.1",
        "2001:0:b947:4c01::",
        "::ffff:0:b947:4c01",
    ):
        assert not within(client_address(request(text), ()), published)


def test_within() -> None:
    published = networks("185.71.76.0/27", "2a02:5180::/32")
    assert within(IPv4Address("185.71.76.31"), published)
    assert within(IPv6Address("2a02:5180::ffff"), published)
    assert not within(IPv4Address("185.71.76.32"), published)
    assert not within(IPv6Address("2a02:5181::"), published)
    assert not within(None, networks("0.0.0.0/0", "::/0"))
    assert not within(IPv4Address("1.1.1.1"), ())


header_text = st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n\x00"), max_size=60)
addresses = st.ip_addresses().map(str)
hops = st.lists(header_text | addresses | st.sampled_from([YOOKASSA, "127.0.0.1", "10.0.0.1", ""]), max_size=5).map(
    ",".join
)
strangers = st.ip_addresses().filter(lambda address: address not in ip_network("10.0.0.0/24"))


def plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4-mapped address as the IPv4 address that it is."""
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


@given(peer=st.ip_addresses(), lines=st.lists(hops, max_size=3))
def test_an_untrusted_peer_is_the_answer_whatever_it_writes(peer: IPv4Address | IPv6Address, lines: list[str]) -> None:
    assert client_address(request(str(peer), *lines), ()) == plain(peer)


@given(peer=strangers, lines=st.lists(hops, max_size=3), port=st.none() | st.integers(1, 65_535))
def test_the_peer_that_one_trusted_proxy_saw_is_the_answer_whatever_it_wrote(
    peer: IPv4Address | IPv6Address, lines: list[str], port: int | None
) -> None:
    seen = str(peer) if port is None else f"[{peer}]:{port}" if peer.version == 6 else f"{peer}:{port}"
    if plain(peer) in ip_network("10.0.0.0/24"):
        return
    answer = client_address(request("10.0.0.1", *lines, seen), networks("10.0.0.0/24"))
    assert answer == plain(peer)


@given(line=header_text)
def test_no_header_is_an_error(line: str) -> None:
    client_address(request("10.0.0.1", line), networks("10.0.0.0/24"))
