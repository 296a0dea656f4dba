"""Payments in the making: YooKassa is asked by a few threads of their own, and who waits for an answer of its holds up nobody else.

Nothing hangs on what is kept here. The payment's row is written before; after a crash the sweep makes it, and the person, under
whose eyes the message still says how, presses again and gets the same one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread
from uuid import UUID

from krotray_bot import faults, screens
from krotray_bot.apologies import apology
from krotray_bot.talk import Screen, Talk
from krotray_bot.words import Words
from krotray_core import checkout
from krotray_core.checkout import Noted
from krotray_core.errors import GatewayUnavailable
from krotray_core.models import Payment

log = logging.getLogger(__name__)

THREADS = 4
MOST_QUEUED = 16
# Usually YooKassa is quicker than that, and the first face that the person sees is the pay button.
AT_ONCE_SECONDS = 0.4
# Longer than YooKassa may take; then the person is told to come back.
LONGEST_SECONDS = 20.0
TRIES = 3  # to turn a message over while Telegram is not well
IDLE_SECONDS = 30.0


@dataclass(eq=False, slots=True)
class Bill:
    """A payment whose address is being asked for; `again` is what the button does that asks once more."""

    noted: Noted
    chat_id: int
    words: Words
    again: str
    since: float
    messages: set[int] = field(default_factory=set)  # those that are to show it
    made: Payment | None = None
    error: Exception | None = None
    done: Event = field(default_factory=Event)
    tries: int = 0

    def outcome(self) -> Payment:
        """The payment with an address to pay at. Raises why there is none."""
        if self.error is not None:
            raise self.error
        if self.made is None or not self.made.confirmation_url:
            raise GatewayUnavailable("YooKassa gave no address to pay at")
        return self.made


class Bills:
    """Has payments made, and turns the messages over that wait for them. Everything but the making is the main thread's."""

    def __init__(self, talk: Talk, make: Callable[[Noted], Payment] = checkout.make) -> None:
        self._talk, self._make = talk, make
        self._open: dict[UUID, Bill] = {}
        self._queue: Queue[Bill] = Queue(MOST_QUEUED)
        self._lock, self._threads = Lock(), 0

    def ask(self, noted: Noted, chat_id: int, words: Words, again: str) -> Bill:
        """Has a payment made; the same for one that is in the making. Raises GatewayUnavailable when too many are."""
        bill = self._open.get(noted.payment.id)
        if bill is not None:
            return bill
        alone = not self._open
        bill = Bill(noted, chat_id, words, again, time.monotonic())
        try:
            self._queue.put_nowait(bill)
        except Full:
            raise GatewayUnavailable("too many payments are in the making") from None
        self._open[noted.payment.id] = bill
        self._staff()
        if alone and bill.done.wait(AT_ONCE_SECONDS):  # behind others it would only hold up more people
            del self._open[noted.payment.id]
        return bill

    def show_in(self, bill: Bill, message_id: int) -> None:
        """This message is to show the payment as soon as it is made."""
        bill.messages.add(message_id)

    def let_go(self, chat_id: int, message_id: int) -> None:
        """Somebody has turned this message to something else: it stays that."""
        for bill in self._open.values():
            if bill.chat_id == chat_id:
                bill.messages.discard(message_id)

    @property
    def waits(self) -> bool:
        """Whether anybody waits for a payment of theirs."""
        return bool(self._open)

    def tend(self) -> None:
        """Turns over what is made, or will not be."""
        for payment_id, bill in list(self._open.items()):
            if bill.done.is_set() or time.monotonic() - bill.since > LONGEST_SECONDS:
                del self._open[payment_id]
                if not self._turn_over(bill):
                    if bill.tries < TRIES:
                        self._open[payment_id] = bill
                    break  # the next time round; meanwhile whoever has come has their turn

    def _turn_over(self, bill: Bill) -> bool:
        """False when Telegram did not take all of it."""
        screen = _face(bill)
        bill.tries += 1
        for message_id in list(bill.messages):
            try:
                self._talk.show(bill.chat_id, message_id, screen)
            except Exception as error:
                log.warning("a bill is not shown: %s", faults.describe(error))
                if faults.passes(error):
                    return False
            bill.messages.discard(message_id)
        return True

    def _staff(self) -> None:
        """One more thread, if there may be one. Daemons: who stops the bot does not wait for YooKassa."""
        with self._lock:
            if self._threads < THREADS:
                self._threads += 1
                Thread(target=self._work, name="bills", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                bill = self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._queue.empty():
                        self._threads -= 1
                        return
                continue
            try:
                if time.monotonic() - bill.since < LONGEST_SECONDS:  # else the person has been told to come back
                    bill.made = self._make(bill.noted)
            except Exception as error:
                bill.error = error
            bill.done.set()


def _face(bill: Bill) -> Screen:
    try:
        return screens.to_pay(bill.words, bill.outcome())
    except Exception as error:
        return screens.fault(bill.words, apology(error, bill.words, buying=True), bill.again)
