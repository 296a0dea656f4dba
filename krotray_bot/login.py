"""Before the first update: the library set up our way, the token checked, our name noted, the menu and the commands in place."""

from __future__ import annotations

import logging

import telebot
from sqlalchemy.exc import SQLAlchemyError
from telebot import ExceptionHandler, TeleBot, apihelper
from telebot.apihelper import ApiTelegramException
from telebot.types import User

from krotray_bot import decor, faults, transport
from krotray_bot.pauses import Pauses
from krotray_bot.stop import Stop
from krotray_core import invites, settings

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
READ_SECONDS = 10


def connect(failures: ExceptionHandler) -> TeleBot:
    """The library's bot, as we need it. Nothing is sent yet."""
    s = settings.get()
    apihelper.API_URL = s.telegram_api_url.rstrip("/") + "/bot{0}/{1}"
    apihelper.CONNECT_TIMEOUT, apihelper.READ_TIMEOUT = CONNECT_SECONDS, READ_SECONDS
    apihelper.CUSTOM_REQUEST_SENDER = transport.send
    # The library brings a handler of its own, which writes past our log with its blotted-out secrets.
    telebot.logger.handlers.clear()
    # Not threaded: the next poll, which confirms, goes out only when the handlers of the last one are done.
    return TeleBot(s.bot_token.get_secret_value(), parse_mode="HTML", threaded=False, exception_handler=failures)


def log_in(bot: TeleBot, stop: Stop) -> User:
    """Asks Telegram who we are, for as long as it takes, and returns that. Raises faults.WrongToken, Stopped."""
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
    _remember(me)
    with stop.interruptible():
        decor.everywhere(bot)
    return me


def _remember(me: User) -> None:
    """Invitations are links to our name. Without a database now, whoever asks for one makes up for it."""
    try:
        invites.remember_bot(me.id, me.username or "")
    except SQLAlchemyError as error:
        log.warning("our own name could not be noted: %s", faults.describe(error))
