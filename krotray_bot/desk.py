"""Who wants what: messages and presses are turned into core verbs, and their outcome into a screen.

Everything here may run twice for the same update: after a crash, and when Telegram did not take our answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from telebot import TeleBot, util
from telebot.types import CallbackQuery, Message
from telebot.types import User as Account

from krotray_bot import faults, screens
from krotray_bot import words as languages
from krotray_bot.apologies import apology
from krotray_bot.talk import Screen, Talk
from krotray_bot.words import Words
from krotray_core import billing, cabinet, checkout, clock, plans, receipts, settings, users
from krotray_core.cabinet import Cabinet
from krotray_core.errors import (
    EmailInvalid,
    EmailRequired,
    GatewayUnavailable,
    Invalid,
    NotFound,
    TooManyOpenPayments,
    UnknownPlan,
)
from krotray_core.models import Payment, Plan, User
from krotray_core.users import Person
from krotray_tasks import money

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody came to us in a private chat: they wrote `text`, or pressed a button of our message `message_id`."""

    person: Person
    words: Words
    chat_id: int
    message_id: int | None = None
    text: str = ""

    @classmethod
    def of(cls, account: Account, chat_id: int, message_id: int | None = None, text: str | None = None) -> Visit:
        """From what Telegram tells about the sender."""
        person = Person(account.id, account.username, account.first_name, account.language_code)
        return cls(person, languages.of(account.language_code), chat_id, message_id, text or "")

    def user(self) -> User:
        """Their row, made or brought up to date."""
        return users.greet(self.person)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to do about a press: a new face for the message, a word over it, or both."""

    screen: Screen | None = None
    toast: str | None = None


class Desk:
    """The bot's handlers."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def register(self, bot: TeleBot) -> None:
        """Has the library call us, for private chats only: a key has no place in a group."""
        for command, action in (
            ("start", self._home),
            ("buy", self._tariffs),
            ("key", self._key),
            ("help", lambda visit: Reply(screens.help_page(visit.words))),
        ):
            bot.register_message_handler(self._answering(action), commands=[command], chat_types=["private"])
        bot.register_message_handler(
            self._answering(self._heard), content_types=util.content_type_media, chat_types=["private"]
        )
        bot.register_callback_query_handler(self.on_press, func=lambda _: True)

    def _answering(self, action: Callable[[Visit], Reply]) -> Callable[[Message], None]:
        def on_message(message: Message) -> None:
            visit = Visit.of(message.from_user, message.chat.id, text=message.text)
            reply = self._guarded(visit, action, again="home")
            if reply.screen:
                self._talk.send(visit.chat_id, reply.screen)

        return on_message

    def on_press(self, call: CallbackQuery) -> None:
        """A button was pressed: it always gets its answer, or it would go on turning in the person's hand."""
        if call.message is None or call.message.chat.type != "private":
            self._talk.answer(call.id)
            return
        visit = Visit.of(call.from_user, call.message.chat.id, call.message.message_id)
        data = call.data or ""
        slow = data.startswith("pay:")
        if slow:  # YooKassa may take its time, and Telegram gives an answer only a few seconds
            self._talk.answer(call.id)
        reply = self._guarded(visit, lambda who: self._react(who, data), again=data or "home")
        if not slow:
            self._talk.answer(call.id, reply.toast)
        if reply.screen:
            self._talk.show(visit.chat_id, visit.message_id, reply.screen)

    def _react(self, visit: Visit, data: str) -> Reply:
        words = visit.words
        match data.split(":"):
            case ["buy"]:
                reply = self._tariffs(visit)
            case ["plan", code, seen]:
                reply = Reply(screens.methods(words, _as_seen(code, seen)))
            case ["pay", code, seen, method]:
                reply = Reply(screens.to_pay(words, self._payment(visit, code, seen, method)))
            case ["plan" | "pay", *_]:  # of earlier versions: nobody knows what price stood there
                reply = self._tariffs(visit)
            case ["check", payment_id]:
                reply = self._check(visit, payment_id)
            case ["key"]:
                reply = self._key(visit)
            case ["help"]:
                reply = Reply(screens.help_page(words))
            case _:  # "home", and buttons of earlier versions
                reply = self._home(visit)
        return reply

    def _guarded(self, visit: Visit, action: Callable[[Visit], Reply], *, again: str) -> Reply:
        """The action's reply; instead of an exception one that says what happened to the money and what to do."""
        try:
            try:
                return action(visit)
            except (Invalid, TooManyOpenPayments) as error:
                return self._way_on(visit, error)
        except Exception as error:
            text = apology(error, visit.words, buying=again.startswith("pay:"))
            if again.startswith("check:"):  # a new face would take away the button to pay with
                return Reply(toast=text)
            return Reply(screens.fault(visit.words, text, again))

    def _way_on(self, visit: Visit, error: Invalid | TooManyOpenPayments) -> Reply:
        """What somebody sees who cannot have what they asked for in this way."""
        match error:
            case EmailRequired():
                return Reply(screens.ask_email(visit.words, settings.get().receipt_consent))
            case EmailInvalid():
                return Reply(screens.email_wrong(visit.words))
            case TooManyOpenPayments():
                return Reply(screens.too_many_open(visit.words, _payable(cabinet.of_user(visit.user().id))))
            case _:  # a tariff withdrawn or sold on other terms by now, or a way to pay that we no longer offer
                return self._tariffs(visit, changed=isinstance(error, UnknownPlan))

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

    def _key(self, visit: Visit) -> Reply:
        seen = cabinet.of_user(visit.user().id)
        return Reply(screens.key(visit.words, seen, clock.now(), _payable(seen)))

    def _tariffs(self, visit: Visit, *, changed: bool = False) -> Reply:
        return Reply(screens.tariffs(visit.words, plans.on_sale(), changed=changed))

    def _payment(self, visit: Visit, code: str, seen: str, method: str) -> Payment:
        """The payment that this press is about. Handled twice (two taps, a crash in between) it leads to one address.

        Raises UnknownPlan when the tariff is not sold as it was seen, unless its payment was begun before that.
        """
        user = visit.user()
        try:
            plan = _as_seen(code, seen)
        except UnknownPlan:
            begun = _payable(cabinet.of_user(user.id))
            if begun is None or not _is_of(begun, code, seen, method):
                raise
            return begun
        payment = checkout.start(user.id, plan.code, method)
        if screens.terms(payment) != seen:  # changed between these two lines: nobody is sent to pay it
            raise UnknownPlan("the tariff has just changed")
        if not payment.confirmation_url:
            raise GatewayUnavailable("YooKassa gave no address to pay at")
        return payment

    def _check(self, visit: Visit, payment_id: str) -> Reply:
        """ "I have paid": has a worker ask YooKassa soon, and answers with what is known so far."""
        user = visit.user()
        payment = billing.of_user(user.id, _id(payment_id))
        if payment.status == "pending" and payment.flagged_at is None:
            money.check(payment)
            return Reply(toast=visit.words.not_seen_yet)
        return Reply(screens.checked(visit.words, payment, cabinet.of_user(user.id), clock.now()))


def _as_seen(code: str, seen: str) -> Plan:
    plan = plans.find(code)
    if screens.terms(plan) != seen:
        raise UnknownPlan("not sold at this price or length any more")
    return plan


def _is_of(begun: Payment, code: str, seen: str, method: str) -> bool:
    """Whether a payment came from this very button, and there is time left to pay it."""
    same = (begun.plan_code, screens.terms(begun), begun.method) == (code, seen, method)
    return same and begun.confirmation_url is not None and clock.now() - begun.created_at < checkout.STILL_PAYABLE


def _payable(seen: Cabinet) -> Payment | None:
    return billing.find(seen.payment_id) if seen.payment_id else None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("no such payment") from None
