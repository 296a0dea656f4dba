"""Share links, made from a server's template. Pure: text in, text out. `formats.vless` knows what stands in a link."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID, uuid4

from krotray_core.formats import vless
from krotray_core.formats.vless import Node

PLACEHOLDERS = ("uuid", "host", "name", "email")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
# Stand for what differs from person to person in a server's link; both are letters that no rule of writing changes.
_KEY, _EMAIL = str(uuid4()), f"user_{uuid4().hex}"


def check_template(template: str) -> str:
    """A VLESS_URL_TEMPLATE fit for use, or ValueError.

    It is a whole vless:// link with `{uuid}` where the key goes; `{host}` and `{name}` (of the server) and `{email}`
    (of the user, as Xray knows it) may be used too. Other braces are kept as they are.
    """
    if not template.startswith("vless://"):
        raise ValueError("should start with vless://")
    if "{uuid}" not in template:
        raise ValueError("should hold {uuid} where the user's key goes")
    for name in _PLACEHOLDER.findall(template):
        if name not in PLACEHOLDERS:
            raise ValueError(f"knows no {{{name}}}; there are {', '.join('{' + p + '}' for p in PLACEHOLDERS)}")
    if any(letter.isspace() or not letter.isprintable() for letter in template):
        raise ValueError("should hold no spaces or line breaks; write %20")
    key = UUID(int=0)
    try:
        link = urlsplit(vless_url(template, key=key, host="host.invalid", name="name", email="user_0"))
        port = link.port
    except ValueError:
        link, port = urlsplit(""), None
    if not port:
        raise ValueError("should name the port: vless://{uuid}@{host}:443?...")
    if link.username != str(key) or not link.hostname:
        raise ValueError("should begin with vless://{uuid}@ and a host")
    return template


def flow(template: str) -> str:
    """The flow that a template's links announce, such as xtls-rprx-vision; Xray lets a user in only with the same one."""
    return parse_qs(urlsplit(template).query).get("flow", [""])[0]


def vless_url(template: str, *, key: UUID, host: str, name: str, email: str) -> str:
    """The link that a VPN program takes, made from a server's template. Values are percent-encoded, IPv6 is bracketed.

    Whatever the template says is written by the same rules: ASCII only, each parameter once, never a "+" for a space.
    """
    link = _somebodys(template, host, name)
    return link.replace(_KEY, str(key)).replace(_EMAIL, quote(email, safe=""))


@lru_cache(maxsize=256)  # one for each server
def _somebodys(template: str, host: str, name: str) -> str:
    """A server's link, with a mark where the key goes and one for the e-mail."""
    values = {"uuid": _KEY, "host": vless.bracketed(host), "name": quote(name, safe=""), "email": _EMAIL}
    link = _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)
    try:
        return vless.emit(vless.parse(link))
    except ValueError:
        return link  # a server's host or template from before it was checked; programs may still make sense of it


def placeholder(remark: str) -> Node:
    """A server that is nowhere and says `remark` in the VPN program's list: how an expired subscription explains itself."""
    return Node(UUID(int=0), "127.0.0.1", 1, remark, encryption="none")
