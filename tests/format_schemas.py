"""The parts of Mihomo's and sing-box's configurations that we write, as strict models made from their documentation.

https://wiki.metacubex.one/en/config/proxies/vless/ and .../transport/, https://sing-box.sagernet.org/configuration/ (1.12;
what came before it is in sing_box_schemas.py).
Unknown names, wrong types and names that do not refer to anything are errors, as they are for the programs.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Path = Annotated[str, StringConstraints(pattern="^/")]
ShortId = Annotated[str, StringConstraints(pattern="^([0-9a-f]{2}){0,8}$")]
Fingerprint = Literal["chrome", "firefox", "edge", "safari", "360", "qq", "ios", "android", "random", "randomized"]


class Strict(BaseModel):
    """Nothing unknown, nothing converted; names with dashes."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=lambda name: name.replace("_", "-"))


# --- Mihomo ---


class WsOptions(Strict):
    path: Path
    headers: dict[str, str] = {}
    max_early_data: Annotated[int, Field(ge=1)] | None = None
    early_data_header_name: Text | None = None
    v2ray_http_upgrade: bool = False
    v2ray_http_upgrade_fast_open: bool = False


class GrpcOptions(Strict):
    grpc_service_name: str


class XhttpOptions(Strict):
    path: Path
    host: Text | None = None
    mode: Literal["stream-one", "stream-up", "packet-up"] | None = None
    headers: dict[str, str] = {}
    no_grpc_header: bool = False
    x_padding_bytes: Text | None = None


class RealityOptions(Strict):
    public_key: Text
    short_id: ShortId


class ClashProxy(Strict):
    name: Text
    type: Literal["vless"]
    server: Text
    port: Port
    uuid: Text
    udp: bool
    packet_encoding: Literal["xudp", "packetaddr"]
    encryption: Text | None = None
    flow: Literal["xtls-rprx-vision"] | None = None
    tls: bool
    servername: Text | None = None
    client_fingerprint: Fingerprint | None = None
    alpn: list[Text] = []
    reality_opts: RealityOptions | None = None
    network: Literal["tcp", "ws", "grpc", "xhttp"]
    ws_opts: WsOptions | None = None
    grpc_opts: GrpcOptions | None = None
    xhttp_opts: XhttpOptions | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        UUID(self.uuid)
        options = {"ws": self.ws_opts, "grpc": self.grpc_opts, "xhttp": self.xhttp_opts}
        given = [name for name, value in options.items() if value is not None]
        assert given == [self.network] * (self.network != "tcp")
        assert self.tls or not (self.reality_opts or self.servername or self.client_fingerprint or self.alpn)
        assert self.client_fingerprint or not self.reality_opts, "REALITY needs a fingerprint"
        assert self.network == "tcp" or not self.flow
        return self


class ClashGroup(Strict):
    name: Text
    type: Literal["select"]
    proxies: Annotated[list[Text], Field(min_length=1)]


class ClashDns(Strict):
    enable: bool
    ipv6: bool
    enhanced_mode: Literal["fake-ip", "redir-host"]
    fake_ip_range: Text
    nameserver: Annotated[list[Text], Field(min_length=1)]


class Clash(Strict):
    mixed_port: Port
    mode: Literal["rule", "global", "direct"]
    log_level: Literal["silent", "error", "warning", "info", "debug"]
    ipv6: bool
    dns: ClashDns
    proxies: Annotated[list[ClashProxy], Field(min_length=1)]
    proxy_groups: list[ClashGroup]
    rules: list[str]

    @model_validator(mode="after")
    def _refers(self) -> Self:
        names = [proxy.name for proxy in self.proxies] + [group.name for group in self.proxy_groups]
        builtin = {"DIRECT", "REJECT", "REJECT-DROP", "PASS", "COMPATIBLE", "GLOBAL"}
        assert len(names) == len(set(names)), "names are unique"
        assert not builtin & set(names)
        assert all(name in names for group in self.proxy_groups for name in group.proxies)
        for rule in self.rules:
            kind, *rest = rule.split(",")
            target = rest[0] if kind == "MATCH" else rest[1]
            assert kind in ("MATCH", "IP-CIDR", "IP-CIDR6")
            assert target in {*names, *builtin}
        assert self.rules[-1].startswith("MATCH,")
        return self


