"""A local stand-in for Telegram: the part of its Bot API that a bot with buttons uses, a chat page for a person, a control API.

It exists for the demo and for tests, where the real pyTelegramBotAPI is the client. It knows nothing of the bot that uses it.
"""

from .app import create_app
from .config import Config

__all__ = ["Config", "create_app"]
