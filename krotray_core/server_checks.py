"""Looking at a server from our side and over its gRPC API, for whoever runs it. Changes nothing.

Its clock cannot be looked at: Xray's API tells how long it has been up, but never what time it is. NTP has to
run there (docs/xray-tls.md).
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from krotray_core import certificates, clock, provisioning
from krotray_core.db import transaction
from krotray_core.errors import XrayError, XrayUnavailable
from krotray_core.models import Seat, Server
from krotray_core.servers import by_name
from krotray_core.xray.operations import CUTOFF_PREFIX
from krotray_core.xray.tls import Tls

if TYPE_CHECKING:
    from krotray_core.xray.client import XrayClient

# Loopback, private and link-local. Python's own `is_private` also takes ranges in that are merely reserved.
_NEAR = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check: `level` is ok, warning or failed."""

    level: str
    text: str


def check(name: str) -> list[Finding]:
    """What there is to say about this server. Raises NotFound."""
    server = by_name(name)
    findings = [_check_count(server), _check_way(server), *_check_certificates(server)]
    try:
        xray = provisioning.client(server)
        findings.append(Finding("ok", f"answers at {server.target}, up for {xray.uptime()} s"))
        findings.append(Finding("ok", f"inbound {server.inbound_tag} holds {len(xray.users())} users"))
        findings.append(_check_cutoff(xray))
    except (XrayError, XrayUnavailable) as error:
        findings.append(Finding("failed", f"{server.target}: {error}"))
    return findings


def _check_way(server: Server) -> Finding:
    """Whoever reaches the plain port of the gRPC API owns the server: it has neither login nor encryption."""
    if server.tls_cert is not None:
        return Finding("ok", "the way to it is mutual TLS")
    try:
        found = socket.getaddrinfo(server.host, server.grpc_port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Finding("failed", f"{server.host} has no address: {error}")
    public = ", ".join(sorted({str(entry[4][0]) for entry in found if not _is_near(str(entry[4][0]))}))
    if server.tls_ca is not None:
        if not public:
            return Finding("ok", "the way to it is TLS, without a certificate of ours")
        return Finding(
            "warning",
            f"TLS to {public}, but without a certificate of ours: whoever reaches that port can take this server over;"
            " ask for one there (docs/xray-tls.md) then flask servers change --tls-cert --tls-key",
        )
    if public:
        return Finding(
            "warning",
            f"PLAIN TEXT to {public}, neither loopback nor a private network: whoever reaches that port, or listens"
            " on the way, can take this server over; put TLS in front of its API (docs/xray-tls.md), then"
            " flask servers change --tls-ca --tls-cert --tls-key",
        )
    return Finding("ok", "plain text, but only over loopback or a private network")


def _check_certificates(server: Server) -> list[Finding]:
    """When they run out: ours as they lie in their files, the server's as it shows it."""
    if server.tls_ca is None:
        return []
    tls = Tls(server.tls_ca, server.tls_cert, server.tls_key)
    terms, findings = [], []
    try:
        terms += certificates.of_files(tls)
    except (OSError, ValueError) as error:
        findings.append(Finding("failed", f"our certificates cannot be read: {error}"))
    try:
        terms.append(certificates.of_peer(server.host, server.grpc_port, tls))
    except (OSError, ValueError) as error:
        findings.append(Finding("failed", f"the certificate of {server.target} cannot be looked at: {error}"))
    findings += [_check_term(term) for term in terms]
    return findings


def _check_term(term: certificates.Term) -> Finding:
    left, day = term.until - clock.now(), f"{term.until:%Y-%m-%d}"
    if left <= timedelta(0):
        return Finding("failed", f"{term.whose} ran out on {day}: nobody gets through; renew it (docs/xray-tls.md)")
    if left <= certificates.SOON:
        return Finding("warning", f"{term.whose} runs out on {day}, in {left.days} days: renew it (docs/xray-tls.md)")
    return Finding("ok", f"{term.whose} is good until {day}")


def _is_near(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in _NEAR)


def _check_count(server: Server) -> Finding:
    with transaction() as session:
        wanted = session.scalar(select(func.count()).where(Seat.server_id == server.id, Seat.wanted))
        counted = session.scalar(select(Server.active_users).where(Server.id == server.id))
    if wanted != counted:
        return Finding("failed", f"active_users says {counted}, but {wanted} seats are taken")
    return Finding("ok", f"{counted} of {server.max_users} seats are taken")


def _check_cutoff(xray: XrayClient) -> Finding:
    without = "expired users with a live connection are not cut off"
    if not xray.can_route():
        return Finding("warning", f"no RoutingService, or no `routing` section in its configuration: {without}")
    if xray.blackhole() is None:
        return Finding("warning", f"no blackhole outbound: {without}")
    foreign = [tag for tag in xray.rules() if not tag.startswith(CUTOFF_PREFIX)]
    if foreign:
        return Finding(
            "warning", f"{len(foreign)} routing rules stand before the cut-off rule; one that matches wins over it"
        )
    return Finding("ok", "can cut off expired users")
