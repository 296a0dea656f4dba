"""What a kind of notice is, and what the texts of all of them are made of. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from html import escape
from typing import Any

from krotray_core import speech

LONGEST_REASON = 300
LONGEST_LINK = 1500
LONGEST_COPY = 256  # characters in a copy button

_DAY, _HOUR = 86_400, 3_600

# What a notice is about; JSON as far as it is stored.
Data = dict[str, Any]
Button = dict[str, Any]
Rows = list[list[Button]]
Words = Callable[[Data, datetime], str]
Buttons = Callable[[Data, bool], Rows]


class Turn(IntEnum):
    """Who goes first where many wait: somebody's key is not behind ten thousand advertisements."""

    URGENT = 0
    ORDINARY = 1
    BULK = 2


def none(_data: Data, _russian: bool) -> Rows:
    """No buttons."""
    return []


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of notice; those that come `by_night` do not wait for the morning."""

    in_russian: Words
    in_english: Words
    buttons: Buttons = none
    turn: Turn = Turn.ORDINARY
    by_night: bool = False


def press(label: str, data: str) -> Button:
    """A button that the bot answers."""
    return {"text": label, "callback_data": data}


def copy(label: str, text: str | None) -> Rows:
    """A row with a button that copies, none where Telegram would not take it."""
    return [[{"text": label, "copy_text": {"text": text}}]] if text and len(text) <= LONGEST_COPY else []


def code(title: str, link: str | None) -> str:
    """A link under its title, to be copied by a tap; nothing where there is none, or it would fill the message."""
    return f"{title}\n<code>{escape(link)}</code>\n\n" if link and units(link) <= LONGEST_LINK else ""


def length_ru(seconds: int) -> str:
    """ "30 дней", "5 часов"; a part of an hour counts as one."""
    if seconds >= _DAY:
        days = round(seconds / _DAY)
        return f"{days} {speech.plural_ru(days, 'день', 'дня', 'дней')}"
    hours = max(round(seconds / _HOUR), 1)
    return f"{hours} {speech.plural_ru(hours, 'час', 'часа', 'часов')}"


def length_en(seconds: int) -> str:
    """ "30 days", "5 hours"; a part of an hour counts as one."""
    if seconds >= _DAY:
        days = round(seconds / _DAY)
        return f"{days} {'day' if days == 1 else 'days'}"
    hours = max(round(seconds / _HOUR), 1)
    return f"{hours} {'hour' if hours == 1 else 'hours'}"


def cut(words: str, longest: int = LONGEST_REASON) -> str:
    """On one line, not too long, and escaped."""
    words = " ".join(words.split())
    if units(words) > longest:
        words = words.encode("utf-16-le")[: 2 * (longest - 1)].decode("utf-16-le", "ignore") + "…"
    return escape(words)


def units(words: str) -> int:
    """How long Telegram finds a text: in UTF-16 units."""
    return len(words) + sum(sign > "\uffff" for sign in words)
