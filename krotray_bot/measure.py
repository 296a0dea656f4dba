"""How long Telegram finds a text, and people's own words made fit to stand in one of ours. Pure."""

from __future__ import annotations

import re
import unicodedata
from html import escape, unescape

from krotray_core import telegram_html

LONGEST_TEXT = telegram_html.LONGEST_TEXT  # without tags
LONGEST_CAPTION = 1024
LONGEST_NAME = 64

_TAG = re.compile(r"<[^<>]*>")
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


def units(html: str) -> int:
    """The length of a text in Telegram's HTML as Telegram counts it."""
    plain = unescape(_TAG.sub("", html))
    return len(plain) + sum(sign > "\uffff" for sign in plain)


def cut(words: str, longest: int) -> str:
    """On one line and no longer than so many UTF-16 units."""
    words = " ".join(words.split())
    if len(words.encode("utf-16-le", "replace")) <= 2 * longest:
        return words
    return words.encode("utf-16-le", "replace")[: 2 * (longest - 1)].decode("utf-16-le", "ignore") + "…"


def shown(name: str | None) -> str:
    """Somebody's own words as HTML: nothing in them reaches beyond them, be it tags or the direction of writing."""
    visible = "".join(sign for sign in name or "" if not _steers(sign))
    said = escape(cut(visible, LONGEST_NAME))
    turns = any(unicodedata.bidirectional(sign) in _RIGHT_TO_LEFT for sign in visible)
    return f"\u2068{said}\u2069" if turns else said


def storable(words: str | None, longest: int) -> str | None:
    """What the database takes of a text from outside: no NUL, no half characters, and not without end."""
    if words is None:
        return None
    return words[:longest].replace("\0", "").encode("utf-8", "ignore").decode()


def _steers(sign: str) -> bool:
    """Control characters and those that turn the direction of writing; emoji are held together by joiners, which stay."""
    kind = unicodedata.category(sign)
    return (kind == "Cc" and not sign.isspace()) or (kind == "Cf" and sign not in "\u200d\u200c") or kind == "Cs"
