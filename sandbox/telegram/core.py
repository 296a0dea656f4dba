"""The parts of the sandbox, put together."""

from __future__ import annotations

import threading
import time
from typing import Any

from .chats import Chat, Chats, Message
from .config import Config
from .entities import detected
from .files import Files
from .flood import Flood
from .mischief import Mischief
from .profile import Profile
from .updates import Updates

# The people whom the page offers from the start: one for each language that a bot here speaks.
CAST = ((700_000_001, "Анна", "ru"), (700_000_002, "Олег", "ru"), (700_000_003, "Emma", "en"))


class NoSuchButtonError(Exception):
    """The message has no such button, or there is no such message."""


class Telegram:
    """One bot's Telegram. The Flask app is only its doors."""

    def __init__(self, config: Config) -> None:
        self.config = config
        changed = threading.Condition()
        self.updates = Updates(changed)
        self.chats = Chats(changed, press_seconds=config.press_seconds)
        self.mischief = Mischief(changed)
        self.files = Files()
        self.flood = Flood(config.messages_per_second)
        self.profile = Profile()
        for user_id, first_name, language_code in CAST:
            self.chats.meet(user_id, first_name=first_name, language_code=language_code)

    @property
    def me(self) -> dict[str, Any]:
        """The bot as a user."""
        config = self.config
        return {"id": config.bot_id, "is_bot": True, "first_name": config.name, "username": config.username}

    def write(self, chat: Chat, text: str) -> tuple[Message, int | None]:
        """The person writes to the bot: the message and the id of its update."""
        self.block(chat, False)  # who has blocked the bot and writes has let it in again
        chat.person.started = True
        message = self.chats.say(chat, by_bot=False, text=text, entities=detected(text))
        return message, self.updates.add("message", self.message_wire(chat, message))

    def block(self, chat: Chat, blocked: bool) -> int | None:
        """The person blocks the bot, or lets it in again: the id of the update that tells the bot, if that is news."""
        if chat.person.blocked == blocked:
            return None
        chat.person.blocked = blocked
        self.chats.touch()
        before, after = [{"user": self.me, "status": status} for status in ("member", "kicked")]
        after["until_date"] = 0
        old, new = (before, after) if blocked else (after, before)
        body = {"chat": chat.person.chat, "from": chat.person.wire, "date": int(time.time())}
        return self.updates.add("my_chat_member", body | {"old_chat_member": old, "new_chat_member": new})

    def press(self, chat: Chat, message_id: int, wanted: str) -> tuple[str, str]:
        """The person presses a button of a bot's message, named by its text or its callback data.

        Returns what happens as ("callback_query_id" | "url" | "web_app" | "copied", value). Raises NoSuchButtonError.
        """
        message = self.chats.message(chat, message_id)
        buttons = [button for row in message.keyboard for button in row] if message else []
        button = next((b for b in buttons if wanted in (b["text"], b.get("callback_data"))), None)
        if message is None or button is None:
            known = ", ".join(b["text"] for b in buttons) or "no buttons"
            raise NoSuchButtonError(f"message {message_id} has no button {wanted!r}; it has {known}")
        if "copy_text" in button:
            return "copied", button["copy_text"]["text"]
        if mini_app := self.mini_app_of(button):
            return "web_app", mini_app
        if "url" in button:
            return "url", button["url"]
        press = self.chats.press(chat, message, button["callback_data"])
        self.updates.add(
            "callback_query",
            {
                "id": press.id,
                "from": chat.person.wire,
                "chat_instance": str(chat.person.id * 31),
                "message": self.message_wire(chat, message),
                "data": press.data,
            },
        )
        return "callback_query_id", press.id

    def mini_app_of(self, button: dict[str, Any]) -> str | None:
        """The Mini App that a button opens, if it does.

        A bot on one machine has no https and sends its Mini App as a plain URL; a click on it opens the Mini App all the
        same, as a t.me/bot/app link would.
        """
        if "web_app" in button:
            return str(button["web_app"]["url"])
        ours, url = self.config.mini_app_url, button.get("url")
        return ours if ours and url and url.rstrip("/") == ours.rstrip("/") else None

    def message_wire(self, chat: Chat, message: Message) -> dict[str, Any]:
        """A message as Telegram shows it to the bot."""
        body: dict[str, Any] = {
            "message_id": message.id,
            "from": self.me if message.by_bot else chat.person.wire,
            "chat": chat.person.chat,
            "date": message.date,
        }
        said = "caption" if message.photo else "text"
        optional = {
            "edit_date": message.edit_date,
            "photo": message.photo.sizes if message.photo else None,
            said: message.text,
            "caption_entities" if message.photo else "entities": message.entities,
            "reply_markup": {"inline_keyboard": message.keyboard} if message.keyboard else None,
        }
        return body | {name: value for name, value in optional.items() if value}
