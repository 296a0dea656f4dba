"""The loop: updates are fetched, handled one by one in their order, and confirmed only after that.

The library's own loop confirms a batch as a whole, swallows what failed in it, knows no order between messages and presses,
and forgets a stop that comes before it runs; so only its parsing, its handlers and its calls are used.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from telebot import ExceptionHandler, TeleBot, apihelper, types
from telebot.apihelper import ApiTelegramException

from krotray_bot import faults, transport
from krotray_bot.pauses import Pauses
from krotray_bot.stop import Stop, Stopped
from krotray_core import tracing

log = logging.getLogger(__name__)

ALLOWED_UPDATES = ["message", "callback_query", "my_chat_member"]
LONG_POLL_SECONDS = 5
SHORT_POLL_SECONDS = 1  # while something else waits to be said
BATCH = 25  # what a crash makes us do again at most
# Of an update whose answer Telegram would not take, though it gave us updates in between: only then it is about that update,
# and an answer given up is better than nobody served.
TRIES, TRIES_BEFORE_OTHERS = 5, 3
# What the first try may take when others wait, and each that follows: that the first one was too short may have been all.
FIRST_SECONDS, AGAIN_SECONDS = 3.0, 10.0
CHORE_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 2.0  # between tries: nobody who comes meanwhile is to wait longer


class Failures(ExceptionHandler):
    """Where the library reports what a handler raised: the loop asks here afterwards."""

    def __init__(self) -> None:
        self._last: Exception | None = None

    def handle(self, exception: Exception) -> bool:
        """Notes it; True says that it is dealt with, without which the rest of a batch would be lost."""
        self._last = exception
        return True

    def take(self) -> Exception | None:
        """What was raised since the last time, if anything."""
        last, self._last = self._last, None
        return last


class Chore(Protocol):
    """Something to be done now and then between two updates."""

    @property
    def waits(self) -> bool:
        """Whether there will be something to do soon."""

    def tend(self) -> None:
        """Does what there is to do now."""


class Poller:
    """Takes updates from Telegram and hands them to the handlers, at least once each; in between it looks after `chores`."""

    def __init__(self, bot: TeleBot, failures: Failures, stop: Stop, chores: Sequence[Chore] = ()) -> None:
        self._bot, self._failures, self._stop, self._chores = bot, failures, stop, chores
        self._offset = 0
        self._unconfirmed = False
        self._pauses, self._retries = Pauses(), Pauses()
        self._tried = (0, 0)  # an update and how often its handling has failed since Telegram was last out of reach

    def run(self) -> None:
        """Until told to stop. Raises WrongToken when Telegram no longer accepts the token."""
        log.info("polling")
        try:
            while True:
                batch = self._fetch()
                for number, raw in enumerate(batch, 1):
                    self._stop.check()
                    with tracing.following(f"update-{_id(raw)}"):
                        handled = self._handle(raw, others=number < len(batch))
                    if not handled:
                        break
                    self._tend()
                self._tend()
        except Stopped:
            self._confirm()
        log.info("stopped")

    def _fetch(self) -> list[dict[str, Any]]:
        """The next updates; none after a failure and a pause."""
        wait = SHORT_POLL_SECONDS if any(chore.waits for chore in self._chores) else LONG_POLL_SECONDS
        try:
            with self._stop.interruptible():
                batch: list[dict[str, Any]] = self._poll(limit=BATCH, long_polling_timeout=wait)
        except ApiTelegramException as error:
            self._refused(error)
            return []
        except Exception as error:  # whatever a network, or a login page in between, can come up with
            self._tried = (0, 0)  # it was not about that update
            pause = self._pauses.next()
            if self._pauses.failures == 1:  # one line an outage
                log.warning("Telegram does not answer: %s", faults.describe(error))
            self._stop.pause(pause)
            return []
        if self._pauses.failures:
            log.info("Telegram answers again")
            self._pauses.reset()
        self._unconfirmed = False  # the call carried the offset
        return batch

    def _poll(self, **options: int) -> Any:
        # Not bot.get_updates(): one update that the library cannot read would take its whole batch with it, for ever.
        return apihelper.get_updates(self._bot.token, offset=self._offset, allowed_updates=ALLOWED_UPDATES, **options)

    def _refused(self, error: ApiTelegramException) -> None:
        self._tried = (0, 0)  # likewise
        if faults.refuses_token(error):
            raise faults.WrongToken(error.error_code) from None
        pause = faults.retry_after(error) if error.error_code == 429 else self._pauses.next()
        log.warning("no updates, next try in %.0f s: %s", pause, faults.describe(error))
        if error.error_code == 409 and "webhook" in error.description:
            self._drop_webhook()
        # The other 409 is a second process with our token: Telegram lets only the last one in, so we come back gently.
        self._stop.pause(pause)

    def _drop_webhook(self) -> None:
        try:
            with self._stop.interruptible():
                self._bot.delete_webhook()
        except Exception as error:  # the next poll will tell
            log.warning("the webhook could not be deleted: %s", faults.describe(error))

    def _handle(self, raw: dict[str, Any], *, others: bool) -> bool:
        """One update to its handler. False: Telegram did not take our answer, so this update has to come once more.

        `others` tells that somebody waits behind it.
        """
        update_id = _id(raw)
        if update_id is None:  # there is nothing to confirm it by
            log.error("an update without an id is skipped")
            return True
        try:
            update = types.Update.de_json(raw)
        except Exception as error:  # a shape that the library does not know yet
            log.error("update %s cannot be read and is skipped: %s", update_id, faults.describe(error))  # noqa: TRY400
            return self._done(update_id)
        tried = self._tried[1] if self._tried[0] == update_id else 0
        if tried >= (TRIES_BEFORE_OTHERS if others else TRIES):
            log.error("update %s is given up", update_id)
            return self._done(update_id)
        seconds = AGAIN_SECONDS if tried else FIRST_SECONDS
        with transport.within(seconds) if others else nullcontext():
            self._bot.process_new_updates([update])
        failure = self._failures.take()
        if failure is None:
            return self._done(update_id)
        log.error("update %s: %s", update_id, faults.describe(failure))
        if not faults.passes(failure):
            return self._done(update_id)
        self._tried = (update_id, tried + 1)
        self._stop.pause(min(faults.asked_pause(failure) or self._retries.next(), LONGEST_PAUSE_SECONDS))
        return False

    def _tend(self) -> None:
        for chore in self._chores:
            self._stop.check()
            try:
                with transport.within(CHORE_SECONDS):
                    chore.tend()
            except Exception as error:  # nobody's update is to suffer for it
                log.error("a chore failed: %s", faults.describe(error))  # noqa: TRY400

    def _done(self, update_id: int) -> bool:
        self._retries.reset()
        self._offset, self._unconfirmed = update_id + 1, True
        return True

    def _confirm(self) -> None:
        """Tells Telegram what is done; else the next start would do it again."""
        if not self._unconfirmed:
            return
        try:
            self._poll(limit=1, timeout=3, long_polling_timeout=1)
        except Exception as error:  # then it comes again, and handlers may be repeated
            log.warning("the last updates are not confirmed: %s", faults.describe(error))


def _id(raw: Any) -> int | None:
    """The number of an update, None where there is none."""
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
