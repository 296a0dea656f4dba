"""What is typed on a command line and means a moment or money."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from krotray_core import money
from krotray_core.errors import Invalid


def rubles(text: str) -> int:
    """ "50" or "50.25" rubles, in kopecks. Raises Invalid for anything else."""
    try:
        return money.from_rubles(text)
    except ValueError:
        raise Invalid(f"not an amount in rubles, such as 50 or 50.25: {text!r}") from None


def moment(text: str) -> datetime:
    """An ISO time, such as 2026-12-31T23:59:59+03:00, in UTC. Raises Invalid, also for a time without a zone."""
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is None:
            raise Invalid("the time needs a zone, such as 2026-12-31T23:59:59+03:00")
        return read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(f"not an ISO time: {text!r}") from None


def since(text: str) -> datetime:
    """The same, or a date: its first moment in UTC. Raises Invalid."""
    return moment(f"{text}T00:00Z" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else text)
