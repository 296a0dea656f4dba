"""Who wants what: messages and presses are led to those who turn them into core verbs and screens.

Everything here may run twice for the same update: after a crash, and when Telegram did not take our answer.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError
from telebot import TeleBot, util
from telebot.types import CallbackQuery, Message
from telebot.types import User as Account

from krotray_bot import decor, faults, keyring, screens, shop
from krotray_bot.bills import Bills
from krotray_bot.checks import Checks
from krotray_bot.counter import Action, Counter
from krotray_bot.pace import Pace
from krotray_bot.talk import Talk
from krotray_bot.visit import Reply, Visit
from krotray_core import cabinet, clock, invites, plans, receipts, settings, users
from krotray_core.errors import Invalid, TooManyOpenPayments

log = logging.getLogger(__name__)

# What Telegram lets through behind /start, as long as a button can carry it.
_PAYLOAD = re.compile(r"[A-Za-z0-9_-]{1,58}", re.ASCII)


class Desk:
    """The bot's handlers. `me` is the bot's own account, as Telegram has told it."""

    def __init__(self, talk: Talk, me: Account | None = None) -> None:
        self._counter, self._keyring, self._me = Counter(talk, Pace()), keyring.Keyring(), me
        self.bills, self.checks = Bills(talk), Checks(talk)
        self._screens: dict[str, Action] = {
            "buy": shop.tariffs,
            "key": keyring.show,
            "connect": keyring.connect,
            "invite": lambda visit: keyring.invite(visit, self._me),
            "help": lambda visit: Reply(screens.help_page(visit.words, settings.get().support_url)),
            "home": self._home,
        }

    def register(self, bot: TeleBot) -> None:
        """Has the library call us, for private chats only: a key has no place in a group."""

        def on_start(message: Message) -> None:
            payload = _payload(message.text or "")
            visit = self._hear(message, lambda who: self._start(who, payload), f"start:{payload}")
            if visit is not None:
                decor.welcome(bot, visit)

        bot.register_message_handler(on_start, commands=["start"], chat_types=["private"])
        for name in ("buy", "key", "connect", "invite", "help"):
            bot.register_message_handler(self._showing(name), commands=[name], chat_types=["private"])
        bot.register_message_handler(self._on_words, content_types=util.content_type_media, chat_types=["private"])
        bot.register_callback_query_handler(self.on_press, func=lambda _: True)

    def on_press(self, call: CallbackQuery) -> None:
        """A button was pressed."""
        self._counter.press(call, lambda visit, data: _kindly(visit, lambda who: self._react(who, data)))

    def _showing(self, name: str) -> Callable[[Message], None]:
        def on_command(message: Message) -> None:
            self._hear(message, self._screens[name], f"go:{name}")

        return on_command

    def _on_words(self, message: Message) -> None:
        self._hear(message, self._heard, "go:home")

    def _hear(self, message: Message, action: Action, again: str) -> Visit | None:
        return self._counter.hear(message, lambda visit: _kindly(visit, action), again=again)

    def _react(self, visit: Visit, data: str) -> Reply:
        if visit.message_id is not None and not data.startswith("check:"):  # that one leaves the message as it is
            self.bills.let_go(visit.chat_id, visit.message_id)
            self.checks.let_go(visit.chat_id, visit.message_id)
        match data.split(":"):
            case ["go", name] | [name] if name in self._screens:
                reply = self._screens[name](visit)
            case ["start", payload]:
                reply = self._start(visit, payload)
            case ["plan", code, seen]:
                reply = shop.methods(visit, code, seen)
            case ["pay", code, seen, method]:
                reply = shop.pay(visit, code, seen, method, self.bills)
            case ["plan" | "pay", *_]:  # of earlier versions: nobody knows what price stood there
                reply = shop.tariffs(visit)
            case ["check", payment_id]:
                reply = shop.check(visit, payment_id, self.checks)
            case ["on", platform]:
                reply = keyring.platform(visit, platform)
            case ["go", "rotate"]:
                reply = keyring.ask_rotate(visit)
            case ["rotate", mark]:
                reply = self._keyring.rotate(visit, mark)
            case _:  # buttons of earlier versions, or of nobody's
                reply = self._home(visit)
        return reply

    def _start(self, visit: Visit, payload: str) -> Reply:
        """/start, perhaps with something behind it: an invitation, or the screen to begin with."""
        if payload.startswith(invites.PREFIX):
            if invites.accept(visit.user().id, payload):
                log.info("somebody came by an invitation")
        elif payload in self._screens:
            return self._screens[payload](visit)
        elif payload:  # its words are somebody else's
            log.info("/start with %d characters that mean nothing here", len(payload))
        return self._home(visit)

    def _home(self, visit: Visit) -> Reply:
        seen = None
        try:
            seen = cabinet.of_user(visit.user().id)
        except SQLAlchemyError as error:  # the menu is worth showing all the same
            log.error("no database: %s", faults.describe(error))  # noqa: TRY400
        return Reply(
            screens.home(
                visit.words,
                name=visit.person.first_name or "",
                mini_app_url=settings.get().mini_app_url,
                seen=seen,
                now=clock.now(),
            )
        )

    def _heard(self, visit: Visit) -> Reply:
        """Free words. While receipts are on, a single one with an @ in it is where somebody's go: nothing has to be remembered."""
        tried = receipts.required() and "@" in visit.text
        if tried and len(visit.text.split()) == 1:
            email = users.keep_receipt_email(visit.user().id, visit.text.strip())
            return Reply(screens.email_kept(visit.words, email, plans.on_sale()))
        return Reply(screens.not_understood(visit.words, settings.get().mini_app_url, email_tried=tried))


def _kindly(visit: Visit, action: Action) -> Reply:
    """The action's reply, or another way to what was wanted. Raises whatever else went wrong."""
    try:
        return action(visit)
    except (Invalid, TooManyOpenPayments) as error:
        return shop.way_on(visit, error)


def _payload(text: str) -> str:
    """What stood behind /start; "" for nothing, and for what no link of ours can have put there."""
    said = text.split(maxsplit=1)[1:]
    if said and not _PAYLOAD.fullmatch(said[0]):
        log.info("/start with %d characters of a form that Telegram's links do not have", len(said[0]))
        return ""
    return said[0] if said else ""
