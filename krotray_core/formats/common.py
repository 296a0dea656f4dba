"""What Clash and sing-box configurations have in common."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from krotray_core.formats.vless import Node

# The fingerprints that both programs can imitate; for any other one Chrome's will do.
FINGERPRINTS = frozenset(
    ("chrome", "firefox", "edge", "safari", "360", "qq", "ios", "android", "random", "randomized"),
)
VISION = "xtls-rprx-vision"
EARLY_DATA_HEADER = "Sec-WebSocket-Protocol"
_EARLY_DATA = re.compile(r"\?ed=([0-9]{1,6})$", re.ASCII)


class UnsupportedError(ValueError):
    """This form has no words for what the link asks."""


def named(nodes: Sequence[Node], taken: Collection[str]) -> list[Node]:
    """The nodes with remarks that can be names: none empty, none twice, none of those that are taken already."""
    names = set(taken)
    result = []
    for node in nodes:
        wanted = " ".join(node.remark.split()) or "KrotRay"
        name, number = wanted, 1
        while name in names:
            number += 1
            name = f"{wanted} {number}"
        names.add(name)
        result.append(replace(node, remark=name))
    return result


def check(node: Node, transports: Collection[str]) -> None:
    """Raises UnsupportedError for a transport that is not among these, or a security that neither form knows."""
    if node.transport not in transports:
        raise UnsupportedError(f"transport {node.transport}")
    if node.security not in ("", "tls", "reality"):
        raise UnsupportedError(f"security {node.security}")
    if node.security == "reality" and not node.public_key:
        raise UnsupportedError("REALITY without a public key")
    if node.header_type not in ("", "none"):
        raise UnsupportedError(f"headerType {node.header_type}")


def secured(node: Node) -> bool:
    """Whether there is TLS, of either kind."""
    return node.security in ("tls", "reality")


def server_name(node: Node) -> str:
    """The name that the server's certificate is asked for; empty for the host's own."""
    return node.sni or node.host_header


def fingerprint(node: Node) -> str:
    """The browser to look like; empty for none. REALITY needs one."""
    if not node.fingerprint:
        return "chrome" if node.security == "reality" else ""
    return node.fingerprint if node.fingerprint in FINGERPRINTS else "chrome"


def flow(node: Node) -> str:
    """The flow, which only a raw connection has. Xray's `-udp443` is how the others behave anyway."""
    if node.transport != "tcp" or not node.flow:
        return ""
    if node.flow.removesuffix("-udp443") != VISION:
        raise UnsupportedError(f"flow {node.flow}")
    return VISION


def early_data(path: str) -> tuple[str, int]:
    """The path without Xray's `?ed=2048` at its end, and that number; 0 where there is none."""
    found = _EARLY_DATA.search(path)
    return (path[: found.start()], int(found[1])) if found else (path, 0)
