"""Which server of the old service is which of ours, and what a new one looks like. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from krotray_core import links, servers
from krotray_core.errors import Invalid
from krotray_core.legacy.present import Present
from krotray_core.legacy.report import Report
from krotray_core.legacy.rows import OldServer
from krotray_core.models import Server

# Where the old service sets no limit there is one that it can be raised from.
ROOM = 100


@dataclass(slots=True)
class Place:
    """A server that people are seated on: one of ours (`known`), or one to be added. `coming` counts its new seats."""

    name: str
    host: str
    grpc_port: int
    max_users: int
    enabled: bool
    template: str | None = None
    known: Server | None = None
    coming: int = 0

    @property
    def taken(self) -> int:
        """Seats on it, those to come included."""
        return self.coming + (self.known.active_users if self.known else 0)

    @property
    def open(self) -> bool:
        """Whether there is room for somebody who was not on it."""
        closed = self.known is not None and self.known.draining
        return self.enabled and not closed and self.taken < self.max_users


@dataclass(slots=True)
class Fleet:
    """All places, and which id of the old service means which."""

    places: list[Place] = field(default_factory=list)
    by_old_id: dict[str, Place] = field(default_factory=dict)

    def emptiest(self) -> Place | None:
        """Where somebody without a place is seated."""
        return min((place for place in self.places if place.open), key=lambda place: place.taken, default=None)


def plan(old: Iterable[OldServer], present: Present, default_template: str | None, report: Report) -> Fleet:
    """Known ones (the same address, else the same name) are used as they are, the rest is to be added."""
    fleet = Fleet()
    for ours in present.servers:
        fleet.places.append(Place(ours.name, ours.host, ours.grpc_port, ours.max_users, ours.enabled, None, ours))
    for server in old:
        try:
            host = servers.checked_host(server.host)
        except Invalid as error:
            report.refuse("servers", server.id, str(error))
            continue
        if server.id in fleet.by_old_id:
            report.refuse("servers", server.id, "the same id once more")
            continue
        here = [one for one in fleet.places if (one.host, one.grpc_port) == (host, server.grpc_port)]
        place = next(iter(here or [one for one in fleet.places if one.name == server.name]), None)
        if place is None:
            place = Place(
                server.name, host, server.grpc_port, server.max_users or ROOM, server.enabled, server.template
            )
            fleet.places.append(place)
            report.count("servers", "added")
        else:
            report.count("servers", "same")
            if not here:
                report.remark(
                    "skipped", "servers", server.id, f"{place.name} is known here at another address, which stays"
                )
        fleet.by_old_id[server.id] = place
        _look_at_links(server, place, default_template, report)
    return fleet


def _look_at_links(server: OldServer, place: Place, default: str | None, report: Report) -> None:
    """The flow is a part of the account in Xray: with another one the keys that people have would stop opening."""
    used = (place.known.vless_url_template if place.known else place.template) or default
    if used is None:
        report.stops.append(
            f"server {server.name}: neither it nor VLESS_URL_TEMPLATE says how its links look"
            + (f" ({server.template_fault})" if server.template_fault else "")
        )
    elif server.template_fault and place.known is None:
        report.stops.append(
            f"server {server.name}: {server.template_fault}; add it by hand first: flask servers add"
            f" --host {place.host} --grpc-port {place.grpc_port} --vless-url-template ..."
        )
    elif server.template and place.known and links.flow(server.template) != links.flow(used):
        report.remark(
            "changed", "servers", server.id, f"{place.name} has another flow in its links here: old links end"
        )
    elif server.template_fault:
        report.remark("skipped", "servers", server.id, f"{server.template_fault}; {place.name} has its own here")
