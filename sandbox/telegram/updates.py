"""What the bot has not confirmed yet, and the long poll that hands it out. https://core.telegram.org/bots/api#getupdates"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import Any

from .errors import ApiError

MOST_AT_ONCE = 100


class Updates:
    """The queue of one bot. An update stays until a later call names an offset beyond it: that is the confirmation."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._pending: list[dict[str, Any]] = []
        # From the clock: a bot that outlives a restart of this process waits for ids beyond those that it has seen.
        self._next_id = int(time.time() * 1000)
        self._allowed: frozenset[str] | None = None
        self._calls = 0
        self._waiting = 0
        self.webhook_url = ""

    def add(self, kind: str, body: dict[str, Any]) -> int | None:
        """One more update; its id, or None when the bot said that it wants none of this kind."""
        with self._changed:
            if self._allowed is not None and kind not in self._allowed:
                return None
            update_id, self._next_id = self._next_id, self._next_id + 1
            self._pending.append({"update_id": update_id, kind: body})
            self._changed.notify_all()
            return update_id

    def poll(self, *, offset: int, limit: int, timeout: float, allowed: Collection[str] | None) -> list[dict[str, Any]]:
        """The oldest updates from `offset` on; waits `timeout` seconds for the first. Raises ApiError (409).

        A second poller ends the first one's call, as at Telegram.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            if self.webhook_url:
                raise ApiError(
                    409,
                    "Conflict: can't use getUpdates method while webhook is active; "
                    "use deleteWebhook to delete the webhook first",
                )
            if allowed is not None:
                self._allowed = frozenset(allowed) or None  # an empty list means everything
            self._calls += 1
            mine = self._calls
            self._confirm(offset)
            self._waiting += 1
            self._changed.notify_all()
            try:
                while not self._pending:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return []
                    self._changed.wait(left)
                    if self._calls != mine:
                        raise ApiError(
                            409,
                            "Conflict: terminated by other getUpdates request; "
                            "make sure that only one bot instance is running",
                        )
                return self._pending[: max(1, min(limit, MOST_AT_ONCE))]
            finally:
                self._waiting -= 1
                self._changed.notify_all()

    def forget(self) -> None:
        """Drops everything that waits."""
        with self._changed:
            self._pending.clear()

    @property
    def pending(self) -> int:
        """How many updates wait for a confirmation."""
        with self._changed:
            return len(self._pending)

    @property
    def somebody_polls(self) -> bool:
        """Whether a bot waits for updates at this moment."""
        with self._changed:
            return self._waiting > 0

    def _confirm(self, offset: int) -> None:
        if offset > 0:
            self._pending = [update for update in self._pending if update["update_id"] >= offset]
        elif offset < 0:  # only the newest ones are wanted, the rest is forgotten
            self._pending = self._pending[offset:]
