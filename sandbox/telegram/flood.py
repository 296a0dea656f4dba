"""Telegram's limits on how much a bot may send. https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""

from __future__ import annotations

import math
import threading
import time
from collections import deque

from .errors import ApiError

WINDOW_SECONDS = 1.0


class Flood:
    """Counts what was sent in the last second; beyond the limit everything is refused until the pause is over.

    With a `burst` above 0 each chat has a limit of its own too: one message a second, that many at once now and then.
    """

    def __init__(self, messages_per_second: int) -> None:
        self._lock = threading.Lock()
        self._sent: deque[float] = deque()
        self._chats: dict[int, float] = {}  # until when what a chat has got is paid off, at one message a second
        self.limit = messages_per_second
        self.burst = 0
        self.refused = 0

    def limit_chats(self, burst: int) -> None:
        """Every chat takes one message a second from now on, and `burst` at once when it was quiet before; 0: no such limit."""
        with self._lock:
            self.burst = burst
            self._chats.clear()

    def meet(self, chat_id: int) -> None:
        """One more message is to go out to a chat. Raises ApiError (429) with the seconds to wait."""
        now = time.monotonic()
        with self._lock:
            while self._sent and self._sent[0] <= now - WINDOW_SECONDS:
                self._sent.popleft()
            if self.limit and len(self._sent) >= self.limit:
                self._refuse(self._sent[0] + WINDOW_SECONDS - now)
            if self.burst:
                self._meet_chat(chat_id, now)
            self._sent.append(now)

    def meet_edit(self, chat_id: int) -> None:
        """A message of a chat is to be rewritten: that counts against the chat's own limit alone. Raises ApiError (429)."""
        with self._lock:
            if self.burst:
                self._meet_chat(chat_id, time.monotonic())

    def _meet_chat(self, chat_id: int, now: float) -> None:
        owed = max(self._chats.get(chat_id, now), now) + WINDOW_SECONDS
        if owed - now > self.burst * WINDOW_SECONDS:
            self._refuse(owed - now - self.burst * WINDOW_SECONDS)
        self._chats[chat_id] = owed

    def _refuse(self, seconds: float) -> None:
        self.refused += 1
        pause = math.ceil(seconds) or 1
        raise ApiError(429, f"Too Many Requests: retry after {pause}", retry_after=pause)
