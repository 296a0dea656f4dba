"""How much one person may ask of the bot: it does one thing after the other, and others wait meanwhile."""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

# So many updates within so many seconds. Nobody who reads what they press comes near it.
SERVED, SECONDS = 20, 10.0
MOST_REMEMBERED = 1000  # people; more than that cannot be served within those seconds


class Turn(Enum):
    """What becomes of an update."""

    SERVE = auto()
    TELL = auto()  # it is too much, and has not been said for those seconds
    IGNORE = auto()


@dataclass(slots=True)
class _Lately:
    """The moments at which one person was served, and at which they were told."""

    served: deque[float] = field(default_factory=deque)
    told: float = -math.inf


class Pace:
    """Counts by person, in memory; what is too much costs no call to Telegram and no look into the database.

    A window of moments and no library: the one for limits starts a thread for every one that it keeps in memory.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._people: OrderedDict[int, _Lately] = OrderedDict()

    def turn(self, person_id: int) -> Turn:
        """One more update of this person."""
        now = self._now()
        lately = self._people.setdefault(person_id, _Lately())
        self._people.move_to_end(person_id)
        if len(self._people) > MOST_REMEMBERED:
            self._people.popitem(last=False)
        while lately.served and lately.served[0] <= now - SECONDS:
            lately.served.popleft()
        if len(lately.served) < SERVED:
            lately.served.append(now)
            return Turn.SERVE
        if lately.told > now - SECONDS:
            return Turn.IGNORE
        lately.told = now
        return Turn.TELL
