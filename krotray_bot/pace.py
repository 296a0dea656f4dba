"""How much one person may ask of the bot: it does one thing after the other, and others wait meanwhile."""

from __future__ import annotations

from enum import Enum, auto

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

# Nobody who reads what they press comes near it.
SERVED = parse("20 per 10 seconds")
TOLD = parse("1 per 10 seconds")


class Turn(Enum):
    """What becomes of an update."""

    SERVE = auto()
    TELL = auto()  # it is too much, and has not been said yet
    IGNORE = auto()


class Pace:
    """Counts by person, in memory; what is too much costs no call to Telegram and no look into the database."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def turn(self, person_id: int) -> Turn:
        """One more update of this person."""
        if self._limiter.hit(SERVED, "served", str(person_id)):
            return Turn.SERVE
        return Turn.TELL if self._limiter.hit(TOLD, "told", str(person_id)) else Turn.IGNORE
