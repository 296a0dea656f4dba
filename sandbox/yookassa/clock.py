"""The sandbox's own time: the real one plus an offset that only grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .store import Store


def to_wire(moment: datetime) -> str:
    """Write a moment as the API does: UTC, milliseconds, ``Z``. Such strings sort like the moments themselves."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def from_wire(text: str) -> datetime:
    """Read an ISO 8601 moment; ValueError when it is none or names no time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC)


class Clock:
    """Everything that ages in the sandbox (payments, holds, keys, notifications) ages by this clock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._offset = timedelta()
        self.reload()

    def reload(self) -> None:
        """Take the offset from the store, which a restart or a reset may have changed."""
        saved = self._store.get("meta", "clock")
        self._offset = timedelta(seconds=saved["offset_seconds"]) if saved else timedelta()

    def now(self) -> datetime:
        """The current moment, cut to the milliseconds that the wire format can carry."""
        moment = datetime.now(UTC) + self._offset
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def advance(self, seconds: float) -> datetime:
        """Move time forward and return the new now; backwards is refused, because real clocks do not do that."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        with self._store.transaction():
            offset = self._offset + timedelta(seconds=seconds)
            self._store.put("meta", "clock", {"offset_seconds": offset.total_seconds()})
            self._offset = offset
            return self.now()
