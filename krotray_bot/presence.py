"""Who blocks the bot, and who takes it back: told by Telegram, without a word to anybody."""

from __future__ import annotations

import logging

from telebot import TeleBot
from telebot.types import ChatMemberUpdated

from krotray_core import users

log = logging.getLogger(__name__)

AWAY = frozenset({"kicked", "left"})


def register(bot: TeleBot) -> None:
    """Has the library call us, for private chats only."""
    bot.register_my_chat_member_handler(on_change, func=lambda change: change.chat.type == "private")


def on_change(change: ChatMemberUpdated) -> None:
    """Somebody is out of reach, or within it again. Without a database this is not lost: the update comes once more."""
    note = users.lost if change.new_chat_member.status in AWAY else users.back
    if note(change.chat.id):
        log.info("somebody is now %s", change.new_chat_member.status)
