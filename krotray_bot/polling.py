"""The loop: updates are fetched, handled one by one in their order, and confirmed only after that.

The library's own loop confirms a batch as a whole, swallows what failed in it, knows no order between messages and presses,
and forgets a stop that comes before it runs; so only its parsing, its handlers and its calls are used.
"""

from __future__ import annotations

import logging
from typing import Any

from telebot import ExceptionHandler, TeleBot, apihelper, types
from telebot.apihelper import ApiTelegramException

from krotray_bot import faults
from krotray_bot.pauses import Pauses
from krotray_bot.stop import Stop, Stopped
from krotray_core import tracing

log = logging.getLogger(__name__)

ALLOWED_UPDATES = ["message", "callback_query", "my_chat_member"]
LONG_POLL_SECONDS = 5
BATCH = 25  # what a crash makes us do again at most
TRIES = 5  # of an update whose answer Telegram would not take, or which only the database could
LONGEST_PAUSE_SECONDS = 60.0  # whatever Telegram asks for: an answer given up is better than nobody served


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


class Poller:
    """Takes updates from Telegram and hands them to the handlers, at least once each."""

    def __init__(self, bot: TeleBot, failures: Failures, stop: Stop) -> None:
        self._bot, self._failures, self._stop = bot, failures, stop
        self._offset = 0
        self._unconfirmed = False
        self._pauses = Pauses()
        self._tried = (0, 0)  # an update and how often its handling has failed

    def run(self) -> None:
        """Until told to stop. Raises WrongToken when Telegram no longer accepts the token."""
        log.info("polling")
        try:
            while True:
                for raw in self._fetch():
                    self._stop.check()
                    with tracing.following(f"update-{_id(raw)}"):
                        handled = self._handle(raw)
                    if not handled:
                        break
        except Stopped:
            self._confirm()
        log.info("stopped")

    def _fetch(self) -> list[dict[str, Any]]:
        """The next updates; none after a failure and a pause."""
        try:
            with self._stop.interruptible():
                batch: list[dict[str, Any]] = self._poll(limit=BATCH, long_polling_timeout=LONG_POLL_SECONDS)
        except ApiTelegramException as error:
            self._refused(error)
            return []
        except Exception as error:  # whatever a network, or a login page in between, can come up with
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

    def _handle(self, raw: dict[str, Any]) -> bool:
        """One update to its handler. False: Telegram did not take our answer, so this update has to come once more."""
        update_id = _id(raw)
        if update_id is None:  # there is nothing to confirm it by
            log.error("an update without an id is skipped")
            return True
        try:
            update = types.Update.de_json(raw)
        except Exception as error:  # a shape that the library does not know yet
            log.error("update %s cannot be read and is skipped: %s", update_id, faults.describe(error))  # noqa: TRY400
            return self._done(update_id)
        self._bot.process_new_updates([update])
        failure = self._failures.take()
        if failure is None:
            return self._done(update_id)
        log.error("update %s: %s", update_id, faults.describe(failure))
        self._tried = (update_id, self._tried[1] + 1 if self._tried[0] == update_id else 1)
        if not faults.passes(failure) or self._tried[1] >= TRIES:
            return self._done(update_id)
        self._stop.pause(min(faults.asked_pause(failure) or self._pauses.next(), LONGEST_PAUSE_SECONDS))
        return False

    def _done(self, update_id: int) -> bool:
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
