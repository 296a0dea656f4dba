"""Telegram's HTML as an owner may write it: checked more strictly than Telegram does, so that no message is refused later. Pure.

https://core.telegram.org/bots/api#html-style
"""

from __future__ import annotations

import re
from html import unescape

from krotray_core.errors import Invalid

LONGEST_TEXT = 4096  # of a message, in UTF-16 units, which is how Telegram counts
TAGS = ("b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "tg-spoiler", "code", "pre", "blockquote", "a")
ALLOWED = '<b> <i> <u> <s> <code> <pre> <blockquote> <tg-spoiler>, <a href="https://...">; &lt; &gt; &amp; &quot;'
MOST_TAGS = 100
_PART = re.compile(
    r"<(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9-]*)(?P<rest>[^<>]*)>|&(?P<reference>[a-zA-Z0-9#]+);|(?P<odd><)"
)
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_HREF = re.compile(r""" href="((?:https?|tg)://[^"<>\s]+)\"""")
_NAMED = {"lt", "gt", "amp", "quot"}
_VERBATIM = {"code", "pre"}  # nothing inside them is marked
_ALONE = {"a", "blockquote"}  # not inside another one of the same


def check(html: str) -> str:
    """The plain text of a message. Raises Invalid, naming the line, for what Telegram would refuse or show otherwise."""
    if _CONTROL.search(html):
        raise Invalid("the text holds control characters")
    plain, opened, position, tags = "", list[str](), 0, 0
    for part in _PART.finditer(html):
        plain += html[position : part.start()]
        position = part.end()
        line = html.count("\n", 0, part.start()) + 1
        if part["odd"]:
            raise Invalid(f"line {line}: a < that begins no tag; write &lt;")
        if part["reference"]:
            if part["reference"] not in _NAMED:
                raise Invalid(f"line {line}: {part[0]} is not known; there are &lt; &gt; &amp; &quot;")
            plain += unescape(part[0])
        else:
            tags += 1
            _tag(part, opened, line)
    plain += html[position:]
    if opened:
        raise Invalid(f"<{opened[-1]}> is not closed")
    if tags > 2 * MOST_TAGS:
        raise Invalid(f"more than {MOST_TAGS} marked places")
    if not plain.strip():
        raise Invalid("the text is empty")
    length = len(plain.encode("utf-16-le")) // 2
    if length > LONGEST_TEXT:
        raise Invalid(f"the text is too long: {length} of at most {LONGEST_TEXT} characters")
    return plain


def _tag(part: re.Match[str], opened: list[str], line: int) -> None:
    """Opens or closes a tag. Raises Invalid."""
    name, rest = part["name"], part["rest"]
    if name not in TAGS:
        raise Invalid(f"line {line}: <{name}> is not allowed; there are {ALLOWED}")
    if part["close"]:
        if rest or not opened or opened.pop() != name:
            raise Invalid(f"line {line}: {part[0]} closes nothing, or in the wrong order")
        return
    if rest if name != "a" else not _HREF.fullmatch(rest):
        raise Invalid(f'line {line}: {part[0]}: only <a href="https://..."> has an attribute, and needs it')
    if _VERBATIM & {*opened} or (name in _ALONE and name in opened):
        raise Invalid(f"line {line}: <{name}> cannot stand inside <{opened[-1]}>")
    opened.append(name)
