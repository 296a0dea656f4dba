"""`python -m krotray_tasks.beat`: it fires only while it holds a lease in the database, so that two of them do no more than one.

`celery -A krotray_tasks beat` is the same and takes 20 MB more: that command line loads all commands, Flower among them.

After a kill -9 the other one takes over when the lease runs out. It outlives an outage of the broker or PostgreSQL by itself.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from datetime import timedelta
from functools import partial
from typing import Any

from celery.beat import Scheduler
from sqlalchemy.exc import SQLAlchemyError

from krotray_core import heartbeats, leases, watchdog
from krotray_tasks import broker

log = logging.getLogger(__name__)

LEASE, LEASE_LENGTH = heartbeats.BEAT, heartbeats.BEAT_LENGTH
ASK_SECONDS = 3.0


class LeasedScheduler(Scheduler):
    """Celery's own in-memory scheduler, ticking only while the lease is ours. On taking over, everything is due at once."""

    # `send_task` has one of its own, with deadlines; Celery would hold on to a RabbitMQ connection that has died.
    producer = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._ours = False
        super().__init__(*args, **kwargs)
        self.max_interval = min(self.max_interval, ASK_SECONDS)
        if not kwargs.get("lazy"):  # as `celery beat` asks for one that it does not run
            watchdog.start()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fires what is due, if we are the one who may. Returns the seconds until it should be called again."""
        before, self._ours = self._ours, self._take()
        if not self._ours:
            return ASK_SECONDS
        if not before:
            log.info("this beat fires from now on")
            self._all_due()
        return min(super().tick(*args, **kwargs), ASK_SECONDS)

    def _take(self) -> bool:
        try:
            return leases.take(LEASE, self._holder, LEASE_LENGTH)
        except SQLAlchemyError as error:
            log.warning("no database, no beat: %s", type(error).__name__)
            return False

    def _all_due(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = entry.last_run_at - timedelta(days=1)
        self._heap = None  # Celery's list of what is due when, made again from the entries

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        """Puts a task, which is a mere name here, into its queue, with the deadline and the silence of `CoreTask`'s own."""
        kwargs.pop("producer", None)
        return broker.publish(self.app, partial(super().send_task, *args, **kwargs, argsrepr="()", kwargsrepr="{}"))

    def close(self) -> None:
        """Leaves the lease to the next one."""
        try:
            leases.give_back(LEASE, self._holder)
        except SQLAlchemyError:
            log.warning("the lease could not be given back; it runs out by itself")
        super().close()


if __name__ == "__main__":
    from krotray_tasks.app import celery

    celery.Beat(loglevel="INFO", quiet=True).run()
