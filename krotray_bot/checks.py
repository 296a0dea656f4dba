"""Payments that somebody has just asked about: a worker asks YooKassa, and the message turns over when it has heard.

Nothing hangs on what is kept here: the notices bring the key, or why there is none, in any case.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from krotray_bot import faults, screens
from krotray_bot.talk import Screen, Talk
from krotray_bot.words import Words
from krotray_core import billing, cabinet, clock
from krotray_core.models import Payment

log = logging.getLogger(__name__)

LONGEST_SECONDS = 15.0  # after that the person has read the toast, and looks elsewhere
LOOK_SECONDS = 1.0  # between two looks into the database
MOST_WATCHED = 100


@dataclass(slots=True)
class Check:
    """A payment, in whose words it is shown, and when to look at it next and for the last time."""

    payment_id: UUID
    words: Words
    ends: float
    next_look: float


class Checks:
    """Looks at them now and then. The main thread's alone."""

    def __init__(self, talk: Talk, now: Callable[[], float] = time.monotonic) -> None:
        self._talk, self._now = talk, now
        self._open: OrderedDict[tuple[int, int], Check] = OrderedDict()

    def watch(self, payment: Payment, chat_id: int, message_id: int, words: Words) -> None:
        """This message is to show how the payment ended, if that is known soon."""
        now = self._now()
        self._open[chat_id, message_id] = Check(payment.id, words, now + LONGEST_SECONDS, now + LOOK_SECONDS)
        self._open.move_to_end((chat_id, message_id))
        if len(self._open) > MOST_WATCHED:
            self._open.popitem(last=False)

    def let_go(self, chat_id: int, message_id: int) -> None:
        """Somebody has turned this message to something else: it stays that."""
        self._open.pop((chat_id, message_id), None)

    @property
    def waits(self) -> bool:
        """Whether there is a payment to look at."""
        return bool(self._open)

    def tend(self) -> None:
        """Turns over what is known, one message at most; meanwhile whoever has come has their turn."""
        for (chat_id, message_id), check in list(self._open.items()):
            now = self._now()
            if now > check.ends:
                self.let_go(chat_id, message_id)
            elif now >= check.next_look:
                check.next_look = now + LOOK_SECONDS
                screen = _ended(check)
                if screen is not None:
                    self.let_go(chat_id, message_id)
                    self._show(chat_id, message_id, screen)
                    return

    def _show(self, chat_id: int, message_id: int, screen: Screen) -> None:
        try:
            self._talk.show(chat_id, message_id, screen)
        except Exception as error:  # the notice comes, or a press leads here again
            log.warning("a payment's end is not shown: %s", faults.describe(error))


def _ended(check: Check) -> Screen | None:
    """How the payment ended; None while that is not known, or the key not there. Raises as the database does."""
    payment = billing.find(check.payment_id)
    if payment.status == "pending" and payment.flagged_at is None:
        return None
    seen = cabinet.of_user(payment.user_id)
    if payment.status == "succeeded" and seen.state == "provisioning":
        return None  # the key comes within seconds, and is what they wait for
    return screens.checked(check.words, payment, seen, clock.now())
