"""Chats that take nothing from us for now, because Telegram has said so (429), and what they are to hear afterwards."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

# What waits longer than that is stale: the person presses again.
LONGEST_OWED_SECONDS = 60.0
MOST_REMEMBERED = 1000
# So many chats within so short a time: it is not about one of them, Telegram wants less of us altogether.
STORM_CHATS, STORM_SECONDS = 3, 2.0
LONGEST_PAUSE_SECONDS = 10.0

Say = Callable[[], object]


class Mutes:
    """Kept in memory: after a restart the first refusal tells us again."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until: OrderedDict[int, float] = OrderedDict()
        self._owed: OrderedDict[int, Say] = OrderedDict()
        self._lately: deque[tuple[float, int, float]] = deque(maxlen=MOST_REMEMBERED)

    def add(self, chat_id: int, seconds: float) -> None:
        """A 429 came for this chat: silence for that long."""
        now = self._now()
        self._until.pop(chat_id, None)
        self._until[chat_id] = now + seconds
        if len(self._until) > MOST_REMEMBERED:
            self._until.popitem(last=False)
        self._lately.append((now, chat_id, seconds))

    def left(self, chat_id: int) -> float:
        """The seconds of silence that are left for a chat; 0 for none."""
        return max(self._until.get(chat_id, 0.0) - self._now(), 0.0)

    def owe(self, chat_id: int, say: Say) -> None:
        """Said once when the silence is over, if that is soon, instead of what was owed before."""
        self._owed.pop(chat_id, None)
        if self.left(chat_id) <= LONGEST_OWED_SECONDS:
            self._owed[chat_id] = say
        if len(self._owed) > MOST_REMEMBERED:
            self._owed.popitem(last=False)

    @property
    def owing(self) -> bool:
        """Whether anything is to be said later."""
        return bool(self._owed)

    def due(self) -> tuple[int, Say] | None:
        """One of those that can hear now, and what; it is owed no more. None when there is nothing."""
        chat_id = next((chat_id for chat_id in self._owed if not self.left(chat_id)), None)
        return None if chat_id is None else (chat_id, self._owed.pop(chat_id))

    def storm(self) -> float | None:
        """The seconds for which nobody is to be written to, when several chats were refused at about the same time; told once."""
        since = self._now() - STORM_SECONDS
        while self._lately and self._lately[0][0] < since:
            self._lately.popleft()
        if len({chat_id for _, chat_id, _ in self._lately}) < STORM_CHATS:
            return None
        pause = min(seconds for _, _, seconds in self._lately)
        self._lately.clear()
        return min(pause, LONGEST_PAUSE_SECONDS)
