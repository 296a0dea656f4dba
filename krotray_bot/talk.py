"""Saying things in a chat: a new message, another face of an old one, a word over a pressed button."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from telebot import TeleBot
from telebot.apihelper import ApiTelegramException
from telebot.types import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions

from krotray_bot import faults, measure
from krotray_bot.mutes import Mutes, Owed
from krotray_bot.stop import Stop
from krotray_core import delivery, leases, qr, users
from krotray_core.errors import Invalid

log = logging.getLogger(__name__)

LONGEST_TOAST = 200  # characters
MOST_AT_ONCE = 5  # late answers, before whoever has come meanwhile has their turn
LATE_SECONDS = 1.0  # and no more of them begin after that
MOST_LOSSES = (
    2  # of a late answer: one that got no answer itself may have arrived, and nobody wants to read it over and over
)


@dataclass(frozen=True, slots=True)
class Screen:
    """A message to be: its text in Telegram's HTML and its rows of buttons; with `qr`, below a picture of that text's QR code."""

    text: str
    rows: list[list[InlineKeyboardButton]] = field(default_factory=list)
    qr: str | None = None
    # Instead of the text, where that is too long to stand under a picture: the text then follows in a message of its own.
    caption: str = ""


class Fate(Enum):
    """What became of something that was to be said."""

    SAID = auto()
    OWED = auto()  # the chat is mute and will hear it when that is over
    DROPPED = auto()  # the chat is mute, and for too long
    LOST = auto()  # they have blocked the bot


@dataclass(frozen=True, slots=True)
class Told:
    """That, the message that has it or will have it, if that is known, and whether the one that it replaces is away."""

    fate: Fate
    message_id: int | None = None
    away: bool = False


class Talk:
    """The bot's voice. Every call may be repeated; each raises what the library raises, where repeating may help.

    Nothing here waits for one chat's sake: a chat that Telegram wants left alone (429) is mute until that is over, and hears then,
    once, the last thing that it was to hear.
    """

    def __init__(self, bot: TeleBot, stop: Stop) -> None:
        self._bot, self._stop = bot, stop
        self._mutes = Mutes()

    def send(self, chat_id: int, screen: Screen) -> Told:
        """A new message. Somebody who has blocked the bot is noted as out of reach."""
        return self._say(chat_id, lambda: self._send(chat_id, screen))

    def show(self, chat_id: int, message_id: int, screen: Screen, *, later: bool = True) -> Told:
        """Turns our message into this screen; where that is not possible (any more), it is sent anew.

        A mute chat hears it later; without `later` it is dropped there, for somebody who comes again by themselves.
        """
        if screen.qr is not None:  # a text cannot become a picture
            return self.replace(chat_id, message_id, screen, later=later)
        told = self._say(chat_id, lambda: self._edit(chat_id, message_id, screen), later=later)
        return told if told.message_id is not None else Told(told.fate, message_id)

    def replace(self, chat_id: int, message_id: int, screen: Screen, *, later: bool = True) -> Told:
        """Sends this screen and then takes the message away, in this order: better both than neither.

        Telegram keeps what is older than two days.
        """
        told = self._say(chat_id, lambda: self._send(chat_id, screen), later=later)
        return Told(told.fate, told.message_id, away=told.fate is Fate.SAID and self._delete(chat_id, message_id))

    def answer(self, query_id: str, toast: str | None = None, *, chat_id: int | None = None) -> None:
        """Ends the waiting of a pressed button in a chat, with a word or without one; raises nothing of Telegram's."""
        try:
            self._bot.answer_callback_query(query_id, toast[:LONGEST_TOAST] if toast else None)
        except faults.CALL_FAILED as error:
            wanted = faults.asked_pause(error)
            if wanted is not None and chat_id is not None:
                self._mute(chat_id, wanted)
            # Lost, or too old: the press came while we were away. What it asked for is done all the same.
            log.info("a press stays without an answer: %s", faults.describe(error))

    def muted(self, chat_id: int) -> bool:
        """Whether what is said to this chat now is not heard yet."""
        return self._mutes.left(chat_id) > 0

    @property
    def waits(self) -> bool:
        """Whether there is something to be said later."""
        return self._mutes.owing

    def tend(self) -> None:
        """Between two updates: keeps the pause that Telegram wants of all of us, and says what is owed. Raises Stopped."""
        pause = self._mutes.storm()
        if pause is not None:
            log.warning("Telegram wants a pause of %.1f s", pause)
            _hold_notices(pause)
            self._stop.pause(pause)
            return  # the time for this round is over; the next one says what is owed
        began = time.monotonic()
        for _ in range(MOST_AT_ONCE):
            due = self._mutes.due()
            if due is None or not self._say_late(*due):
                break  # the others' time may be better spent a little later
            if time.monotonic() - began > LATE_SECONDS:
                break  # the next one is to have time enough

    def _say_late(self, chat_id: int, owed: Owed) -> bool:
        """False when something else is wrong than that the chat still wants its silence."""
        try:
            self._mutes.spoken(chat_id)
            owed.say()
        except Exception as error:  # whatever a network can come up with
            wanted = faults.asked_pause(error)
            if wanted is not None:
                self._mute(chat_id, wanted)
            elif _blocked(error):
                _lost(chat_id)
                return True
            else:
                owed.losses += 1
            worth_it = faults.passes(error) and owed.losses < MOST_LOSSES
            if not (worth_it and self._mutes.owe_again(chat_id, owed)):  # the person presses again
                log.warning("a late answer is dropped: %s", faults.describe(error))
            return wanted is not None
        return True

    def _say(self, chat_id: int, say: Callable[[], int | None], *, later: bool = True) -> Told:
        """Says it, or, if the chat is mute, (`later`) when that is over."""
        if not self.muted(chat_id):
            try:
                self._mutes.spoken(chat_id)
                return Told(Fate.SAID, say())
            except ApiTelegramException as error:
                if _blocked(error):
                    _lost(chat_id)
                    return Told(Fate.LOST)
                wanted = faults.asked_pause(error)
                if wanted is None:
                    raise
                self._mute(chat_id, wanted)
        return Told(Fate.OWED if later and self._mutes.owe(chat_id, say) else Fate.DROPPED)

    def _mute(self, chat_id: int, seconds: float) -> None:
        log.warning("Telegram wants a chat left alone for %.1f s", seconds)
        self._mutes.add(chat_id, seconds)

    def _send(self, chat_id: int, screen: Screen) -> int | None:
        if screen.qr is not None:
            pictured = self._picture(chat_id, screen, screen.qr)
            if pictured is not None:
                if measure.units(screen.text) <= measure.LONGEST_CAPTION:
                    return pictured
                text = Screen(screen.text, screen.rows)  # a thing of its own: the picture need not come twice
                self._say(chat_id, lambda: self._send(chat_id, text))
                return pictured
        return _id(self._bot.send_message(chat_id, screen.text, **_looks(screen)))

    def _edit(self, chat_id: int, message_id: int, screen: Screen) -> int | None:
        try:
            self._bot.edit_message_text(screen.text, chat_id=chat_id, message_id=message_id, **_looks(screen))
        except ApiTelegramException as error:
            if _gone(error):
                return self._send(chat_id, screen)
            if "no text in the message" in error.description:
                sent = self._send(chat_id, screen)
                self._delete(chat_id, message_id)
                return sent
            if "message is not modified" not in error.description:
                raise
        return message_id

    def _delete(self, chat_id: int, message_id: int) -> bool:
        """Whether the message is away."""
        try:
            self._bot.delete_message(chat_id, message_id)
        except faults.CALL_FAILED as error:  # not worth saying everything once more
            log.info("a message stays: %s", faults.describe(error))
            return False
        return True

    def _picture(self, chat_id: int, screen: Screen, text: str) -> int | None:
        """The QR code and what belongs below it. None when there is no picture to be had: the text has to do."""
        fits = measure.units(screen.text) <= measure.LONGEST_CAPTION
        below = {"caption": screen.text, "reply_markup": InlineKeyboardMarkup(screen.rows)}
        try:
            picture = ("key.png", qr.png(text))
            return _id(self._bot.send_photo(chat_id, picture, **below if fits else {"caption": screen.caption}))
        except Invalid:
            log.warning("a text is too long for a QR code")
        except ApiTelegramException as error:
            if error.error_code != 400:
                raise
            log.error("Telegram refuses a picture: %s", faults.describe(error))  # noqa: TRY400
        return None


