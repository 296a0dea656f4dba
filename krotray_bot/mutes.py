"""Chats that take nothing from us for now, because Telegram has said so (429), and what they are to hear afterwards."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# What waits longer than that is stale: the person presses again.
LONGEST_OWED_SECONDS = 60.0
MOST_REMEMBERED = 1000
# So many chats within so short a time: it is not about one of them, Telegram wants less of us altogether.
STORM_CHATS, STORM_SECONDS = 4, 2.0
# Of those, only the chats in which we have said no more than this: somebody who hammers is refused for their own sake.
CALM_SENDS, CALM_SECONDS = 1, 3.0
LONGEST_PAUSE_SECONDS = 10.0


@dataclass(slots=True)
class Owed:
    """Something to be said later: how, since when it has been owed, and how often it was lost on its way since."""

    say: Callable[[], Any]
    since: float
    losses: int = 0


class Mutes:
    """Kept in memory: after a restart the first refusal tells us again."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until: OrderedDict[int, float] = OrderedDict()
        self._owed: OrderedDict[int, Owed] = OrderedDict()
        self._spoken: OrderedDict[int, deque[float]] = OrderedDict()
        self._lately: deque[tuple[float, int, float]] = deque(maxlen=MOST_REMEMBERED)

    def spoken(self, chat_id: int) -> None:
        """Something is being said in this chat."""
        self._spoken.setdefault(chat_id, deque(maxlen=CALM_SENDS + 1)).append(self._now())
        self._spoken.move_to_end(chat_id)
        _shorten(self._spoken)

    def add(self, chat_id: int, seconds: float) -> None:
        """A 429 came for this chat: silence for that long."""
        now = self._now()
        self._until[chat_id] = now + seconds
        self._until.move_to_end(chat_id)
        _shorten(self._until)
        if sum(moment > now - CALM_SECONDS for moment in self._spoken.get(chat_id, ())) <= CALM_SENDS:
            self._lately.append((now, chat_id, seconds))

    def left(self, chat_id: int) -> float:
        """The seconds of silence that are left for a chat; 0 for none."""
        return max(self._until.get(chat_id, 0.0) - self._now(), 0.0)

    def owe(self, chat_id: int, say: Callable[[], Any]) -> bool:
        """Said once when the silence is over, instead of what was owed before. False when that would be too late: never."""
        return self.owe_again(chat_id, Owed(say, self._now()))

    def owe_again(self, chat_id: int, owed: Owed) -> bool:
        """The same for something that was due and could not be said; its time goes on from when it was first owed."""
        self._owed.pop(chat_id, None)
        if self._now() + self.left(chat_id) - owed.since > LONGEST_OWED_SECONDS:
            return False
        self._owed[chat_id] = owed
        _shorten(self._owed)
        return True

    @property
    def owing(self) -> bool:
        """Whether anything is to be said later."""
        return bool(self._owed)

    def due(self) -> tuple[int, Owed] | None:
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


def _shorten(remembered: OrderedDict[int, Any]) -> None:
    """The oldest makes room."""
    if len(remembered) > MOST_REMEMBERED:
        remembered.popitem(last=False)
