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
from krotray_bot.talk import Fate, Screen, Talk
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
# To turn a message over while Telegram is not well, each after twice the pause: more than two minutes together.
TRIES, FIRST_PAUSE_SECONDS = 10, 0.25
LONGEST_KEPT_SECONDS = 600.0  # for a chat that Telegram wants left alone
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
    next_try: float = 0.0

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
        """Has a payment made; the same for one that is in the making.

        Raises GatewayUnavailable when too many are, or no thread can be had.
        """
        before = self._open.get(noted.payment.id)
        if before is not None and before.error is None:
            return before
        alone = all(bill.done.is_set() for bill in self._open.values())
        bill = Bill(noted, chat_id, words, again, time.monotonic())
        if before is not None:  # it has failed, and that could not be shown yet
            bill.messages |= before.messages
        with self._lock:  # under which a thread that finds nothing to do leaves
            self._staff()
            try:
                self._queue.put_nowait(bill)
            except Full:
                raise GatewayUnavailable("too many payments are in the making") from None
        self._open[noted.payment.id] = bill
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
        """Whether anybody waits for a payment of theirs who could be shown it."""
        return any(not self._talk.muted(bill.chat_id) for bill in self._open.values())

    def tend(self) -> None:
        """Turns over what is made, or will not be."""
        for payment_id, bill in list(self._open.items()):
            now = time.monotonic()
            if now - bill.since > LONGEST_KEPT_SECONDS:
                del self._open[payment_id]
            elif not bill.done.is_set() and now - bill.since <= LONGEST_SECONDS:
                continue
            elif now >= bill.next_try and not self._talk.muted(bill.chat_id):
                well = self._turn_over(bill)
                if not bill.messages or bill.tries >= TRIES:
                    del self._open[payment_id]
                if not well:
                    break  # the next time round; meanwhile whoever has come has their turn

    def _turn_over(self, bill: Bill) -> bool:
        """Shows it in those messages that are left. False when Telegram is not well."""
        screen = _face(bill)
        for message_id in list(bill.messages):
            try:
                # Nothing is owed: we come again by ourselves, unless the person goes elsewhere meanwhile.
                told = self._talk.show(bill.chat_id, message_id, screen, later=False)
            except Exception as error:
                log.warning("a bill is not shown: %s", faults.describe(error))
                if faults.passes(error):
                    bill.next_try = time.monotonic() + FIRST_PAUSE_SECONDS * 2**bill.tries
                    bill.tries += 1
                    return False
            else:
                if told.fate is Fate.DROPPED:
                    return True
            bill.messages.discard(message_id)
        return True

    def _staff(self) -> None:
        """One more thread, if there may be one; under the lock. Daemons: who stops the bot does not wait for YooKassa.

        Raises GatewayUnavailable when there is none at all.
        """
        if self._threads < THREADS:
            try:
                Thread(target=self._work, name="bills", daemon=True).start()
            except RuntimeError as error:  # the system gives us no more
                log.error("no thread for bills: %s", faults.describe(error))  # noqa: TRY400
                if not self._threads:
                    raise GatewayUnavailable("no thread can be started") from None
            else:
                self._threads += 1

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
