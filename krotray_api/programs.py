"""Who asks for a subscription, and the form that they read: one table, by the name with which they begin their User-Agent.

Only the beginning counts: further words name what a program resembles, and those that say "like ClashMeta" read links.
"""

from __future__ import annotations

import re
from typing import Literal

Form = Literal["base64", "clash", "sing-box"]

LONGEST = 200
# `Stash/2.7.2 Clash/1.9.0`, `ClashX Meta 1.4`, `mihomo.party/v1.5 (clash.meta)`: the name, without a version or a remark.
_NAME = re.compile(r"([^/(\[;]*?)(?:\s+v?[0-9][^/(\[;]*)?\s*(?:[/(\[;].*)?", re.ASCII | re.DOTALL)

# The first pattern that is the whole name (in lower case) decides. Who is not here reads links, or is a browser.
_PROGRAMS: tuple[tuple[re.Pattern[str], Form], ...] = tuple(
    (re.compile(pattern, re.ASCII), form)
    for pattern, form in (
        # Mihomo's kin: Clash Verge, Clash Meta for Android, ClashX Meta, FlClash (X), Clash Nyanpasu, Koala Clash, Clash Mi ...
        (r"[a-z._\s-]*clash[a-z._\s-]*", "clash"),
        (r"mihomo(?:[._\s-][a-z._\s-]*)?", "clash"),
        (r"stash|sparkle|flowvy|prizrak-box|murge", "clash"),
        # sing-box: its own applications for Android, iOS, macOS and tvOS, the bare program, Karing, and its desktop window.
        (r"sf[aimt]|sing-?box|karing|gui\.for\.sing-?box", "sing-box"),
        # Has sing-box inside, and makes its own configuration out of links.
        (r"hiddify[a-z]*", "base64"),
        # These ask for text/html without being a browser: it is in Java's default.
        (r"java|dalvik|okhttp", "base64"),
    )
)
# The core's own version where it is said, else that of the applications, which is the same.
_VERSIONS = (
    re.compile(r"(?<!gui\.for\.)\bsing-?box[ /]v?([0-9]{1,3})\.([0-9]{1,3})(?![0-9])", re.ASCII),
    re.compile(r"\bsf[aimt]/v?([0-9]{1,3})\.([0-9]{1,3})(?![0-9])", re.ASCII),
)


def form(user_agent: str) -> Form | None:
    """What this program reads; None for one that is not known here, which may be a browser. Takes anything, of any length."""
    found = _NAME.fullmatch(user_agent[:LONGEST])
    name = found[1].strip().lower() if found else ""
    return next((wanted for pattern, wanted in _PROGRAMS if pattern.fullmatch(name)), None)


def sing_box_version(user_agent: str) -> tuple[int, int] | None:
    """The version of sing-box that asks, such as (1, 11); None where it does not say. Takes anything, of any length."""
    said = user_agent[:LONGEST].lower()
    found = next((match for pattern in _VERSIONS if (match := pattern.search(said))), None)
    return (int(found[1]), int(found[2])) if found else None
