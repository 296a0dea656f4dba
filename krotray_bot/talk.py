"""Saying things in a chat: a new message, another face of an old one, a word over a pressed button."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from telebot import TeleBot
from telebot.apihelper import ApiTelegramException
from telebot.types import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions

from krotray_bot import faults
from krotray_bot.stop import Stop

log = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 20.0  # everybody else waits too
LONGEST_TOAST = 200  # characters


@dataclass(frozen=True, slots=True)
class Screen:
    """A message to be: its text in Telegram's HTML and its rows of buttons."""

    text: str
    rows: list[list[InlineKeyboardButton]] = field(default_factory=list)


class Talk:
    """The bot's voice. Every call may be repeated; each raises what the library raises, where repeating may help."""

    def __init__(self, bot: TeleBot, stop: Stop) -> None:
        self._bot, self._stop = bot, stop

    def send(self, chat_id: int, screen: Screen) -> None:
        """A new message. To somebody who has blocked the bot it says nothing."""
        try:
            self._patiently(self._bot.send_message, chat_id, screen.text, **_looks(screen))
        except ApiTelegramException as error:
            if error.error_code != 403:
                raise
            log.info("somebody does not want to hear from us")

    def show(self, chat_id: int, message_id: int | None, screen: Screen) -> None:
        """Turns our message into this screen; where that is not possible (any more), it is sent anew."""
        if message_id is not None:
            try:
                self._patiently(
                    self._bot.edit_message_text, screen.text, chat_id=chat_id, message_id=message_id, **_looks(screen)
                )
            except ApiTelegramException as error:
                if error.error_code == 403 or "message is not modified" in error.description:
                    return
                if not _gone(error):
                    raise
            else:
                return
        self.send(chat_id, screen)

    def answer(self, query_id: str, toast: str | None = None) -> None:
        """Ends the waiting of a pressed button, with a word or without one."""
        try:
            self._patiently(self._bot.answer_callback_query, query_id, toast[:LONGEST_TOAST] if toast else None)
        except ApiTelegramException as error:
            if error.error_code != 400:
                raise
            # Too old: the press came while we were away. What it asked for is done all the same.
            log.info("a press came too late for an answer")

    def _patiently(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Calls, and keeps the pause that Telegram asks for when we are too fast. Raises Stopped during such a pause."""
        while True:
            try:
                call(*args, **kwargs)
            except ApiTelegramException as error:
                if error.error_code != 429 or faults.retry_after(error) > LONGEST_WAIT_SECONDS:
                    raise
                log.warning("Telegram wants a pause of %.1f s", faults.retry_after(error))
                self._stop.pause(faults.retry_after(error))
            else:
                return


def _looks(screen: Screen) -> dict[str, Any]:
    return {
        "reply_markup": InlineKeyboardMarkup(screen.rows),
        "link_preview_options": LinkPreviewOptions(is_disabled=True),
    }


def _gone(error: ApiTelegramException) -> bool:
    return error.error_code == 400 and any(
        words in error.description for words in ("message to edit not found", "message can't be edited")
    )