# --- sing-box ---


class Snake(BaseModel):
    """Nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Utls(Snake):
    enabled: Literal[True]
    fingerprint: Fingerprint


class Reality(Snake):
    enabled: Literal[True]
    public_key: Text
    short_id: ShortId


class Tls(Snake):
    enabled: Literal[True]
    server_name: Text | None = None
    alpn: list[Text] = []
    utls: Utls | None = None
    reality: Reality | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        assert self.utls or not self.reality, "uTLS is required by reality client"
        return self


class WsTransport(Snake):
    type: Literal["ws"]
    path: Path
    headers: dict[str, str] = {}
    max_early_data: Annotated[int, Field(ge=1, le=2**32 - 1)] | None = None
    early_data_header_name: Text | None = None


class GrpcTransport(Snake):
    type: Literal["grpc"]
    service_name: str


class UpgradeTransport(Snake):
    type: Literal["httpupgrade"]
    host: Text | None = None
    path: Path


class VlessOutbound(Snake):
    type: Literal["vless"]
    tag: Text
    server: Text
    server_port: Port
    uuid: Text
    flow: Literal["xtls-rprx-vision"] | None = None
    packet_encoding: Literal["xudp", "packetaddr", ""]
    tls: Tls | None = None
    transport: Annotated[WsTransport | GrpcTransport | UpgradeTransport, Field(discriminator="type")] | None = None


class DirectOutbound(Snake):
    type: Literal["direct"]
    tag: Text


class SelectorOutbound(Snake):
    type: Literal["selector"]
    tag: Text
    outbounds: Annotated[list[Text], Field(min_length=1)]


class HttpsDns(Snake):
    type: Literal["https"]
    tag: Text
    server: Text
    detour: Text


class LocalDns(Snake):
    type: Literal["local"]
    tag: Text


class Dns(Snake):
    servers: list[Annotated[HttpsDns | LocalDns, Field(discriminator="type")]]
    final: Text
    strategy: Literal["prefer_ipv4", "prefer_ipv6", "ipv4_only", "ipv6_only"]


class Tun(Snake):
    type: Literal["tun"]
    tag: Text
    address: list[Text]
    auto_route: bool
    strict_route: bool


class Sniff(Snake):
    action: Literal["sniff"]


class HijackDns(Snake):
    protocol: Literal["dns"]
    action: Literal["hijack-dns"]


class NearRule(Snake):
    ip_is_private: Literal[True]
    action: Literal["route"]
    outbound: Text


class Route(Snake):
    rules: list[Sniff | HijackDns | NearRule]
    final: Text
    auto_detect_interface: bool
    default_domain_resolver: Text


class Log(Snake):
    level: Literal["trace", "debug", "info", "warn", "error", "fatal", "panic"]


class SingBox(Snake):
    log: Log
    dns: Dns
    inbounds: list[Tun]
    outbounds: list[Annotated[VlessOutbound | DirectOutbound | SelectorOutbound, Field(discriminator="type")]]
    route: Route

    @model_validator(mode="after")
    def _refers(self) -> Self:
        tags = [outbound.tag for outbound in self.outbounds]
        resolvers = [server.tag for server in self.dns.servers]
        assert len(tags) == len(set(tags)), "tags are unique"
        assert {self.dns.final, self.route.default_domain_resolver} <= set(resolvers)
        used = [self.route.final, *(server.detour for server in self.dns.servers if isinstance(server, HttpsDns))]
        used += [rule.outbound for rule in self.route.rules if isinstance(rule, NearRule)]
        for outbound in self.outbounds:
            if isinstance(outbound, SelectorOutbound):
                used += outbound.outbounds
                assert outbound.tag not in outbound.outbounds
        assert set(used) <= set(tags)
        for inbound in self.inbounds:
            assert [
                type(kind(text)) for kind, text in zip((IPv4Interface, IPv6Interface), inbound.address, strict=True)
            ]
        return self


def clash(data: Any) -> Clash:
    """A configuration of Mihomo. Raises ValidationError."""
    return Clash.model_validate(data)


def sing_box(data: Any) -> SingBox:
    """A configuration of sing-box. Raises ValidationError."""
    return SingBox.model_validate(data)