def _looks(screen: Screen) -> dict[str, Any]:
    return {
        "reply_markup": InlineKeyboardMarkup(screen.rows),
        "link_preview_options": LinkPreviewOptions(is_disabled=True),
    }


def _id(message: Any) -> int | None:
    """The id of what was sent; an answer of another shape still means that it was."""
    return getattr(message, "message_id", None)


def _hold_notices(seconds: float) -> None:
    """The sender of notices speaks with our token: while it is between two turns, its lease is ours for the pause.

    One that is sending now hears of the pause from Telegram itself.
    """
    try:
        leases.take(delivery.LEASE, "the bot", timedelta(seconds=seconds))
    except SQLAlchemyError as error:
        log.error("no database: %s", faults.describe(error))  # noqa: TRY400


def _lost(chat_id: int) -> None:
    """A private chat has the id of its person."""
    log.info("somebody does not want to hear from us")
    try:
        users.lost(chat_id)
    except SQLAlchemyError as error:  # the next message to them will say so again
        log.error("no database: %s", faults.describe(error))  # noqa: TRY400


def _blocked(error: Exception) -> bool:
    return isinstance(error, ApiTelegramException) and error.error_code == 403


def _gone(error: ApiTelegramException) -> bool:
    return error.error_code == 400 and any(
        words in error.description for words in ("message to edit not found", "message can't be edited")
    )
