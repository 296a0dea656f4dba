"""The hours in which nobody is woken, by Moscow's clock. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from krotray_core import speech


def until(now: datetime, hours: tuple[int, int]) -> datetime | None:
    """When the quiet hours end (aware, UTC), if it is quiet now; the first hour belongs to them, the second does not.

    The same hour twice means never.
    """
    begins, ends = hours
    there = now.astimezone(speech.MOSCOW)
    if (there.hour - begins) % 24 >= (ends - begins) % 24:
        return None
    morning = there.replace(hour=ends, minute=0, second=0, microsecond=0)
    return (morning if morning > there else morning + timedelta(days=1)).astimezone(UTC)
