"""SIGTERM and SIGINT, taken at a moment that suits us: at once while we only wait, else after the update in hand."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """We were told to stop. Not an Exception, so that nothing between here and the top takes it for a failure."""


class Stop:
    """Remembers that we were told to stop.

    A plain flag and no threading.Event: a signal handler that sets an Event may deadlock with the code it interrupted.
    """

    def __init__(self) -> None:
        self._asked = False
        self._interruptible = False

    def listen(self) -> None:
        """From now on the two signals come here; for the main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)

    def check(self) -> None:
        """Raises Stopped if we were told to stop."""
        if self._asked:
            raise Stopped

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A stretch that may be broken off anywhere without a loss. Raises Stopped at the moment of the signal."""
        self._interruptible = True  # before the check: a signal between the two must not be missed
        try:
            self.check()
            yield
        finally:
            self._interruptible = False

    def pause(self, seconds: float) -> None:
        """Sleeps. Raises Stopped."""
        with self.interruptible():
            time.sleep(seconds)

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._interruptible:
            self._interruptible = False  # once is enough: a second signal must not disturb the clearing up
            raise Stopped
