"""Where people find us outside this service: the bot, where everything is bought and asked."""

from __future__ import annotations

from sqlalchemy import select

from krotray_core import settings
from krotray_core.db import transaction
from krotray_core.models import BotAccount


def bot_url() -> str:
    """The bot's address; the Mini App's as long as the bot has never logged in."""
    with transaction() as session:
        username = session.scalar(select(BotAccount.username).order_by(BotAccount.logged_in_at.desc()).limit(1))
    return f"https://t.me/{username}" if username else settings.get().mini_app_url
