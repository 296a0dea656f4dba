"""People, their private chats with the bot, and the presses of buttons that wait for an answer."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from .errors import ApiError, bad_request
from .files import Photo
from .markup import Keyboard

FIRST_NEW_PERSON = 700_000_100


@dataclass
class Person:
    """Somebody with a Telegram account."""

    id: int
    first_name: str
    language_code: str = "ru"
    username: str | None = None
    started: bool = False
    """Has written to the bot; before that a bot may not write first."""
    allows: bool = False
    """Has let the bot write without a word to it, from the Mini App."""
    blocked: bool = False
    """Has blocked the bot."""

    @property
    def listens(self) -> bool:
        """Whether the bot may write to them."""
        return (self.started or self.allows) and not self.blocked

    @property
    def wire(self) -> dict[str, Any]:
        """As Telegram shows a user to the bot."""
        body = {"id": self.id, "is_bot": False, "first_name": self.first_name, "language_code": self.language_code}
        return body | {"username": self.username} if self.username else body

    @property
    def chat(self) -> dict[str, Any]:
        """The private chat with this person."""
        body = {"id": self.id, "first_name": self.first_name, "type": "private"}
        return body | {"username": self.username} if self.username else body


@dataclass
class Message:
    """One message of a chat, the bot's or the person's."""

    id: int
    by_bot: bool
    text: str
    entities: list[dict[str, Any]] = field(default_factory=list)
    keyboard: Keyboard = field(default_factory=list)
    photo: Photo | None = None
    """With a photo the text is its caption, and may be empty."""
    date: int = field(default_factory=lambda: int(time.time()))
    edit_date: int | None = None


@dataclass
class Press:
    """A callback query: a button of a message was pressed; `answer` is what the bot said to it."""

    id: str
    message_id: int
    data: str
    answer: dict[str, Any] | None = None
    expires: float = 0.0
    """On the monotonic clock; afterwards Telegram takes no answer."""

    @property
    def waits(self) -> bool:
        """Whether it can still be answered; a client shows the button as busy that long."""
        return self.answer is None and time.monotonic() < self.expires


@dataclass
class Chat:
    """A person's side of the conversation."""

    person: Person
    messages: list[Message] = field(default_factory=list)
    presses: list[Press] = field(default_factory=list)


class Chats:
    """All conversations of the bot. Whoever changes one calls `touch`, so that pages and tests can wait for it."""

    def __init__(self, changed: threading.Condition, *, press_seconds: float) -> None:
        self._changed, self._press_seconds = changed, press_seconds
        self._chats: dict[int, Chat] = {}
        self._message_ids = itertools.count(1)
        self._person_ids = itertools.count(FIRST_NEW_PERSON)
        self.version = 0

    def of(self, user_id: int) -> Chat:
        """The chat of a person. Raises KeyError."""
        with self._changed:
            return self._chats[user_id]

    def meet(
        self, user_id: int | None = None, *, first_name: str | None = None, language_code: str | None = None
    ) -> Chat:
        """The chat of a person who is made up if need be; a name or language given replaces what was known."""
        with self._changed:
            if user_id is None:
                user_id = next(n for n in self._person_ids if n not in self._chats)
            chat = self._chats.setdefault(user_id, Chat(Person(user_id, "Гость")))
            chat.person.first_name = first_name or chat.person.first_name
            chat.person.language_code = language_code or chat.person.language_code
            self.touch()
            return chat

    def people(self) -> list[Person]:
        """Everybody, in the order in which they came."""
        with self._changed:
            return [chat.person for chat in self._chats.values()]

    def writable(self, chat_id: int) -> Chat:
        """The chat that the bot may write to. Raises ApiError (400, 403)."""
        with self._changed:
            chat = self._chats.get(chat_id)
            if chat is None or not (chat.person.started or chat.person.allows):
                raise bad_request("chat not found")
            if chat.person.blocked:
                raise ApiError(403, "Forbidden: bot was blocked by the user")
            return chat

    def say(self, chat: Chat, *, by_bot: bool, text: str, **rest: Any) -> Message:
        """One more message at the end of a chat."""
        with self._changed:
            message = Message(next(self._message_ids), by_bot, text, **rest)
            chat.messages.append(message)
            self.touch()
            return message

    def message(self, chat: Chat, message_id: int) -> Message | None:
        """A message of a chat."""
        with self._changed:
            return next((message for message in chat.messages if message.id == message_id), None)

    def press(self, chat: Chat, message: Message, data: str) -> Press:
        """A person presses a button."""
        with self._changed:
            expires = time.monotonic() + self._press_seconds
            press = Press(str(uuid.uuid4().int >> 65), message.id, data, expires=expires)
            chat.presses.append(press)
            self.touch()
            return press

    def remove(self, chat: Chat, message: Message) -> None:
        """A message is gone, for both sides."""
        with self._changed:
            chat.messages.remove(message)
            self.touch()

    def answer(self, query_id: str, answer: dict[str, Any]) -> None:
        """The bot answers a press, once and in time. Raises ApiError (400)."""
        with self._changed:
            presses = (press for chat in self._chats.values() for press in chat.presses)
            press = next((press for press in presses if press.id == query_id), None)
            if press is None or not press.waits:
                raise bad_request("query is too old and response timeout expired or query ID is invalid")
            press.answer = answer
            self.touch()

    def let_presses_expire(self) -> None:
        """As if so much time had passed that no press can be answered any more."""
        with self._changed:
            for chat in self._chats.values():
                for press in chat.presses:
                    press.expires = 0.0
            self.touch()

    def touch(self) -> None:
        """Something has changed."""
        with self._changed:
            self.version += 1
            self._changed.notify_all()

    def wait(self, since: int, seconds: float) -> None:
        """Returns when the version is no longer `since`, or after `seconds`."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self.version == since and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
