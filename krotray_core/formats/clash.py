"""A configuration for Clash in its living form, Mihomo (and Stash): https://wiki.metacubex.one/en/config/"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from krotray_core.formats import common
from krotray_core.formats.common import UnsupportedError
from krotray_core.formats.vless import Node

GROUP = "🐾 KrotRay"
TRANSPORTS = frozenset({"tcp", "ws", "httpupgrade", "grpc", "xhttp"})
# Names with a meaning of their own in rules.
_TAKEN = (GROUP, "DIRECT", "REJECT", "REJECT-DROP", "PASS", "COMPATIBLE", "GLOBAL")
# What is in the same house is not sent abroad. GEOIP would have programs download a database first.
_NEAR = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
_NEAR_6 = ("::1/128", "fc00::/7", "fe80::/10")
_MODES = ("", "auto", "packet-up", "stream-up", "stream-one")


def emit(nodes: Sequence[Node]) -> str:
    """The whole configuration in YAML: these servers, one group to choose among them, everything through it.

    Raises UnsupportedError for a link that Mihomo has no words for.
    """
    proxies = [_proxy(node) for node in common.named(nodes, _TAKEN)]
    configuration = {
        "mixed-port": 7890,
        "mode": "rule",
        "log-level": "warning",
        "ipv6": True,
        # With fake addresses names are looked up at the other end; these here only find the server itself.
        "dns": {
            "enable": True,
            "ipv6": True,
            "enhanced-mode": "fake-ip",
            "fake-ip-range": "198.18.0.1/16",
            "nameserver": ["https://1.1.1.1/dns-query", "https://8.8.8.8/dns-query", "system"],
        },
        "proxies": proxies,
        "proxy-groups": [{"name": GROUP, "type": "select", "proxies": [proxy["name"] for proxy in proxies]}],
        "rules": [
            *(f"IP-CIDR,{network},DIRECT,no-resolve" for network in _NEAR),
            *(f"IP-CIDR6,{network},DIRECT,no-resolve" for network in _NEAR_6),
            f"MATCH,{GROUP}",
        ],
    }
    return yaml.dump(configuration, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1000)


class _Dumper(yaml.SafeDumper):
    """Quotes all texts but keys: a short id such as 12e4 is a text for PyYAML and a number for Go."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"')

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        for key, _ in node.value:
            key.style = None
        return node

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


_Dumper.add_representer(str, _Dumper.represent_text)


def _proxy(node: Node) -> dict[str, Any]:
    common.check(node, TRANSPORTS)
    proxy: dict[str, Any] = {
        "name": node.remark,
        "type": "vless",
        "server": node.host,
        "port": node.port,
        "uuid": str(node.key),
        "udp": True,
        "packet-encoding": "xudp",
    }
    if node.encryption not in ("", "none"):
        proxy["encryption"] = node.encryption
    if flow := common.flow(node):
        proxy["flow"] = flow
    proxy |= _security(node) | _transport(node)
    return proxy


def _security(node: Node) -> dict[str, Any]:
    if not common.secured(node):
        return {"tls": False}
    said: dict[str, Any] = {"tls": True}
    if name := common.server_name(node):
        said["servername"] = name
    if fingerprint := common.fingerprint(node):
        said["client-fingerprint"] = fingerprint
    if node.alpn:
        said["alpn"] = list(node.alpn)
    if node.security == "reality":
        said["reality-opts"] = {"public-key": node.public_key, "short-id": node.short_id}
    return said


def _transport(node: Node) -> dict[str, Any]:
    match node.transport:
        case "ws" | "httpupgrade":
            path, early = common.early_data(node.path or "/")
            options: dict[str, Any] = {"path": path}
            if node.host_header:
                options["headers"] = {"Host": node.host_header}
            if node.transport == "httpupgrade":
                options |= {"v2ray-http-upgrade": True} | ({"v2ray-http-upgrade-fast-open": True} if early else {})
            elif early:
                options |= {"max-early-data": early, "early-data-header-name": common.EARLY_DATA_HEADER}
            return {"network": "ws", "ws-opts": options}
        case "grpc":
            return {"network": "grpc", "grpc-opts": {"grpc-service-name": node.service_name}}
        case "xhttp":
            return {"network": "xhttp", "xhttp-opts": _xhttp(node)}
        case _:
            return {"network": "tcp"}


def _xhttp(node: Node) -> dict[str, Any]:
    if node.mode not in _MODES:
        raise UnsupportedError(f"mode {node.mode}")
    options: dict[str, Any] = {"path": node.path or "/"}
    if node.host_header:
        options["host"] = node.host_header
    if node.mode not in ("", "auto"):
        options["mode"] = node.mode
    return options | _extra(node.extra)


def _extra(text: str) -> dict[str, Any]:
    """XHTTP's finer points, as far as Mihomo knows them by the same meaning."""
    if not text:
        return {}
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsupportedError("extra is not JSON") from error
    if not isinstance(said, dict):
        raise UnsupportedError("extra is not an object")
    said.pop("xmux", None)  # how a program reuses connections is its own affair
    options: dict[str, Any] = {}
    for name, value in said.items():
        match name, value:
            case "xPaddingBytes", int() | str() if not isinstance(value, bool):
                options["x-padding-bytes"] = str(value)
            case "noGRPCHeader", bool():
                options["no-grpc-header"] = value
            case "headers", dict() if all(isinstance(text, str) for text in value.values()):
                options["headers"] = value
            case _:
                raise UnsupportedError(f"extra.{name}")
    return options
