"""Before the first update: the library set up our way, the token checked, the menu and the commands in place."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import telebot
from telebot import ExceptionHandler, TeleBot, apihelper
from telebot.apihelper import ApiTelegramException
from telebot.types import BotCommand, MenuButtonWebApp, WebAppInfo

from krotray_bot import faults
from krotray_bot.pauses import Pauses
from krotray_bot.stop import Stop
from krotray_bot.words import COMMANDS, DEFAULT_LANGUAGE, LANGUAGES
from krotray_core import settings

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
READ_SECONDS = 10


def connect(failures: ExceptionHandler) -> TeleBot:
    """The library's bot, as we need it. Nothing is sent yet."""
    s = settings.get()
    apihelper.API_URL = s.telegram_api_url.rstrip("/") + "/bot{0}/{1}"
    apihelper.CONNECT_TIMEOUT, apihelper.READ_TIMEOUT = CONNECT_SECONDS, READ_SECONDS
    # The library brings a handler of its own, which writes past our log with its blotted-out secrets.
    telebot.logger.handlers.clear()
    # Not threaded: the next poll, which confirms, goes out only when the handlers of the last one are done.
    return TeleBot(s.bot_token.get_secret_value(), parse_mode="HTML", threaded=False, exception_handler=failures)


def log_in(bot: TeleBot, stop: Stop) -> None:
    """Asks Telegram who we are, for as long as it takes. Raises faults.WrongToken, Stopped."""
    pauses = Pauses()
    while True:
        try:
            with stop.interruptible():
                me = bot.get_me()
                bot.delete_webhook()  # polling and a webhook exclude each other; what waits is kept
            break
        except ApiTelegramException as error:
            if faults.refuses_token(error):
                raise faults.WrongToken(error.error_code) from None
            pause = faults.retry_after(error) if error.error_code == 429 else pauses.next()
            log.warning("Telegram refuses the login, next try in %.0f s: %s", pause, faults.describe(error))
        except Exception as error:  # whatever a network can come up with
            pause = pauses.next()
            log.warning("Telegram does not answer, next try in %.0f s: %s", pause, faults.describe(error))
        stop.pause(pause)
    log.info("logged in as @%s", me.username)
    with stop.interruptible():
        _decorate(bot)


def _decorate(bot: TeleBot) -> None:
    """The list of commands in every language and the menu button. The bot works without them, so a failure is only noted."""
    mini_app = settings.get().mini_app_url
    try:
        for code, words in LANGUAGES.items():
            commands = [BotCommand(name, text) for name, text in zip(COMMANDS, words.commands, strict=True)]
            bot.set_my_commands(commands, language_code=None if code == DEFAULT_LANGUAGE else code)
        if urlsplit(mini_app).scheme == "https":  # Telegram refuses anything else
            label = LANGUAGES[DEFAULT_LANGUAGE].menu_button
            bot.set_chat_menu_button(menu_button=MenuButtonWebApp(text=label, web_app=WebAppInfo(mini_app)))
    except Exception as error:  # likewise
        log.warning("commands or menu button could not be set: %s", faults.describe(error))
