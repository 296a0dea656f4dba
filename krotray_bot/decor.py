"""What stands around the chat: the commands and the menu button. The bot works without them, so a failure is only noted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from telebot import TeleBot
from telebot.types import BotCommand, BotCommandScopeChat, MenuButtonWebApp, WebAppInfo

from krotray_bot import faults
from krotray_bot.visit import Visit
from krotray_bot.words import COMMANDS, DEFAULT_LANGUAGE, LANGUAGES, OFFICE_COMMANDS, Words
from krotray_core import settings

log = logging.getLogger(__name__)


def everywhere(bot: TeleBot) -> None:
    """The list of commands in every language, and the menu button; the admins' own commands in their chats alone."""
    try:
        for code, words in LANGUAGES.items():
            bot.set_my_commands(_commands(words), language_code=None if code == DEFAULT_LANGUAGE else code)
        _menu_button(bot, LANGUAGES[DEFAULT_LANGUAGE])
    except Exception as error:  # whatever a network can come up with
        log.warning("commands or menu button could not be set: %s", faults.describe(error))
    for telegram_id in settings.get().admin_telegram_ids:
        _office(bot, telegram_id)


def welcome(bot: TeleBot, visit: Visit) -> None:
    """In the chat of somebody who has just said /start: the menu button in their language, and an admin's commands."""
    try:
        _menu_button(bot, visit.words, visit.chat_id)
    except Exception as error:  # likewise
        log.warning("a menu button could not be set: %s", faults.describe(error))
    if visit.person.telegram_id in settings.get().admin_telegram_ids:
        _office(bot, visit.chat_id)


def _office(bot: TeleBot, chat_id: int) -> None:
    """Telegram refuses this for an admin who has not written to the bot yet; their first /start makes up for it."""
    try:
        for code, words in LANGUAGES.items():
            office = _listed(OFFICE_COMMANDS, words.office.commands)
            bot.set_my_commands(
                [*_commands(words), *office],
                scope=BotCommandScopeChat(chat_id),
                language_code=None if code == DEFAULT_LANGUAGE else code,
            )
    except Exception as error:  # likewise
        log.warning("an admin's commands could not be set: %s", faults.describe(error))


def _commands(words: Words) -> list[BotCommand]:
    return _listed(COMMANDS, words.commands)


def _listed(names: Sequence[str], texts: Sequence[str]) -> list[BotCommand]:
    return [BotCommand(name, text) for name, text in zip(names, texts, strict=True)]


def _menu_button(bot: TeleBot, words: Words, chat_id: int | None = None) -> None:
    mini_app = settings.get().mini_app_url
    if urlsplit(mini_app).scheme == "https":  # Telegram refuses anything else
        bot.set_chat_menu_button(chat_id, MenuButtonWebApp(text=words.menu_button, web_app=WebAppInfo(mini_app)))
