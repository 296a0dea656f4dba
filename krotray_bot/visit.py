"""Who came to us, with what, and what they get for an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError
from telebot.types import CallbackQuery, Message
from telebot.types import User as Account

from krotray_bot import faults, measure
from krotray_bot import words as languages
from krotray_bot.talk import Screen
from krotray_bot.words import Words
from krotray_core import users
from krotray_core.models import User
from krotray_core.users import Person

log = logging.getLogger(__name__)

LONGEST_FIELD = 256  # characters of a name; Telegram's own are shorter


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody came to us in a private chat: they wrote `text`, or pressed a button.

    `event` names the message or the press: it is the same when the update comes once more.
    """

    person: Person
    words: Words
    chat_id: int
    event: str
    text: str = ""
    message_id: int | None = None  # of the message under whose button they pressed
    _known: list[User | SQLAlchemyError] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of_message(cls, message: Message) -> Visit:
        """They wrote."""
        return cls._of(message.from_user, message.chat.id, f"m{message.message_id}", message.text)

    @classmethod
    def of_press(cls, call: CallbackQuery) -> Visit:
        """They pressed a button of ours."""
        return cls._of(call.from_user, call.message.chat.id, f"q{call.id}", message_id=call.message.message_id)

    @classmethod
    def _of(
        cls, account: Account, chat_id: int, event: str, text: str | None = None, *, message_id: int | None = None
    ) -> Visit:
        person = Person(
            account.id,
            measure.storable(account.username, LONGEST_FIELD),
            measure.storable(account.first_name, LONGEST_FIELD),
            measure.storable(account.language_code, LONGEST_FIELD),
        )
        said = measure.storable(text, measure.LONGEST_TEXT) or ""
        return cls(person, languages.of(account.language_code), chat_id, event, said, message_id)

    def user(self) -> User:
        """Their row, made or brought up to date; once a visit, and once is enough to wait for a database that is away."""
        if not self._known:
            try:
                self._known.append(users.greet(self.person))
            except SQLAlchemyError as error:
                self._known.append(error)
        match self._known[0]:
            case User() as user:
                return user
            case error:
                raise error

    def note(self) -> None:
        """They are here: known, and within reach. The answer does not hang on that."""
        try:
            self.user()
        except SQLAlchemyError as error:
            log.error("no database: %s", faults.describe(error))  # noqa: TRY400

    @property
    def said(self) -> list[str]:
        """The words behind a command."""
        return self.text.split()[1:]


@dataclass(frozen=True, slots=True)
class Reply:
    """What to do about a press: a new face for the message, a word over it, or both.

    `shown` is told the id of the message that has got the new face, where that is known.
    """

    screen: Screen | None = None
    toast: str | None = None
    shown: Callable[[int], None] | None = None
