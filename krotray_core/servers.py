"""The fleet: adding, changing, listing, switching and removing Xray servers."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from krotray_core import health, links, provisioning, settings, traffic
from krotray_core.db import transaction
from krotray_core.errors import Conflict, Invalid, NotFound, XrayError, XrayUnavailable
from krotray_core.models import Seat, Server
from krotray_core.xray.operations import Account
from krotray_core.xray.tls import Tls

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}", re.ASCII)


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
    name = name.strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise Invalid("a server's name has 1 to 64 characters, all of them printable")
    if vless_url_template is None and settings.get().vless_url_template is None:
        raise Invalid("neither the server nor VLESS_URL_TEMPLATE says how its links look")
    given = Change(host, grpc_port, max_users, inbound_tag, vless_url_template, tls)
    server = Server(name=name, **{"inbound_tag": settings.get().xray_inbound_tag} | given.columns())
    try:
        with transaction() as session:
            session.add(server)
    except IntegrityError:
        raise Conflict(f"there is a server named {name}, or one at {server.target}, already") from None
    health.look(server)
    twin = _twin(server)
    if twin:
        with transaction() as session:
            session.execute(delete(Server).where(Server.id == server.id))
        raise Conflict(f"{server.target} is the Xray of {twin}, under another address; see flask servers change")
    return provisioning.find(server.id)


@dataclass(frozen=True, slots=True)
class Change:
    """What of a server is given; None leaves it as it is."""

    host: str | None = None
    grpc_port: int | None = None
    max_users: int | None = None
    inbound_tag: str | None = None
    vless_url_template: str | None = None
    tls: Tls | None = None

    def columns(self) -> dict[str, Any]:
        """What it is in the table. Raises Invalid."""
        columns: dict[str, Any] = {"host": checked_host(self.host)} if self.host is not None else {}
        if self.grpc_port is not None and not 1 <= self.grpc_port <= 65_535:
            raise Invalid("a port is a number from 1 to 65535")
        if self.max_users is not None and self.max_users < 1:
            raise Invalid("a server has room for at least one user")
        if self.vless_url_template is not None:
            try:
                links.check_template(self.vless_url_template)
            except ValueError as error:
                raise Invalid(f"the VLESS link template {error}") from None
        for given in ("grpc_port", "max_users", "inbound_tag", "vless_url_template"):
            if getattr(self, given):
                columns[given] = getattr(self, given)
        if self.tls is not None:
            try:
                self.tls.contents()
            except (OSError, ValueError) as error:
                raise Invalid(f"TLS: {error}") from None
            columns |= {"tls_ca": self.tls.ca, "tls_cert": self.tls.cert, "tls_key": self.tls.key}
        return columns


def change(name: str, given: Change, *, plain: bool = False) -> Server:
    """Changes what is given of a server; `plain` takes its TLS away. Everybody on it is sent again when the way to it changes.

    Raises NotFound, Invalid; Conflict when another server is there, or more people are on it than it is to have room for.
    """
    columns = given.columns() | ({"tls_ca": None, "tls_cert": None, "tls_key": None} if plain else {})
    server_id = by_name(name).id
    try:
        with transaction() as session:
            # It may be another Xray now, or another inbound or flow: what has been confirmed says nothing about that one.
            if columns.keys() - {"max_users"}:
                traffic.forget(session, server_id)
                health.soil(session, server_id, Seat.wanted.is_(True))
                columns |= {"is_up": None, "started_at": None, "state_since": None, "last_error": None}
            session.execute(update(Server).where(Server.id == server_id).values(**columns))
    except IntegrityError:
        raise Conflict(f"another server is at that address, or more people are on {name} than that") from None
    health.look(provisioning.find(server_id))
    return provisioning.find(server_id)


def _twin(server: Server) -> str | None:
    """The server whose Xray this one is as well: it holds everybody who has been let in there."""
    try:
        held = provisioning.client(server).users()
    except (XrayError, XrayUnavailable):
        return None
    with transaction() as session:
        settled = select(Server.name, Seat.email, Seat.uuid).join(Seat, Seat.server_id == Server.id)
        rows = session.execute(settled.where(Server.id != server.id, Seat.wanted, ~Seat.dirty)).all()
    everybody: dict[str, bool] = {}
    for name, email, key in rows:
        here = email in held and held[email].opens_like(Account(key, held[email].flow))
        everybody[name] = everybody.get(name, True) and here
    return next((name for name, here in everybody.items() if here), None)


def checked_host(host: str) -> str:
    """A host's name or address in the form that is kept. Raises Invalid."""
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


def remove(name: str, *, lost: bool = False) -> None:
    """Forgets a server on which nobody has a seat any more. Raises NotFound, Conflict.

    `lost`: also one that is down and will not come back to confirm that the last ones are gone. Should it do so after all, it
    lets in whom it still holds, and nobody knows.
    """
    server_id = by_name(name).id
    with transaction() as session:
        traffic.forget(session, server_id)
        session.scalars(select(Seat.id).where(Seat.server_id == server_id).order_by(Seat.id).with_for_update()).all()
        server = session.get_one(Server, server_id, with_for_update=True)
        if server.active_users:
            raise Conflict(
                f"{server.active_users} people still have a seat on {name}; flask servers evacuate moves them"
            )
        unconfirmed = session.scalar(select(func.count()).where(Seat.server_id == server.id, Seat.dirty))
        if unconfirmed and server.is_up:
            raise Conflict(f"{name} has not confirmed yet that the last ones are gone; try again in a moment")
        if unconfirmed and not lost:
            raise Conflict(
                f"{name} is down and has not confirmed that the last ones are gone; --lost if it is gone for good"
            )
        session.execute(delete(Seat).where(Seat.server_id == server.id))
        session.delete(server)
