"""A configuration for sing-box 1.8 and later, in the words of the version that asks: https://sing-box.sagernet.org/configuration/

What was renamed is refused soon after, what is new is unknown before (https://sing-box.sagernet.org/deprecated/): 1.10 has one list
of the tun's addresses, 1.11 has rule actions in place of the dns outbound and of sniffing inbounds, 1.12 has other DNS servers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from krotray_core.formats import common
from krotray_core.formats.common import UnsupportedError
from krotray_core.formats.vless import Node

SELECTOR, DIRECT, DNS_OUT = "KrotRay", "direct", "dns-out"
TRANSPORTS = frozenset({"tcp", "ws", "httpupgrade", "grpc"})

Version = tuple[int, int]
ONE_ADDRESS_LIST, RULE_ACTIONS, NEW_DNS = (1, 10), (1, 11), (1, 12)
# From here on nothing that we write has changed.
NEWEST = NEW_DNS
_ADDRESS, _ADDRESS_6 = "172.19.0.1/30", "fdfe:dcba:9876::1/126"


def emit(nodes: Sequence[Node], *, version: Version = NEWEST) -> str:
    """The whole configuration in JSON: these servers, one selector among them, everything but the near net through it.

    For 1.8 to 1.11 in the form of that version, for an older one in that of 1.8. Raises UnsupportedError for a link that
    sing-box has no words for, such as one with XHTTP.
    """
    outbounds = [_outbound(node) for node in common.named(nodes, (SELECTOR, DIRECT, DNS_OUT))]
    tags = [outbound["tag"] for outbound in outbounds]
    configuration = {
        "log": {"level": "warn"},
        "dns": _dns(version),
        "inbounds": [_tun(version)],
        "outbounds": [
            {"type": "selector", "tag": SELECTOR, "outbounds": tags},
            *outbounds,
            {"type": "direct", "tag": DIRECT},
            *([] if version >= RULE_ACTIONS else [{"type": "dns", "tag": DNS_OUT}]),
        ],
        "route": _route(version),
    }
    return json.dumps(configuration, ensure_ascii=False, indent=2)


def _dns(version: Version) -> dict[str, Any]:
    """Names are asked for at the other end; the server's own name cannot be, and is asked for here."""
    said: dict[str, Any] = {"final": "far", "strategy": "prefer_ipv4"}
    if version >= NEW_DNS:
        far = {"type": "https", "tag": "far", "server": "1.1.1.1", "detour": SELECTOR}
        return {"servers": [far, {"type": "local", "tag": "near"}], **said}
    far = {"tag": "far", "address": "https://1.1.1.1/dns-query", "detour": SELECTOR}
    near = {"tag": "near", "address": "local", "detour": DIRECT}
    return {"servers": [far, near], "rules": [{"outbound": "any", "server": "near"}], **said}


def _tun(version: Version) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "tun", "tag": "tun"}
    if version >= ONE_ADDRESS_LIST:
        said["address"] = [_ADDRESS, _ADDRESS_6]
    else:
        said |= {"inet4_address": _ADDRESS, "inet6_address": _ADDRESS_6}
    said |= {"auto_route": True, "strict_route": True}
    return said if version >= RULE_ACTIONS else said | {"sniff": True}


def _route(version: Version) -> dict[str, Any]:
    said: dict[str, Any] = {"final": SELECTOR, "auto_detect_interface": True}
    if version < RULE_ACTIONS:
        rules = [{"protocol": "dns", "outbound": DNS_OUT}, {"ip_is_private": True, "outbound": DIRECT}]
        return {"rules": rules, **said}
    actions = [
        {"action": "sniff"},
        {"protocol": "dns", "action": "hijack-dns"},
        {"ip_is_private": True, "action": "route", "outbound": DIRECT},
    ]
    # The server's own name: before 1.12 a rule of DNS says it.
    return {"rules": actions, **said} | ({"default_domain_resolver": "near"} if version >= NEW_DNS else {})


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
