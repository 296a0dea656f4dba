"""Where a request really comes from. X-Forwarded-For is believed only from the proxies named in TRUSTED_PROXIES."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from flask import Request, g
from flask import request as flask_request

from krotray_core import settings
from krotray_core.settings import IPNetwork

Address = IPv4Address | IPv6Address

_DRESSED = re.compile(r"\[(?P<ipv6>[^]]+)\](:[0-9]{1,5})?|(?P<ipv4>[^:]+):[0-9]{1,5}")


def client_address(request: Request, trusted: Iterable[IPNetwork]) -> Address | None:
    """The address of whoever called us, past our own proxies; None where it cannot be known.

    The header is read from its right end: each trusted proxy added the peer that it saw, everything left of the first
    untrusted one was written by a stranger.
    """
    trusted = tuple(trusted)
    hops = [request.remote_addr or "", *_forwarded(request)[::-1]]
    address = None
    for hop in hops:
        address = _parse(hop)
        if address is None or not within(address, trusted):
            return address
    return address


def from_proxy(request: Request, trusted: Iterable[IPNetwork]) -> bool:
    """Whether one of our own proxies has handed us this request: its headers are what it has made of them."""
    return within(_parse(request.remote_addr or ""), tuple(trusted))


def from_yookassa() -> bool:
    """Whether the present request comes from one of YooKassa's addresses; found out once."""
    if "from_yookassa" not in g:
        s = settings.get()
        g.from_yookassa = within(client_address(flask_request, s.trusted_proxies), s.yookassa_networks)
    return bool(g.from_yookassa)


def _forwarded(request: Request) -> list[str]:
    return [hop for line in request.headers.getlist("X-Forwarded-For") for hop in line.split(",") if hop.strip()]


def _parse(text: str) -> Address | None:
    """An address as proxies write it, with brackets and a port too; an IPv4-mapped IPv6 address is the IPv4 one."""
    text = text.strip()
    dressed = _DRESSED.fullmatch(text)
    try:
        address = ip_address(dressed["ipv6"] or dressed["ipv4"] if dressed else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def within(address: Address | None, networks: Iterable[IPNetwork]) -> bool:
    """Whether the address is in one of the networks; an unknown one is in none."""
    return address is not None and any(address in network for network in networks)
