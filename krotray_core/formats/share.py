"""Share links: one a line, or the base64 of that, which every VPN program reads."""

from __future__ import annotations

import base64
from collections.abc import Sequence


def lines(links: Sequence[str]) -> str:
    """The links, one a line."""
    return "\n".join(links)


def body(links: Sequence[str]) -> str:
    """The base64 of newline-joined links."""
    return base64.b64encode(lines(links).encode()).decode()
