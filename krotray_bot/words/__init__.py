"""Everything that the bot says, in Russian and in English: one module a language, one for the admins, and what they share."""

from __future__ import annotations

from krotray_bot.words.en import EN
from krotray_bot.words.ru import RU
from krotray_bot.words.shape import Words
from krotray_core import speech

__all__ = ["COMMANDS", "DEFAULT_LANGUAGE", "EN", "LANGUAGES", "OFFICE_COMMANDS", "RU", "Words", "of"]

COMMANDS = ("start", "buy", "key", "connect", "invite", "help")
OFFICE_COMMANDS = ("stats", "server", "user", "grant")
DEFAULT_LANGUAGE = "en"  # what Telegram shows to everybody whose language is not named below

LANGUAGES = {"en": EN, "ru": RU}


def of(language_code: str | None) -> Words:
    """The words for a Telegram user; Russian where the language is not known."""
    return RU if speech.reads_russian(language_code) else EN
