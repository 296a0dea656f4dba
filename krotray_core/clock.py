"""The one source of time."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC. Verbs ask once and hand the answer to pure functions."""
    return datetime.now(UTC)
