"""How every task of ours behaves: safe to lose, safe to repeat, tried again only when that can help."""

from __future__ import annotations

import logging
import random
from functools import partial
from typing import Any

from celery import Task
from celery.signals import task_postrun, task_prerun
from sqlalchemy.exc import InterfaceError
from sqlalchemy.exc import OperationalError as DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from krotray_core import db, ledger, tracing
from krotray_core.errors import Retryable
from krotray_tasks import broker

log = logging.getLogger(__name__)

# Far below the broker's visibility timeout, past which a waiting retry would be delivered a second time.
LONGEST_PAUSE_SECONDS = 120.0
# The header of a message in which the id of what has led to it travels.
REQUEST_ID = "request_id"


@task_prerun.connect
def _follow(task: Task, task_id: str, **_: Any) -> None:
    """Before Celery itself writes of the task: its own id will do where nothing has led to it."""
    given = task.request.get(REQUEST_ID) or (task.request.headers or {}).get(REQUEST_ID)
    tracing.begin(given if tracing.well_formed(given) else task_id)


@task_postrun.connect
def _followed(**_: Any) -> None:
    tracing.end()


class CoreTask(Task):
    """A few lines over one core verb. Its messages are haste only: what they ask for is in the database anyway."""

    abstract = True
    max_retries = 8
    # For one whose process was killed under it; bounded by max_retries, unlike task_reject_on_worker_lost.
    retry_on_worker_lost = True
    first_pause_seconds = 1.0

    def enqueue(self, *args: str | int, countdown: float = 0, expires: float | None = None) -> bool:
        """Asks a worker to do it soon. False when the broker is away: the caller goes on, a sweep will find the work.

        Takes ids only; not before `countdown` seconds, and nobody need do it any more after `expires`. Raises RuntimeError inside
        a transaction, where a worker could be quicker than the commit.
        """
        try:
            self.apply_async(args, countdown=countdown or None, expires=expires)
        except broker.ERRORS as error:
            log.warning("%s was not enqueued, the sweep will find it: %s", self.name, type(error).__name__)
            return False
        return True

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Celery's own, except that it refuses to run ahead of a commit, and gives up after a second when the broker is away."""
        if db.in_transaction():
            raise RuntimeError(f"{self.name} enqueued inside a transaction; do it after the verb returns")
        # What a worker logs about it can be found by the id of what has led to it.
        follows = {REQUEST_ID: tracing.current()} if tracing.current() else {}
        kwargs["headers"] = follows | (kwargs.get("headers") or {})
        # Flower and Celery's events show a task's arguments to whoever may look at a queue: ours are nobody's business.
        kwargs["argsrepr"] = kwargs["kwargsrepr"] = "(...)"
        if kwargs.get("producer") is not None:
            return super().apply_async(*args, **kwargs)
        kwargs.pop("producer", None)
        return broker.publish(self.app, partial(super().apply_async, *args, **kwargs))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the task; bad weather is tried again after growing, jittered pauses, everything else fails at once."""
        try:
            with ledger.acting(self.name.rpartition(".")[2]):
                return super().__call__(*args, **kwargs)
        except (Retryable, DatabaseError, InterfaceError, PoolTimeout) as error:
            if self.request.called_directly:
                raise
            log.warning("%s%r will be tried again: %s", self.name, args, type(error).__name__)
            raise self.retry(exc=error, countdown=self._pause()) from error

    def _pause(self) -> float:
        pause = min(self.first_pause_seconds * 2**self.request.retries, LONGEST_PAUSE_SECONDS)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, keeps no secret
