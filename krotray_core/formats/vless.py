"""A vless:// link taken apart into what it says, and put together again.

The form: https://github.com/XTLS/Xray-core/discussions/716. Values are percent-encoded and nothing else: a "+" in a link is a plus.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import quote, unquote, urlsplit
from uuid import UUID

# Field -> its name in a link, in the order in which they are written.
_NAMES = {
    "encryption": "encryption",
    "flow": "flow",
    "security": "security",
    "sni": "sni",
    "fingerprint": "fp",
    "alpn": "alpn",
    "public_key": "pbk",
    "short_id": "sid",
    "spider_x": "spx",
    "transport": "type",
    "header_type": "headerType",
    "host_header": "host",
    "path": "path",
    "service_name": "serviceName",
    "mode": "mode",
    "extra": "extra",
}
_FIELDS = {name: field for field, name in _NAMES.items()}
# The same transport under its names of different years.
_ALIASES = {"": "tcp", "raw": "tcp", "splithttp": "xhttp"}


@dataclass(frozen=True, slots=True)
class Node:
    """What a link says. Texts are decoded; an empty one is not said.

    `transport`: tcp, ws, grpc, httpupgrade, xhttp, or one that we do not know. `security`: tls, reality or "" for none.
    `host` has no brackets, `others` are the parameters that we do not know, as they came.
    """

    key: UUID
    host: str
    port: int
    remark: str = ""
    transport: str = "tcp"
    security: str = ""
    encryption: str = ""
    flow: str = ""
    sni: str = ""
    fingerprint: str = ""
    alpn: tuple[str, ...] = ()
    public_key: str = ""
    short_id: str = ""
    spider_x: str = ""
    header_type: str = ""
    host_header: str = ""
    path: str = ""
    service_name: str = ""
    mode: str = ""
    extra: str = ""
    others: tuple[tuple[str, str], ...] = ()


def parse(link: str) -> Node:
    """Takes a link apart. Of a parameter that is there twice the first one counts, as in Xray.

    Raises ValueError for what is no link to a VLESS server.
    """
    parts = urlsplit(link)
    if parts.scheme != "vless" or not parts.hostname or parts.port is None or parts.password is not None:
        raise ValueError("not a vless:// link with a key, a host and a port")
    said: dict[str, str] = {}
    others: dict[str, str] = {}
    for pair in filter(None, parts.query.split("&")):
        name, _, value = pair.partition("=")
        name = unquote(name, errors="strict")
        (said if name in _FIELDS else others).setdefault(name, unquote(value, errors="strict"))
    texts = {_FIELDS[name]: value for name, value in said.items()}
    alpn = tuple(filter(None, texts.pop("alpn", "").split(",")))
    transport = texts.pop("transport", "").lower()
    security = texts.pop("security", "").lower()
    return Node(
        key=UUID(parts.username or ""),
        host=_ascii(parts.hostname),
        port=parts.port,
        remark=unquote(parts.fragment, errors="strict"),
        transport=_ALIASES.get(transport, transport),
        security="" if security == "none" else security,
        alpn=alpn,
        others=tuple(others.items()),
        **texts,
    )


def emit(node: Node) -> str:
    """Puts a link together: each parameter once, ASCII only, IPv6 in brackets. Empty ones are left out."""
    said = ((name, _text(node, field)) for field, name in _NAMES.items())
    pairs = [pair for pair in said if pair[1]] + list(node.others)
    query = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in pairs)
    remark = f"#{_escaped(node.remark)}" if node.remark else ""
    return f"vless://{node.key}@{bracketed(node.host)}:{node.port}?{query}{remark}"


def bracketed(host: str) -> str:
    """A host as it stands in an address: IPv6 in brackets, in its short form."""
    try:
        return f"[{IPv6Address(host)}]"
    except ValueError:
        return host


def _text(node: Node, field: str) -> str:
    value = getattr(node, field)
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _escaped(text: str) -> str:
    return quote(text, safe="")


def _ascii(host: str) -> str:
    """A domain as DNS knows it. Raises ValueError (UnicodeError is one) for what cannot be one."""
    return host if host.isascii() else host.encode("idna").decode()
