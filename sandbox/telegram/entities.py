"""Telegram's HTML: a text with tags becomes a plain text and entities, counted in UTF-16 units as Telegram counts them.

https://core.telegram.org/bots/api#html-style
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import ApiError, bad_request

_KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
}
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-z]{2,4}));")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)([^<>]*)>")
_HREF = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))""")


@dataclass
class _Open:
    name: str
    start: int
    url: str | None


def length(text: str) -> int:
    """How long Telegram finds a text: in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def parse_html(html: str) -> tuple[str, list[dict[str, Any]]]:
    """The plain text and its entities. Raises ApiError with Telegram's words for tags that do not fit together."""
    text, entities, stack = "", list[dict[str, Any]](), list[_Open]()
    position = 0
    while position < len(html):
        if html[position] != "<":
            end = html.find("<", position)
            end = len(html) if end < 0 else end
            text += _REFERENCE.sub(_decoded, html[position:end])
            position = end
            continue
        tag = _TAG.match(html, position)
        at = len(html[:position].encode())
        if tag is None:
            raise _wrong(f"Unclosed start tag at byte offset {at}")
        closing, name, attributes = tag[1], tag[2].lower(), tag[3]
        position = tag.end()
        if closing:
            entities += _closed(stack, name, text, at)
        elif name not in _KINDS:
            raise _wrong(f'Unsupported start tag "{name}" at byte offset {at}')
        else:
            found = _HREF.search(attributes) if name == "a" else None
            url = _REFERENCE.sub(_decoded, found[1] or found[2] or found[3]) if found else None
            stack.append(_Open(name, length(text), url))
    if stack:
        raise _wrong(f'Can\'t find end tag corresponding to start tag "{stack[-1].name}"')
    return text, sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))


def _closed(stack: list[_Open], name: str, text: str, at: int) -> list[dict[str, Any]]:
    if not stack:
        raise _wrong(f"Unexpected end tag at byte offset {at}")
    opened = stack.pop()
    if opened.name != name:
        raise _wrong(f'Unmatched end tag at byte offset {at}, expected "</{opened.name}>", found "</{name}>"')
    size = length(text) - opened.start
    if size == 0 or (name == "a" and not opened.url):  # nothing to mark: Telegram forgets the tag
        return []
    entity = {"type": _KINDS[name], "offset": opened.start, "length": size}
    return [entity | {"url": opened.url} if opened.url else entity]


def _decoded(match: re.Match[str]) -> str:
    hexadecimal, decimal, name = match.groups()
    if name:
        return _NAMED.get(name, match[0])
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return chr(code) if 0 < code < 0x110000 else match[0]


def _wrong(what: str) -> ApiError:
    return bad_request(f"can't parse entities: {what}")
