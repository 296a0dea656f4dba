"""What the bot asks and says about itself and its chats: getMe, commands, the menu button, files."""

from __future__ import annotations

from typing import Any

from .core import Telegram
from .incoming import Method, Parameters
from .profile import LONGEST_TEXTS, language_of, scope_of


def get_me(telegram: Telegram, _: Parameters) -> dict[str, Any]:
    """Who the bot is."""
    abilities = (
        "can_read_all_group_messages",
        "supports_inline_queries",
        "can_connect_to_business",
        "has_main_web_app",
    )
    return telegram.me | {"can_join_groups": True} | dict.fromkeys(abilities, False)


def get_chat(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """A private chat. Raises ApiError."""
    return telegram.chats.writable(given.chat()).person.chat


def get_file(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """Where a file can be downloaded."""
    photo = telegram.files.find(given.text("file_id") or "")
    return photo.wire | {"file_path": photo.path}


def set_my_commands(telegram: Telegram, given: Parameters) -> bool:
    """The commands behind the / button, for a scope and a language."""
    scope, language = _whom(given)
    telegram.profile.set_commands(scope, language, given.json("commands", list, "commands") or [])
    telegram.chats.touch()
    return True


def delete_my_commands(telegram: Telegram, given: Parameters) -> bool:
    """Takes a list of commands away: the next wider one shows."""
    scope, language = _whom(given)
    telegram.profile.set_commands(scope, language, [])
    telegram.chats.touch()
    return True


def get_my_commands(telegram: Telegram, given: Parameters) -> list[dict[str, str]]:
    """One list as it was set."""
    return telegram.profile.commands(*_whom(given))


def set_chat_menu_button(telegram: Telegram, given: Parameters) -> bool:
    """What the button beside the text field does, in one chat or in all."""
    chat_id = given.number("chat_id", 0)
    if chat_id:
        telegram.chats.writable(chat_id)
    telegram.profile.set_button(chat_id, given.json("menu_button", dict, "menu button"))
    telegram.chats.touch()
    return True


def get_chat_menu_button(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """What it does."""
    return telegram.profile.button(given.number("chat_id", 0)) or {"type": "default"}


def _whom(given: Parameters) -> tuple[tuple[str, int], str]:
    return scope_of(given.json("scope", dict, "bot command scope")), language_of(given.text("language_code"))


def _setter(kind: str) -> Method:
    def set_text(telegram: Telegram, given: Parameters) -> bool:
        telegram.profile.set_text(kind, language_of(given.text("language_code")), given.text(kind) or "")
        telegram.chats.touch()
        return True

    return set_text


def _getter(kind: str) -> Method:
    def get_text(telegram: Telegram, given: Parameters) -> dict[str, str]:
        text = telegram.profile.text(kind, language_of(given.text("language_code")))
        return {kind: text or (telegram.config.name if kind == "name" else "")}

    return get_text


_METHOD_NAMES = {"name": "MyName", "description": "MyDescription", "short_description": "MyShortDescription"}
METHODS: dict[str, Method] = {
    "getMe": get_me,
    "getChat": get_chat,
    "getFile": get_file,
    "setMyCommands": set_my_commands,
    "deleteMyCommands": delete_my_commands,
    "getMyCommands": get_my_commands,
    "setChatMenuButton": set_chat_menu_button,
    "getChatMenuButton": get_chat_menu_button,
    **{f"set{_METHOD_NAMES[kind]}": _setter(kind) for kind in LONGEST_TEXTS},
    **{f"get{_METHOD_NAMES[kind]}": _getter(kind) for kind in LONGEST_TEXTS},
}
