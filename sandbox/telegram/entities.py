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
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
}
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-z]{2,4}));?")
_TAG = re.compile(r"<(/?)([^\s<>/]*)([^<>]*)>")
_ATTRIBUTE = re.compile(r"""([^\s=/>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([a-zA-Z0-9.-]+)))?""")
# What Telegram finds in a text by itself. Its own rules fill a thousand lines; these are right for what bots and people here write.
_FOUND = (
    ("url", re.compile(r"\bhttps?://[^\s<>\"«»]*[^\s<>\"«».,;:!?()]")),
    ("email", re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{2,}\b")),
    ("mention", re.compile(r"(?<![\w@/])@[a-zA-Z]\w{3,31}\b")),
    ("bot_command", re.compile(r"(?<![\w/<>])/[a-zA-Z0-9_]{1,64}\b(?:@\w+)?(?!/)")),
)


@dataclass
class _Open:
    name: str
    start: int
    extra: dict[str, Any] | None
    """What the entity holds besides its place; None: there is nothing to mark."""


def length(text: str) -> int:
    """How long Telegram finds a text: in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def formatted(text: str, mode: str) -> tuple[str, list[dict[str, Any]]]:
    """A text as it is shown, without white space around it, and its entities, those included that Telegram finds by itself.

    Raises ApiError with Telegram's words for tags that do not fit together.
    """
    if mode.lower() not in ("", "html"):
        raise bad_request("unsupported parse_mode")  # Telegram has Markdown too; nobody here writes it
    plain, entities = parse_html(text) if mode else (text, [])
    return _trimmed(plain, entities)


def given_entities(text: str, entities: list[Any]) -> tuple[str, list[dict[str, Any]]]:
    """Likewise, where the bot says itself what is marked. Raises ApiError."""
    for one in entities:
        if not isinstance(one, dict) or not all(isinstance(one.get(key), int) for key in ("offset", "length")):
            raise bad_request("can't parse MessageEntity: Can't find field \"offset\"")
    return _trimmed(text, [dict(one) for one in entities])


def detected(text: str, taken: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The links, addresses, mentions and commands in a text, beside those that are `taken` by code or links."""
    closed = [one for one in taken or [] if one["type"] in ("code", "pre", "text_link")]
    found = []
    for kind, pattern in _FOUND:
        for match in pattern.finditer(text):
            entity = {"type": kind, "offset": length(text[: match.start()]), "length": length(match[0])}
            if not any(_meet(entity, other) for other in closed):
                found.append(entity)
                closed.append(entity)
    return sorted(found, key=lambda entity: entity["offset"])


def _meet(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["offset"] < other["offset"] + other["length"] and other["offset"] < one["offset"] + one["length"]


def _trimmed(text: str, entities: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    shown = text.strip()
    before, end = length(text[: len(text) - len(text.lstrip())]), length(shown)
    kept = []
    for one in entities:
        start = max(0, one["offset"] - before)
        size = min(end, one["offset"] + one["length"] - before) - start
        if size > 0:
            kept.append(one | {"offset": start, "length": size})
    kept += detected(shown, kept)
    return shown, sorted(kept, key=lambda entity: (entity["offset"], -entity["length"]))


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
            raise _wrong(f"Unclosed {'end' if html[position:].startswith('</') else 'start'} tag at byte offset {at}")
        closing, name, attributes = tag[1], tag[2].lower(), tag[3]
        position = tag.end()
        if closing:
            entities += _closed(stack, name, text, at)
        elif name not in _KINDS:
            raise _wrong(f'Unsupported start tag "{name}" at byte offset {at}')
        else:
            stack.append(_Open(name, length(text), _extra(stack, name, attributes, length(text), at)))
    if stack:
        raise _wrong(f'Can\'t find end tag corresponding to start tag "{stack[-1].name}"')
    return text, sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))


def _extra(stack: list[_Open], name: str, attributes: str, start: int, at: int) -> dict[str, Any] | None:
    """What a start tag says besides its kind; None if it marks nothing. Raises ApiError."""
    given = {
        match[1].lower(): _REFERENCE.sub(_decoded, match[2] or match[3] or match[4] or "")
        for match in _ATTRIBUTE.finditer(attributes)
    }
    extra: dict[str, Any] | None = {}
    match name:
        case "a":
            url = given.get("href", "")
            extra = {"url": url} if url else None
        case "span" if given.get("class") != "tg-spoiler":
            raise _wrong(f'Tag "span" must have class "tg-spoiler" at byte offset {at}')
        case "tg-emoji":
            extra = {"custom_emoji_id": given.get("emoji-id", "")}
        case "blockquote" if "expandable" in given:
            extra = {"type": "expandable_blockquote"}
        case "code" if stack and stack[-1].name == "pre" and stack[-1].start == start:
            language = given.get("class", "")
            if language.startswith("language-"):
                stack[-1].extra = {"language": language.removeprefix("language-")}
            extra = None  # one block, not two
    return extra


def _closed(stack: list[_Open], name: str, text: str, at: int) -> list[dict[str, Any]]:
    if not stack:
        raise _wrong(f"Unexpected end tag at byte offset {at}")
    opened = stack.pop()
    if name and opened.name != name:  # "</>" closes whatever is open
        raise _wrong(f'Unmatched end tag at byte offset {at}, expected "</{opened.name}>", found "</{name}>"')
    size = length(text) - opened.start
    if size == 0 or opened.extra is None:  # nothing to mark: Telegram forgets the tag
        return []
    return [{"type": _KINDS[opened.name], "offset": opened.start, "length": size} | opened.extra]


def _decoded(match: re.Match[str]) -> str:
    hexadecimal, decimal, name = match.groups()
    if name:
        return _NAMED.get(name, match[0])
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return chr(code) if 0 < code < 0x110000 else match[0]


def _wrong(what: str) -> ApiError:
    return bad_request(f"can't parse entities: {what}")
