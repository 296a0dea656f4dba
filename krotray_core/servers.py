"""The fleet: adding, listing, switching and checking Xray servers."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from krotray_core import health, links, provisioning, settings
from krotray_core.db import transaction
from krotray_core.errors import Conflict, Invalid, NotFound, XrayError, XrayUnavailable
from krotray_core.models import Seat, Server
from krotray_core.xray.channels import Tls
from krotray_core.xray.client import CUTOFF_PREFIX, XrayClient

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}", re.ASCII)
# Loopback, private and link-local. Python's own `is_private` also takes ranges in that are merely reserved.
_NEAR = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


def add(
    *,
    name: str,
    host: str,
    grpc_port: int,
    max_users: int,
    inbound_tag: str | None,
    vless_url_template: str | None,
    tls: Tls | None = None,
) -> Server:
    """A new server, open to buyers as soon as it answers. Without a template of its own it uses VLESS_URL_TEMPLATE.

    Raises Invalid, Conflict when the name is taken or the Xray is known under another one.
    """
    if tls is not None:
        try:
            tls.credentials()
        except (OSError, ValueError) as error:
            raise Invalid(f"TLS: {error}") from None
    name = name.strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise Invalid("a server's name has 1 to 64 characters, all of them printable")
    if not 1 <= grpc_port <= 65_535:
        raise Invalid("a port is a number from 1 to 65535")
    if max_users < 1:
        raise Invalid("a server has room for at least one user")
    if vless_url_template is not None:
        try:
            links.check_template(vless_url_template)
        except ValueError as error:
            raise Invalid(f"the VLESS link template {error}") from None
    elif settings.get().vless_url_template is None:
        raise Invalid("neither the server nor VLESS_URL_TEMPLATE says how its links look")
    server = Server(
        name=name,
        host=_checked_host(host),
        grpc_port=grpc_port,
        max_users=max_users,
        inbound_tag=inbound_tag or settings.get().xray_inbound_tag,
        vless_url_template=vless_url_template,
        tls_ca=tls.ca if tls else None,
        tls_cert=tls.cert if tls else None,
        tls_key=tls.key if tls else None,
    )
    try:
        with transaction() as session:
            session.add(server)
    except IntegrityError:
        raise Conflict(f"there is a server named {name}, or one at {server.target}, already") from None
    health.look(server)
    return provisioning.find(server.id)


def _checked_host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        if _HOST_NAME.fullmatch(host):
            return host
        raise Invalid("a host is a name or an address, without a port") from None


def add_first() -> tuple[Server, bool]:
    """The server that the XRAY_* settings describe, and whether it is new. Raises Invalid when they are incomplete."""
    s = settings.get()
    if not (s.xray_server_name and s.xray_server_host and s.xray_grpc_port and s.xray_max_users):
        needed = ("XRAY_SERVER_NAME", "XRAY_SERVER_HOST", "XRAY_GRPC_PORT", "XRAY_MAX_USERS")
        raise Invalid(f"not set: {', '.join(name for name in needed if not getattr(s, name.lower()))}")
    try:
        return by_name(s.xray_server_name.strip()), False
    except NotFound:
        server = add(
            name=s.xray_server_name,
            host=s.xray_server_host,
            grpc_port=s.xray_grpc_port,
            max_users=s.xray_max_users,
            inbound_tag=s.xray_inbound_tag,
            vless_url_template=None,
        )
        return server, True


def by_name(name: str) -> Server:
    """The server of this name. Raises NotFound."""
    with transaction() as session:
        server = session.scalar(select(Server).where(Server.name == name))
    if server is None:
        raise NotFound(f"no server named {name}")
    return server


def everyone() -> list[Server]:
    """All servers, by name."""
    with transaction() as session:
        return list(session.scalars(select(Server).order_by(Server.name)))


def switch(name: str, *, enabled: bool) -> Server:
    """Opens a server to new buyers or closes it to them; those who are on it stay. Raises NotFound."""
    server_id = by_name(name).id
    with transaction() as session:
        server = session.get_one(Server, server_id, with_for_update=True)
        server.enabled = enabled
        return server


def remove(name: str) -> None:
    """Forgets a server on which nobody has a seat any more. Raises NotFound, Conflict."""
    server_id = by_name(name).id
    with transaction() as session:
        session.scalars(select(Seat.id).where(Seat.server_id == server_id).order_by(Seat.id).with_for_update()).all()
        server = session.get_one(Server, server_id, with_for_update=True)
        if server.active_users:
            raise Conflict(
                f"{server.active_users} people still have a seat on {name}; disable it and let them run out first"
            )
        if session.scalar(select(func.count()).where(Seat.server_id == server.id, Seat.dirty)):
            raise Conflict(f"{name} has not confirmed yet that the last ones are gone; try again when it answers")
        session.execute(delete(Seat).where(Seat.server_id == server.id))
        session.delete(server)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check: `level` is ok, warning or failed."""

    level: str
    text: str


def check(name: str) -> list[Finding]:
    """Looks at a server from our side and over its gRPC API. Changes nothing. Raises NotFound."""
    server = by_name(name)
    findings = [_check_count(server), _check_way(server)]
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
            " ask for one there (docs/xray-tls.md) and add it with --tls-cert and --tls-key",
        )
    if public:
        return Finding(
            "warning",
            f"PLAIN TEXT to {public}, neither loopback nor a private network: whoever reaches that port, or listens"
            " on the way, can take this server over; put TLS in front of its API (docs/xray-tls.md) and add it with"
            " --tls-ca, --tls-cert and --tls-key",
        )
    return Finding("ok", "plain text, but only over loopback or a private network")


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
