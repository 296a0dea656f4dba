"""Trouble to order: calls that fail, that are limited, that hang. And the count of all calls."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from .errors import ApiError

LONGEST_HOLD_SECONDS = 60.0


@dataclass
class Trouble:
    """What happens to the next `times` calls of a method: held until a release, then refused if there is an `error_code`.

    With a `chat_id` it concerns what goes to that chat alone.
    """

    method: str
    times: int = 1
    hold: bool = False
    error_code: int | None = None
    description: str = "Internal Server Error"
    retry_after: int | None = None
    chat_id: int | None = None


class Mischief:
    """The troubles in waiting, first come first served."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._troubles: list[Trouble] = []
        self._calls: Counter[str] = Counter()
        self._releases = 0

    def order(self, trouble: Trouble) -> None:
        """One more trouble."""
        with self._changed:
            self._troubles.append(trouble)

    def release(self) -> None:
        """Lets go of every call that is held, and forgets the troubles that have not happened."""
        with self._changed:
            self._troubles.clear()
            self._releases += 1
            self._changed.notify_all()

    def calls(self) -> dict[str, int]:
        """How often each method was called, whatever came of it."""
        with self._changed:
            return dict(self._calls)

    def meet(self, method: str, chat_id: str | None = None) -> None:
        """A call has come, for a chat if it names one. Raises ApiError where trouble is ordered for it."""
        with self._changed:
            self._calls[method] += 1
            trouble = next(
                (t for t in self._troubles if t.method == method and t.chat_id in (None, _whole(chat_id))), None
            )
            if trouble is not None:
                trouble.times -= 1
                if trouble.times <= 0:
                    self._troubles.remove(trouble)
            self._changed.notify_all()
            if trouble is None:
                return
            if trouble.hold:
                before, deadline = self._releases, time.monotonic() + LONGEST_HOLD_SECONDS
                while self._releases == before and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
        if trouble.error_code is not None:
            raise ApiError(trouble.error_code, trouble.description, retry_after=trouble.retry_after)


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
