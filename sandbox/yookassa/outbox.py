"""Notifications that wait to be delivered, and the log of every attempt."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from .clock import Clock, to_wire
from .config import Config
from .store import Document, Store

SENT_AGAIN_FOR = timedelta(hours=24)


class Outbox:
    """Rows first, sending second: what is written here survives a restart and is delivered by the courier."""

    def __init__(self, store: Store, clock: Clock, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._config = config

    @property
    def enabled(self) -> bool:
        """Whether notifications are sent at all."""
        return bool(self._settings()["enabled"])

    @property
    def url(self) -> str | None:
        """Where they go: as a test has set it, else as configured."""
        return self._settings()["url"] or self._config.webhook_url

    def configure(self, *, enabled: bool, url: str | None) -> None:
        """Switch notifications on or off and point them somewhere else; None keeps the address."""
        with self._store.transaction():
            settings = {"enabled": enabled, "url": url or self._settings()["url"]}
            self._store.put("meta", "webhooks", settings)
            if not enabled:
                # Off means lost, not late: nothing may arrive once they are on again.
                self._store.remove_all("webhook")
            self._store.changed.notify_all()

    def add(self, event: str, wire: dict[str, Any]) -> None:
        """Queue a notification as part of the change that it tells of."""
        if not self.enabled or self.url is None:
            return
        now = self._clock.now()
        job: Document = {
            "id": str(uuid.uuid4()),
            "body": notification(event, wire),
            "attempts": 0,
            "give_up_at": to_wire(now + SENT_AGAIN_FOR),
        }
        self._store.put("webhook", job["id"], job, due=to_wire(now))
        self._store.changed.notify_all()

    def take_due(self) -> Document | None:
        """The notification to send next; those that were refused for a whole day are given up."""
        with self._store.transaction():
            now = to_wire(self._clock.now())
            for job in self._store.due("webhook", now):
                if job["attempts"] and job["give_up_at"] <= now:
                    self._store.remove("webhook", job["id"])
                    continue
                return job
        return None

    def record(self, job: Document, status: int | None, error: str | None) -> None:
        """Note how an attempt ended: done with 200, otherwise to be repeated after a longer pause."""
        with self._store.transaction():
            if self._store.get("webhook", job["id"]) is None:
                return  # a reset, or the switch: the notification belongs to a world that is gone
            attempts = job["attempts"] + 1
            self.log(job["body"], attempt=attempts, status=status, error=error, forced=False)
            if status == 200:
                self._store.remove("webhook", job["id"])
                return
            pause = min(self._config.first_retry_pause * 2 ** min(attempts - 1, 30), self._config.longest_retry_pause)
            due = to_wire(self._clock.now() + timedelta(seconds=pause))
            self._store.put("webhook", job["id"], job | {"attempts": attempts}, due=due)

    def log(self, body: dict[str, Any], *, attempt: int, status: int | None, error: str | None, forced: bool) -> None:
        """Write one line of the log; `forced` marks what the control API sent on demand."""
        wire = body["object"]
        with self._store.transaction():
            entry: Document = {
                "id": str(uuid.uuid4()),
                "time": to_wire(self._clock.now()),
                "event": body["event"],
                "payment_id": wire.get("payment_id", wire.get("id")),
                "object_id": wire.get("id"),
                "attempt": attempt,
                "http_status": status,
                "error": error,
                "forced": forced,
            }
            self._store.put("delivery", entry["id"], entry)
            self._store.changed.notify_all()

    def deliveries(self, *, newest_first: bool = False) -> list[Document]:
        """Every attempt so far."""
        return self._store.all("delivery", newest_first=newest_first)

    def undelivered(self) -> int:
        """How many notifications have not been accepted yet."""
        return self._store.count("webhook")

    def wait(self, seconds: float, at_least: int | None = None) -> None:
        """Sleep until everything is delivered, or until the log has that many lines, or the time is over."""

        def reached() -> bool:
            return self.undelivered() == 0 if at_least is None else self._store.count("delivery") >= at_least

        with self._store.changed:
            self._store.changed.wait_for(reached, seconds)

    def _settings(self) -> Document:
        return self._store.get("meta", "webhooks") or {"enabled": True, "url": None}


def notification(event: str, wire: dict[str, Any]) -> dict[str, Any]:
    """The body of a notification."""
    return {"type": "notification", "event": event, "object": wire}
