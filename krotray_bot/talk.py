"""Saying things in a chat: a new message, another face of an old one, a word over a pressed button."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from telebot import TeleBot
from telebot.apihelper import ApiTelegramException
from telebot.types import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions

from krotray_bot import faults, measure
from krotray_bot.stop import Stop
from krotray_core import qr, users
from krotray_core.errors import Invalid

log = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 20.0  # everybody else waits too
LONGEST_TOAST = 200  # characters


@dataclass(frozen=True, slots=True)
class Screen:
    """A message to be: its text in Telegram's HTML and its rows of buttons; with `qr`, below a picture of that text's QR code."""

    text: str
    rows: list[list[InlineKeyboardButton]] = field(default_factory=list)
    qr: str | None = None
    # Instead of the text, where that is too long to stand under a picture: the text then follows in a message of its own.
    caption: str = ""


class Talk:
    """The bot's voice. Every call may be repeated; each raises what the library raises, where repeating may help."""

    def __init__(self, bot: TeleBot, stop: Stop) -> None:
        self._bot, self._stop = bot, stop

    def send(self, chat_id: int, screen: Screen) -> None:
        """A new message. Somebody who has blocked the bot is noted as out of reach."""
        try:
            if screen.qr is None or not self._picture(chat_id, screen, screen.qr):
                self._patiently(self._bot.send_message, chat_id, screen.text, **_looks(screen))
        except ApiTelegramException as error:
            if error.error_code != 403:
                raise
            _lost(chat_id)

    def show(self, chat_id: int, message_id: int, screen: Screen) -> None:
        """Turns our message into this screen; where that is not possible (any more), it is sent anew."""
        if screen.qr is not None:  # a text cannot become a picture
            self.replace(chat_id, message_id, screen)
            return
        try:
            self._patiently(
                self._bot.edit_message_text, screen.text, chat_id=chat_id, message_id=message_id, **_looks(screen)
            )
        except ApiTelegramException as error:
            if error.error_code == 403:
                _lost(chat_id)
            elif _gone(error):
                self.send(chat_id, screen)
            elif "no text in the message" in error.description:
                self.replace(chat_id, message_id, screen)
            elif "message is not modified" not in error.description:
                raise

    def replace(self, chat_id: int, message_id: int, screen: Screen) -> bool:
        """Sends this screen and then takes the message away, in this order: better both than neither.

        Returns whether it is away; Telegram keeps what is older than two days.
        """
        self.send(chat_id, screen)
        try:
            self._patiently(self._bot.delete_message, chat_id, message_id)
        except ApiTelegramException as error:
            log.info("a message stays: %s", faults.describe(error))
            return False
        return True

    def _picture(self, chat_id: int, screen: Screen, text: str) -> bool:
        """The QR code and what belongs below it. False when there is no picture to be had: the text has to do."""
        fits = measure.units(screen.text) <= measure.LONGEST_CAPTION
        below = {"caption": screen.text, "reply_markup": InlineKeyboardMarkup(screen.rows)}
        try:
            picture = ("key.png", qr.png(text))
            self._patiently(self._bot.send_photo, chat_id, picture, **below if fits else {"caption": screen.caption})
        except Invalid:
            log.warning("a text is too long for a QR code")
            return False
        except ApiTelegramException as error:
            if error.error_code != 400:
                raise
            log.error("Telegram refuses a picture: %s", faults.describe(error))  # noqa: TRY400
            return False
        return fits

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


def _lost(chat_id: int) -> None:
    """A private chat has the id of its person."""
    log.info("somebody does not want to hear from us")
    try:
        users.lost(chat_id)
    except SQLAlchemyError as error:  # the next message to them will say so again
        log.error("no database: %s", faults.describe(error))  # noqa: TRY400


def _gone(error: ApiTelegramException) -> bool:
    return error.error_code == 400 and any(
        words in error.description for words in ("message to edit not found", "message can't be edited")
    )
