"""The kinds of notices: the words of each in Russian and in English, its buttons, and how urgent it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from krotray_core import speech
from krotray_core.notice_texts import admins, people
from krotray_core.notice_texts.parts import Data, Kind, Rows, Turn

__all__ = ["BROADCAST", "KINDS", "Kind", "Message", "Turn", "compose", "of_turn"]

BROADCAST = "broadcast"


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out: Telegram's HTML, never longer than Telegram takes, and rows of buttons."""

    html: str
    buttons: Rows


def _as_written(data: Data, _now: datetime) -> str:
    words: str = data["html"]
    return words


KINDS: dict[str, Kind] = {
    **people.KINDS,
    **admins.KINDS,
    # `html`: the owner's own words, checked when the broadcast began.
    BROADCAST: Kind(_as_written, _as_written, turn=Turn.BULK),
}


def compose(kind: str, data: Data, language_code: str | None, now: datetime) -> Message:
    """What to say. Raises KeyError for an unknown kind, KeyError, TypeError or ValueError for data that do not fit it."""
    russian = speech.reads_russian(language_code)
    known = KINDS[kind]
    words = known.in_russian if russian else known.in_english
    return Message(words(data, now), known.buttons(data, russian))


def of_turn(turn: Turn) -> list[str]:
    """The names of the kinds with this turn."""
    return [name for name, kind in KINDS.items() if kind.turn is turn]
