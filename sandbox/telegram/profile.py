"""What a bot says about itself: its commands, its menu button, its texts; per language, some of it per chat.

https://core.telegram.org/bots/api#botcommandscope
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any

from .errors import bad_request
from .markup import check_web_app

MOST_COMMANDS = 100
LONGEST_DESCRIPTION = 256
LONGEST_TEXTS = {"name": 64, "description": 512, "short_description": 120}
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_LANGUAGE = re.compile(r"[a-z]{2}|")
_SCOPES = (
    "default",
    "all_private_chats",
    "all_group_chats",
    "all_chat_administrators",
    "chat",
    "chat_administrators",
    "chat_member",
)

Scope = tuple[str, int]  # its type, and the chat's id or 0
Commands = list[dict[str, str]]


def scope_of(given: dict[str, Any] | None) -> Scope:
    """Whom a list of commands is for; everybody, when nothing is said. Raises ApiError."""
    kind = (given or {}).get("type", "default")
    if kind not in _SCOPES:
        raise bad_request("can't parse BotCommandScope: Unsupported type specified")
    if not kind.startswith("chat"):
        return kind, 0
    try:
        return kind, int((given or {})["chat_id"])
    except (KeyError, TypeError, ValueError):
        raise bad_request("can't parse BotCommandScope: chat_id is empty") from None


def language_of(given: str | None) -> str:
    """A language's two letters, or "" for everybody who has none of their own. Raises ApiError."""
    code = given or ""
    if not _LANGUAGE.fullmatch(code):
        raise bad_request("LANG_CODE_INVALID")
    return code


@dataclass
class Profile:
    """All of it for one bot."""

    _texts: dict[tuple[str, str], str] = field(default_factory=dict)
    """By kind ("name", "description", "short_description") and language."""
    _commands: dict[tuple[Scope, str], Commands] = field(default_factory=dict)
    _buttons: dict[int, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set_commands(self, scope: Scope, language: str, commands: list[Any]) -> None:
        """Replaces one list; an empty one is none. Raises ApiError."""
        if len(commands) > MOST_COMMANDS:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not isinstance(command, dict) or not _COMMAND.fullmatch(str(command.get("command", ""))):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(str(command.get("description", ""))) <= LONGEST_DESCRIPTION:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        with self._lock:
            self._commands.pop((scope, language), None)
            if commands:
                self._commands[scope, language] = [
                    {"command": one["command"], "description": one["description"]} for one in commands
                ]

    def commands(self, scope: Scope, language: str) -> Commands:
        """One list exactly as it was set."""
        with self._lock:
            return self._commands.get((scope, language), [])

    def commands_by_language(self) -> dict[str, Commands]:
        """Those for everybody."""
        with self._lock:
            return {language: one for (scope, language), one in self._commands.items() if scope == ("default", 0)}

    def commands_seen_by(self, chat_id: int, language: str) -> Commands:
        """What somebody sees in their private chat: the closest scope wins, in it their own language."""
        with self._lock:
            for scope in (("chat", chat_id), ("all_private_chats", 0), ("default", 0)):
                for code in (language, ""):
                    if (scope, code) in self._commands:
                        return self._commands[scope, code]
        return []

    def set_button(self, chat_id: int, button: dict[str, Any] | None) -> None:
        """The menu button of one chat, or with 0 of all that have none of their own. Raises ApiError."""
        kind = (button or {"type": "default"}).get("type")
        if kind not in ("default", "commands", "web_app"):
            raise bad_request("can't parse MenuButton: Unsupported type specified")
        if button and kind == "web_app":
            if not str(button.get("text") or "").strip():
                raise bad_request('can\'t parse MenuButton: Field "text" must be a non-empty String')
            check_web_app(button.get("web_app"), "menu button")
        with self._lock:
            self._buttons.pop(chat_id, None)
            if button and kind != "default":
                self._buttons[chat_id] = button

    def button(self, chat_id: int) -> dict[str, Any] | None:
        """The menu button that a chat shows; None is Telegram's own choice."""
        with self._lock:
            return self._buttons.get(chat_id) or self._buttons.get(0)

    def set_text(self, kind: str, language: str, text: str) -> None:
        """A text about the bot; an empty one takes it away. Raises ApiError."""
        if len(text) > LONGEST_TEXTS[kind]:
            raise bad_request(f"BOT_{kind.upper()}_TOO_LONG")
        with self._lock:
            self._texts.pop((kind, language), None)
            if text:
                self._texts[kind, language] = text

    def text(self, kind: str, language: str) -> str:
        """A text in somebody's language, or in the one for everybody."""
        with self._lock:
            return self._texts.get((kind, language)) or self._texts.get((kind, ""), "")
