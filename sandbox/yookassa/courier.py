"""Sends notifications: in the background until they are accepted, and at once when a test asks for it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from .clock import Clock, from_wire, to_wire
from .outbox import Outbox, lane_of
from .store import Document, Store

# New payments do not wake the thread, so this is also how late an expiry can be noticed without any request.
_LONGEST_NAP = 60.0
# Room for as many copies as can be asked for, and for others beside them.
_AT_ONCE = 64
# How long a notification without an answer holds up the next one of its lane, in seconds.
_PATIENCE = 1.0


def post(url: str, body: Any, timeout: float) -> tuple[int | None, str | None]:
    """Send one notification; the HTTP status, or what went wrong instead."""
    with requests.Session() as session:
        session.trust_env = False  # a proxy or a .netrc of this machine is no part of the play
        try:
            answer = session.post(
                url,
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.Timeout:
            return None, f"no answer within {timeout:g} s"
        except (requests.RequestException, ValueError) as error:  # ValueError: an address that is none
            return None, type(error).__name__
        return answer.status_code, None


class Courier:
    """Delivers what is due, each notification in a thread of its own, and lets payments run out of time.

    Those of one lane leave one after the other, so that a test sees them in their order; but a receiver that does not
    answer soon holds up nothing.
    """

    def __init__(
        self, store: Store, clock: Clock, outbox: Outbox, expire_due: Callable[[], None], timeout: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._outbox = outbox
        self._expire_due = expire_due
        self._timeout = timeout
        self._stopped = False
        self._on_the_way: dict[str, tuple[str, float]] = {}
        """Lane and time of departure by the notification's id."""
        self._thread = threading.Thread(target=self._run, name="yookassa-courier", daemon=True)

    def start(self) -> None:
        """Begin to deliver, first of all what an earlier process left."""
        self._thread.start()

    def stop(self) -> None:
        """Finish without waiting for a receiver that does not answer: an unrecorded attempt is repeated later."""
        with self._store.changed:
            self._stopped = True
            self._store.changed.notify_all()
        self._thread.join(timeout=1)

    def send_now(self, body: dict[str, Any], copies: int) -> list[tuple[int | None, str | None]]:
        """Send copies of a body at the same moment, whatever the switch says, and return how each was answered."""
        url = self._outbox.url
        if url is None:
            raise ValueError("no webhook url is configured")
        at_once = threading.Barrier(copies)

        def send() -> tuple[int | None, str | None]:
            at_once.wait()
            return post(url, body, self._timeout)

        with ThreadPoolExecutor(max_workers=copies) as pool:
            answers = [sent.result() for sent in [pool.submit(send) for _ in range(copies)]]
        for status, error in answers:
            self._outbox.log(body, attempt=1, status=status, error=error, forced=True)
        return answers

    def _run(self) -> None:
        with self._store.changed:
            while not self._stopped:
                now = to_wire(self._clock.now())
                self._expire_due()
                if not self._send_one(now):
                    self._store.changed.wait(self._nap(now))

    def _send_one(self, now: str) -> bool:
        url = self._outbox.url
        if url is None or len(self._on_the_way) >= _AT_ONCE:
            return False
        job = self._outbox.take_due(
            now, {lane for lane, left_at in self._on_the_way.values() if _patience(left_at) > 0}
        )
        if job is None:
            return False
        self._on_the_way[job["id"]] = (lane_of(job), time.monotonic())
        threading.Thread(target=self._deliver, args=(job, url), name="yookassa-delivery", daemon=True).start()
        return True

    def _deliver(self, job: Document, url: str) -> None:
        status, error = post(url, job["body"], self._timeout)
        with self._store.changed:
            del self._on_the_way[job["id"]]
            if not self._stopped:
                self._outbox.record(job, status, error)
                self._store.changed.notify_all()

    def _nap(self, now: str) -> float:
        """How long nothing can happen, unless there is a change, which wakes us.

        What has been due by `now` and is still here waits for a change (an address, a free lane) or for patience to end.
        """
        naps = [_LONGEST_NAP, *(left for _, left_at in self._on_the_way.values() if (left := _patience(left_at)) > 0)]
        due = self._store.next_due("payment", "webhook", after=now)
        if due is not None:
            naps.append((from_wire(due) - self._clock.now()).total_seconds())
        return max(min(naps), 0.0)


def _patience(left_at: float) -> float:
    return left_at + _PATIENCE - time.monotonic()
