"""Each worker says that it lives, by its own timer: also while there is nothing to do, because the beat is dead, say."""

from __future__ import annotations

import threading
import time
from typing import Any

from celery import Celery
from celery.signals import heartbeat_sent

from krotray_core import heartbeats

EVERY_SECONDS = 10.0


class _Speaker:
    """Hears Celery's heartbeat (every two seconds, while the broker is there), and writes it down now and then.

    In a thread of its own: a database that is away must not keep the worker's loop.
    """

    def __init__(self, app: Celery) -> None:
        self._app, self._last = app, -EVERY_SECONDS
        self._busy = threading.Lock()

    def hear(self, sender: Any, **_: object) -> None:
        """Called by Celery with its `Heart`."""
        now = time.monotonic()
        if now - self._last < EVERY_SECONDS or not self._busy.acquire(blocking=False):
            return
        self._last = now
        said = sender.eventer.hostname, tuple(self._app.amqp.queues.consume_from)
        threading.Thread(target=self._note, args=said, name="alive", daemon=True).start()

    def _note(self, worker: str, queues: tuple[str, ...]) -> None:
        try:
            heartbeats.note(worker, queues)
        finally:
            self._busy.release()


def speak_for(app: Celery) -> None:
    """From now on the workers of this application say that they live."""
    heartbeat_sent.connect(_Speaker(app).hear, weak=False)
