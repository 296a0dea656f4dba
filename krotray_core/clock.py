"""The one source of time: the database's clock, which all processes share, however wrong that of their own machine is.

Each new connection to the database asks it (see `db`); in between, seconds are counted by a clock that nobody sets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

log = logging.getLogger(__name__)

# Below that it is the network's doing, and nobody's fault.
TOLERATED = timedelta(seconds=1)
# Goes on while the machine sleeps, and takes no part in it when somebody sets the clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _nobody() -> None:
    """Nobody to ask."""


class _Known:
    """What this process knows of the time."""

    # What the database's clock said, and what the steady one did at that moment.
    compared: tuple[datetime, float] | None = None
    ask: Callable[[], object] = staticmethod(_nobody)


def now() -> datetime:
    """The present moment, aware, in UTC. Verbs ask once and hand the answer to pure functions.

    A process that has never compared does so first. Where the database cannot be reached it is this machine's own clock: then
    nothing is decided by it, for every decision is written there.
    """
    if _Known.compared is None:
        _Known.ask()
    if _Known.compared is None:
        return local()
    moment, then = _Known.compared
    return moment + timedelta(seconds=steady() - then)


def local() -> datetime:
    """What this machine's clock says."""
    return datetime.now(UTC)


def steady() -> float:
    """Seconds on a clock that nobody sets."""
    return time.clock_gettime(_STEADY)


def ask_with(ask: Callable[[], object]) -> None:
    """`ask` is called before the first answer: it should lead to a `compare`, and must not raise."""
    _Known.ask = staticmethod(ask)


def compare(asked: float, database: datetime, answered: float) -> None:
    """The database's clock said `database` at some moment between two of this machine's (`steady`): from now on we go by it.

    An answer that took long leaves much room. What was known before is kept as far as it lies in that room: a slow answer does
    not set the clock back.
    """
    first = _Known.compared is None
    then = (asked + answered) / 2
    if _Known.compared is not None:
        moment, at = _Known.compared
        then = min(max(at + (database - moment).total_seconds(), asked), answered)
    _Known.compared = database, then
    ahead = local() - now()
    if first and abs(ahead) > TOLERATED:
        log.warning(
            "this machine's clock is %.1f s ahead of the database's, which is the one that counts",
            ahead.total_seconds(),
        )
