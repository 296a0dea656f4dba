"""A chat without a Telegram, and somebody in it who buys: what the bot shows them and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from telebot.types import CallbackQuery, Message

from krotray_bot.desk import Desk
from krotray_bot.talk import Fate, Screen, Talk, Told
from krotray_core import users
from tests.conftest import new_user


class Chat(Talk):
    """What the bot shows and says in it."""

    def __init__(self) -> None:
        self.shown: list[Screen] = []

    def show(self, chat_id: int, message_id: int, screen: Screen, *, later: bool = True) -> Told:
        """Turns the message over."""
        assert chat_id
        assert later
        self.shown.append(screen)
        return Told(Fate.SAID, message_id)

    def send(self, chat_id: int, screen: Screen) -> Told:
        """Says it in a new message."""
        return self.show(chat_id, 2, screen)

    def answer(self, query_id: str, toast: str | None = None, *, chat_id: int | None = None) -> None:
        """Ends the waiting of a press, without a word."""
        assert query_id
        assert chat_id
        assert toast is None


class Buyer:
    """Somebody in that chat; for each message there is a bot that was started a moment ago."""

    def __init__(self) -> None:
        self.user = new_user()
        self._account = {"id": self.user.telegram_id, "is_bot": False, "first_name": "Анна", "language_code": "ru"}
        self._message = {"message_id": 1, "date": 1, "chat": {"id": self.user.telegram_id, "type": "private"}}

    def press(self, data: str) -> Screen:
        """What the message turns into."""
        chat = Chat()
        press = {"id": "1", "from": self._account, "message": self._message | {"text": "x"}, "chat_instance": "1"}
        Desk(chat).on_press(CallbackQuery.de_json(press | {"data": data}))
        return chat.shown[-1]

    def write(self, text: str | None) -> Screen:
        """What the bot answers; None is a sticker."""
        chat = Chat()
        heard: list[Callable[[Message], None]] = []
        bot = SimpleNamespace(
            register_message_handler=lambda handler, **_: heard.append(handler),
            register_callback_query_handler=lambda *_, **__: None,
        )
        Desk(chat).register(bot)  # type: ignore[arg-type] # only what it needs of a bot
        said = self._message | {"from": self._account} | ({"text": text} if text is not None else {})
        heard[-1](Message.de_json(said))
        return chat.shown[-1]

    def kept(self) -> str | None:
        """The address for receipts that we know."""
        return users.find(self.user.telegram_id).receipt_email


def does(screen: Screen) -> list[str]:
    """What the buttons do."""
    return [button.callback_data or button.url or "" for row in screen.rows for button in row]


def labels(screen: Screen) -> list[str]:
    """What the buttons say."""
    return [button.text for row in screen.rows for button in row]
