"""A configuration for sing-box 1.12 and later: https://sing-box.sagernet.org/configuration/"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from krotray_core.formats import common
from krotray_core.formats.common import UnsupportedError
from krotray_core.formats.vless import Node

SELECTOR, DIRECT = "KrotRay", "direct"
TRANSPORTS = frozenset({"tcp", "ws", "httpupgrade", "grpc"})


def emit(nodes: Sequence[Node]) -> str:
    """The whole configuration in JSON: these servers, one selector among them, everything but the near net through it.

    Raises UnsupportedError for a link that sing-box has no words for, such as one with XHTTP.
    """
    outbounds = [_outbound(node) for node in common.named(nodes, (SELECTOR, DIRECT))]
    tags = [outbound["tag"] for outbound in outbounds]
    configuration = {
        "log": {"level": "warn"},
        "dns": {
            "servers": [
                {"type": "https", "tag": "far", "server": "1.1.1.1", "detour": SELECTOR},
                {"type": "local", "tag": "near"},
            ],
            "final": "far",
            "strategy": "prefer_ipv4",
        },
        "inbounds": [
            {
                "type": "tun",
                "tag": "tun",
                "address": ["172.19.0.1/30", "fdfe:dcba:9876::1/126"],
                "auto_route": True,
                "strict_route": True,
            }
        ],
        "outbounds": [
            {"type": "selector", "tag": SELECTOR, "outbounds": tags},
            *outbounds,
            {"type": "direct", "tag": DIRECT},
        ],
        "route": {
            "rules": [
                {"action": "sniff"},
                {"protocol": "dns", "action": "hijack-dns"},
                {"ip_is_private": True, "action": "route", "outbound": DIRECT},
            ],
            "final": SELECTOR,
            "auto_detect_interface": True,
            # The server's own name cannot be asked for through the server.
            "default_domain_resolver": "near",
        },
    }
    return json.dumps(configuration, ensure_ascii=False, indent=2)


def _outbound(node: Node) -> dict[str, Any]:
    common.check(node, TRANSPORTS)
    if node.encryption not in ("", "none"):
        raise UnsupportedError("VLESS encryption")
    outbound: dict[str, Any] = {
        "type": "vless",
        "tag": node.remark,
        "server": node.host,
        "server_port": node.port,
        "uuid": str(node.key),
        "packet_encoding": "xudp",
    }
    if flow := common.flow(node):
        outbound["flow"] = flow
    if common.secured(node):
        outbound["tls"] = _tls(node)
    if transport := _transport(node):
        outbound["transport"] = transport
    return outbound


def _tls(node: Node) -> dict[str, Any]:
    said: dict[str, Any] = {"enabled": True}
    if name := common.server_name(node):
        said["server_name"] = name
    if node.alpn:
        said["alpn"] = list(node.alpn)
    if fingerprint := common.fingerprint(node):
        said["utls"] = {"enabled": True, "fingerprint": fingerprint}
    if node.security == "reality":
        said["reality"] = {"enabled": True, "public_key": node.public_key, "short_id": node.short_id}
    return said


def _transport(node: Node) -> dict[str, Any] | None:
    path, early = common.early_data(node.path or "/")
    match node.transport:
        case "ws":
            said: dict[str, Any] = {"type": "ws", "path": path}
            if node.host_header:
                said["headers"] = {"Host": node.host_header}
            if early:
                said |= {"max_early_data": early, "early_data_header_name": common.EARLY_DATA_HEADER}
            return said
        case "httpupgrade":
            return {"type": "httpupgrade", "path": path} | ({"host": node.host_header} if node.host_header else {})
        case "grpc":
            return {"type": "grpc", "service_name": node.service_name}
        case _:
            return None
