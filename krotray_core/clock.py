"""The one source of time: the database's clock, which all processes share, however wrong that of their own machine is.

Each new connection to the database compares the two (see `db`); in between, this machine's clock carries on from there.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

log = logging.getLogger(__name__)

# Below that it is the network's doing, and none of our business lasts so short.
TOLERATED = timedelta(seconds=1)

_ahead = timedelta(0)


def now() -> datetime:
    """The present moment, aware, in UTC. Verbs ask once and hand the answer to pure functions."""
    return local() - _ahead


def local() -> datetime:
    """What this machine's clock says."""
    return datetime.now(UTC)


def compare(asked: datetime, database: datetime, answered: datetime) -> None:
    """The database's clock said `database` at some moment between two of this machine's (`local`): from now on we go by it."""
    global _ahead
    ahead = asked + (answered - asked) / 2 - database
    before, _ahead = _ahead, ahead if abs(ahead) > TOLERATED else timedelta(0)
    if abs(_ahead - before) > TOLERATED:
        log.warning(
            "this machine's clock is %.1f s ahead of the database's, which is the one that counts",
            ahead.total_seconds(),
        )
