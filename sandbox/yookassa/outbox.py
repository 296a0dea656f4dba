"""Notifications that wait to be delivered, and the log of every attempt."""

from __future__ import annotations

import random
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from .armed import Faults
from .clock import Clock, to_wire
from .config import Config
from .faults import Fault
from .shapes import merged
from .store import Document, Store

SENT_AGAIN_FOR = timedelta(hours=24)


class Outbox:
    """Rows first, sending second: what is written here survives a restart and is delivered by the courier."""

    def __init__(self, store: Store, clock: Clock, config: Config, faults: Faults) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._faults = faults
        # An earlier process was sending these, or held them back for a fault that ended with it.
        self._let_go()

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
        """Queue a notification as part of the change that it tells of, or what a fault makes of it."""
        if not self.enabled or self.url is None:
            return
        strike = self._faults.take(f"webhook {event}")
        kind, options = (strike.fault.kind, strike.fault.options) if strike else ("pass", {})
        now = self._clock.now()
        # Those of one payment keep their order, see the courier.
        lane = str(wire.get("payment_id", wire["id"]))
        body = notification(event, wire)
        if strike is not None and kind == "reordered":
            self._put(body, f"reordered {strike.id}", due=None, held_by=strike.id)
            if strike.is_last:
                self._let_go(strike.id, strike.fault)
        elif kind == "delayed":
            self._put(body, lane, due=now + timedelta(seconds=options["seconds"]))
        elif kind == "duplicated":
            for copy in range(options["copies"]):
                self._put(body, f"{lane} {copy}" if copy else lane, due=now)
        elif kind == "forged":
            self._put(forged(body, options), lane, due=now)
        elif kind != "lost":
            self._put(body, lane, due=now)
        self._store.changed.notify_all()

    def release(self, fault_ids: list[int]) -> None:
        """Send what faults hold back that are no more, in the order of its making."""
        with self._store.transaction():
            for fault_id in fault_ids:
                self._let_go(fault_id)
            self._store.changed.notify_all()

    def take_due(self, now: str, busy: Collection[str]) -> Document | None:
        """The notification to send next, which is then on its way; those refused for a whole day are given up.

        A lane that is busy is passed over.
        """
        with self._store.transaction():
            for job in self._store.due("webhook", now):
                if job["attempts"] and job["give_up_at"] <= now:
                    self._store.remove("webhook", job["id"])
                elif lane_of(job) not in busy:
                    self._store.put("webhook", job["id"], job)  # without a moment: nobody takes it again
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

    def log(self, body: Any, *, attempt: int, status: int | None, error: str | None, forced: bool) -> None:
        """Write one line of the log; `forced` marks what the control API sent on demand."""
        wire = body.get("object") if isinstance(body, dict) else None
        about = wire if isinstance(wire, dict) else {}  # a forged one may tell of nothing at all
        with self._store.transaction():
            entry: Document = {
                "id": str(uuid.uuid4()),
                "time": to_wire(self._clock.now()),
                "event": body.get("event") if isinstance(body, dict) else None,
                "payment_id": about.get("payment_id", about.get("id")),
                "object_id": about.get("id"),
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

    def _put(self, body: Any, lane: str, *, due: datetime | None, held_by: int | None = None) -> None:
        give_up_at = (due or self._clock.now()) + SENT_AGAIN_FOR
        job: Document = {
            "id": str(uuid.uuid4()),
            "body": body,
            "lane": lane,
            "held_by": held_by,
            "attempts": 0,
            "give_up_at": to_wire(give_up_at),
        }
        self._store.put("webhook", job["id"], job, due=to_wire(due) if due else None)

    def _let_go(self, fault_id: int | None = None, fault: Fault | None = None) -> None:
        """Make due what a fault held back, in its order, or everything that waits for nothing that will come."""
        with self._store.transaction():
            jobs = self._store.never_due("webhook")
            if fault_id is not None:
                jobs = [job for job in jobs if job.get("held_by") == fault_id]
            if fault is not None and fault.options["order"] == "shuffled":
                random.Random(fault.seed).shuffle(jobs)
            elif fault is not None:
                jobs.reverse()
            now = self._clock.now()
            for place, job in enumerate(jobs):
                # A moment of its own for each: the order of the moments is the order of sending.
                due = to_wire(now + timedelta(milliseconds=place))
                self._store.put("webhook", job["id"], job | {"held_by": None}, due=due)

    def _settings(self) -> Document:
        return self._store.get("meta", "webhooks") or {"enabled": True, "url": None}


def notification(event: str, wire: dict[str, Any]) -> dict[str, Any]:
    """The body of a notification."""
    return {"type": "notification", "event": event, "object": wire}


def forged(body: dict[str, Any], options: Mapping[str, Any]) -> Any:
    """What is sent in place of a true notification."""
    if options["body"] is not None:
        return options["body"]
    wire = merged(body["object"], options["object_overrides"] or {})
    return notification(options["event"] or body["event"], wire)


def lane_of(job: Document) -> str:
    """Notifications in one lane are sent one after the other."""
    return str(job.get("lane", job["id"]))
