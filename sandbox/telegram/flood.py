"""Telegram's limit on how much a bot may send. https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""

from __future__ import annotations

import math
import threading
import time
from collections import deque

from .errors import ApiError

WINDOW_SECONDS = 1.0


class Flood:
    """Counts what was sent in the last second; beyond the limit everything is refused until the pause is over."""

    def __init__(self, messages_per_second: int) -> None:
        self._lock = threading.Lock()
        self._sent: deque[float] = deque()
        self.limit = messages_per_second
        self.refused = 0

    def meet(self) -> None:
        """One more message is to go out. Raises ApiError (429) with the seconds to wait."""
        now = time.monotonic()
        with self._lock:
            while self._sent and self._sent[0] <= now - WINDOW_SECONDS:
                self._sent.popleft()
            if self.limit and len(self._sent) >= self.limit:
                self.refused += 1
                pause = math.ceil(self._sent[0] + WINDOW_SECONDS - now) or 1
                raise ApiError(429, f"Too Many Requests: retry after {pause}", retry_after=pause)
            self._sent.append(now)
