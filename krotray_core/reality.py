"""A new Xray server behind REALITY: its keys, its whole config, and how the links to it look. Pure but for the random keys."""

from __future__ import annotations

import base64
import re
import secrets
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from krotray_core.errors import Invalid
from krotray_core.formats.vless import bracketed
from krotray_core.links import check_template

FLOW = "xtls-rprx-vision"
_HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Keys(NamedTuple):
    """What a REALITY server and its links share: an X25519 pair as `xray x25519` writes it, and a short id."""

    private: str
    public: str
    short_id: str


class Plan(NamedTuple):
    """A server to be: where people connect to (`address`, `port`), the site that it passes for, where it offers its gRPC API
    (`api_host`, `api_port`), and the tag of its inbound."""

    address: str
    port: int
    site: str
    api_host: str
    api_port: int
    inbound_tag: str
    target: str | None = None  # where the site is, if not at port 443 of its own name


def keys() -> Keys:
    """New ones."""
    private = X25519PrivateKey.generate()
    return Keys(
        _text(private.private_bytes_raw()),
        _text(private.public_key().public_bytes_raw()),
        secrets.token_hex(8),
    )


def _text(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def check(plan: Plan) -> Plan:
    """The plan, with names in small letters. Raises Invalid where Xray or a link could not do with it."""
    site = plan.site.lower().rstrip(".")
    if not _HOST_NAME.fullmatch(site):
        raise Invalid("the site should be a name such as www.example.com, without https://")
    if not _TAG.fullmatch(plan.inbound_tag):
        raise Invalid("the inbound's tag has letters, digits, dots, dashes and underscores")
    try:
        ip_address(plan.api_host)
    except ValueError:
        raise Invalid("Xray's API listens at an address of the machine, such as 127.0.0.1 or 10.0.0.2") from None
    if plan.api_port == plan.port:
        raise Invalid("the API and the VPN cannot share a port")
    return plan._replace(site=site, address=_address(plan.address))


def _address(address: str) -> str:
    address = address.strip().lower()
    try:
        return str(ip_address(address.strip("[]")))
    except ValueError:
        if not _HOST_NAME.fullmatch(address):
            raise Invalid("people connect to a name or an IP address, without a port") from None
        return address


def config(plan: Plan, made: Keys) -> dict[str, Any]:
    """Xray's whole config for a checked plan: REALITY for the users, and all that KrotRay asks of a server.

    `routing` is empty because KrotRay keeps its cut-off rule there through the API, which sends people to `block`.
    """
    reality = {
        "target": plan.target or f"{plan.site}:443",
        "serverNames": [plan.site],
        "privateKey": made.private,
        "shortIds": [made.short_id],
    }
    return {
        "log": {"loglevel": "warning"},
        "api": {
            "tag": "api",
            "listen": f"{bracketed(plan.api_host)}:{plan.api_port}",
            "services": ["HandlerService", "StatsService", "RoutingService"],
        },
        "stats": {},
        "policy": {"levels": {"0": {"statsUserUplink": True, "statsUserDownlink": True, "statsUserOnline": True}}},
        "routing": {"rules": []},
        "inbounds": [
            {
                "tag": plan.inbound_tag,
                "listen": "::",
                "port": plan.port,
                "protocol": "vless",
                "settings": {"clients": [], "decryption": "none"},
                "streamSettings": {"network": "raw", "security": "reality", "realitySettings": reality},
            }
        ],
        "outbounds": [{"tag": "direct", "protocol": "freedom"}, {"tag": "block", "protocol": "blackhole"}],
    }


def template(plan: Plan, made: Keys) -> str:
    """How the links to this server look, for `servers add --vless-url-template`."""
    return check_template(
        f"vless://{{uuid}}@{bracketed(plan.address)}:{plan.port}?encryption=none&type=tcp&security=reality"
        f"&sni={quote(plan.site)}&fp=chrome&pbk={made.public}&sid={made.short_id}&flow={FLOW}#{{name}}"
    )
