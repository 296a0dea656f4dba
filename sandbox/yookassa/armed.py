"""The faults that are armed: which one strikes next, how often each has struck, and who hangs because of one."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .faults import Fault


@dataclass
class _Armed:
    id: int
    fault: Fault
    chance: random.Random
    fired: int = 0

    @property
    def left(self) -> int | None:
        """How often it will still strike; None means until it is cleared."""
        return None if self.fault.times is None else self.fault.times - self.fired

    def told(self) -> dict[str, Any]:
        """The fault as the control API shows it."""
        left = "forever" if self.left is None else self.left
        return {"id": self.id, **self.fault.told(), "left": left, "fired": self.fired}


@dataclass(eq=False)
class Strike:
    """One time that a fault came true."""

    id: int
    """The fault's."""
    fault: Fault
    is_last: bool
    """The fault has used up its times."""
    over: threading.Event = field(default_factory=threading.Event)
    """Set when whoever suffers from it need not do so any longer."""
    abandoned: bool = False
    """It is over because its world is gone: nothing of it may have an effect any more."""
    end: Callable[[], None] = lambda: None
    """To be called by whoever suffered, at the end."""


class Faults:
    """An ordered list: of the faults that concern something the first one with times left, and luck, strikes.

    It is kept in memory only. The lock is taken inside of the store's, never the other way round.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._armed: list[_Armed] = []
        self._made = 0
        self._open: set[Strike] = set()

    def arm(self, fault: Fault) -> dict[str, Any]:
        """Put a fault at the end of the list, and tell it."""
        with self._changed:
            self._made += 1
            armed = _Armed(self._made, fault, random.Random(fault.seed))
            self._armed.append(armed)
            return armed.told()

    def take(self, target: str) -> Strike | None:
        """The fault that strikes this time, if any."""
        with self._changed:
            for armed in self._armed:
                if armed.left == 0 or not armed.fault.matches(target):
                    continue
                if armed.chance.random() >= armed.fault.probability:
                    continue
                armed.fired += 1
                self._changed.notify_all()
                strike = Strike(armed.id, armed.fault, is_last=armed.left == 0)
                if armed.fault.kind in ("hang", "drip"):
                    strike.end = partial(self._end, strike)
                    self._open.add(strike)
                return strike
        return None

    def release(self) -> int:
        """Let every request that hangs go its way; how many there were."""
        with self._changed:
            hanging = [strike for strike in self._open if strike.fault.kind == "hang"]
            for strike in hanging:
                strike.over.set()
            self._open.difference_update(hanging)
            return len(hanging)

    def clear(self, fault_id: int | None = None) -> list[int]:
        """Disarm one fault or all, and answer their ids. What hangs goes on hanging until it is released."""
        with self._changed:
            cleared = [armed.id for armed in self._armed if fault_id in (None, armed.id)]
            self._armed = [armed for armed in self._armed if armed.id not in cleared]
            return cleared

    def abandon(self) -> None:
        """Disarm everything and cut every request off that hangs or drips."""
        with self._changed:
            self._armed.clear()
            for strike in self._open:
                strike.abandoned = True
                strike.over.set()
            self._open.clear()

    def told(self) -> list[dict[str, Any]]:
        """The whole list, those that are used up included."""
        with self._changed:
            return [armed.told() for armed in self._armed]

    def hanging(self) -> int:
        """How many requests hang right now."""
        with self._changed:
            return sum(strike.fault.kind == "hang" for strike in self._open)

    def wait(self, seconds: float, fired: int) -> None:
        """Sleep until the faults have struck that often, all together, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: sum(armed.fired for armed in self._armed) >= fired, seconds)

    def _end(self, strike: Strike) -> None:
        with self._changed:
            self._open.discard(strike)
