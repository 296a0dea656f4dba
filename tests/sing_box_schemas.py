"""What sing-box read before 1.12, as strict models: a form that is too new or too old for a version is an error, as it is there.

https://sing-box.sagernet.org/deprecated/ says when each old form ended, /configuration/ since when each new one is known.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tests.format_schemas import (
    DirectOutbound,
    HijackDns,
    Log,
    NearRule,
    SelectorOutbound,
    SingBox,
    Snake,
    Sniff,
    Text,
    Tun,
    VlessOutbound,
    sing_box,
)


class AddressedDns(Snake):
    """Until 1.13."""

    tag: Text
    address: Annotated[str, Field(pattern=r"^(local|https://[0-9.]+/dns-query)$")]
    detour: Text


class OutboundDnsRule(Snake):
    """Until 1.13: how the names of servers are found."""

    outbound: Literal["any"]
    server: Text


class OldDns(Snake):
    servers: list[AddressedDns]
    rules: list[OutboundDnsRule]
    final: Text
    strategy: Literal["prefer_ipv4", "prefer_ipv6", "ipv4_only", "ipv6_only"]


class SniffingTun(Tun):
    """Until 1.12."""

    sniff: Literal[True]


class TwoAddressesTun(Snake):
    """Until 1.10, where it is known but about to go."""

    type: Literal["tun"]
    tag: Text
    inet4_address: Text
    inet6_address: Text
    auto_route: bool
    strict_route: bool
    sniff: Literal[True]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        assert IPv4Interface(self.inet4_address)
        assert IPv6Interface(self.inet6_address)
        return self


class DnsOutbound(Snake):
    """Until 1.12."""

    type: Literal["dns"]
    tag: Text


class OldDnsRule(Snake):
    protocol: Literal["dns"]
    outbound: Text


class OldNearRule(Snake):
    ip_is_private: Literal[True]
    outbound: Text


class Route11(Snake):
    rules: list[Sniff | HijackDns | NearRule]
    final: Text
    auto_detect_interface: bool


class OldRoute(Snake):
    rules: list[OldDnsRule | OldNearRule]
    final: Text
    auto_detect_interface: bool


class _Older(Snake):
    log: Log
    dns: OldDns
    inbounds: list[Any]
    outbounds: list[Any]
    route: Any

    @model_validator(mode="after")
    def _refers(self) -> Self:
        tags = [outbound.tag for outbound in self.outbounds]
        resolvers = {server.tag for server in self.dns.servers}
        assert len(tags) == len(set(tags)), "tags are unique"
        assert {self.dns.final, *(rule.server for rule in self.dns.rules)} <= resolvers
        used = [self.route.final, *(server.detour for server in self.dns.servers)]
        used += [rule.outbound for rule in self.route.rules if hasattr(rule, "outbound")]
        for outbound in self.outbounds:
            used += outbound.outbounds if isinstance(outbound, SelectorOutbound) else []
        assert set(used) <= set(tags)
        return self


Outbounds11 = Annotated[VlessOutbound | DirectOutbound | SelectorOutbound, Field(discriminator="type")]
OldOutbounds = Annotated[VlessOutbound | DirectOutbound | SelectorOutbound | DnsOutbound, Field(discriminator="type")]


class SingBox11(_Older):
    inbounds: list[Tun]
    outbounds: list[Outbounds11]
    route: Route11


class SingBox10(_Older):
    inbounds: list[SniffingTun]
    outbounds: list[OldOutbounds]
    route: OldRoute


class SingBox8(_Older):
    inbounds: list[TwoAddressesTun]
    outbounds: list[OldOutbounds]
    route: OldRoute


def read(data: Any, version: tuple[int, int]) -> SingBox | SingBox11 | SingBox10 | SingBox8:
    """A configuration as sing-box of this version reads it. Raises ValidationError."""
    if version >= (1, 12):
        return sing_box(data)
    if version >= (1, 11):
        return SingBox11.model_validate(data)
    return (SingBox10 if version >= (1, 10) else SingBox8).model_validate(data)
