"""Sends notifications: in the background until they are accepted, and at once when a test asks for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from .clock import Clock, from_wire
from .outbox import Outbox
from .store import Store

# New payments do not wake the thread, so this is also how late an expiry can be noticed without any request.
_LONGEST_NAP = 60.0


def post(url: str, body: dict[str, Any], timeout: float) -> tuple[int | None, str | None]:
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
    """One background thread that delivers what is due and lets payments run out of time."""

    def __init__(
        self, store: Store, clock: Clock, outbox: Outbox, expire_due: Callable[[], None], timeout: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._outbox = outbox
        self._expire_due = expire_due
        self._timeout = timeout
        self._stopped = False
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
        while True:
            with self._store.changed:
                if self._stopped:
                    return
                self._expire_due()
                job, url = self._outbox.take_due(), self._outbox.url
                if job is None or url is None:
                    self._store.changed.wait(self._nap())
                    continue
            status, error = post(url, job["body"], self._timeout)
            with self._store.changed:
                if self._stopped:
                    return
                self._outbox.record(job, status, error)

    def _nap(self) -> float:
        # Without an address what is due cannot be sent, and only a change, which wakes us, can help.
        kinds = ("payment", "webhook") if self._outbox.url else ("payment",)
        due = self._store.next_due(*kinds)
        if due is None:
            return _LONGEST_NAP
        return min(max((from_wire(due) - self._clock.now()).total_seconds(), 0.0), _LONGEST_NAP)
