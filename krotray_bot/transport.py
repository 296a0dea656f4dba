"""How the library's calls reach Telegram: parameters in the body of a POST, answers complete in time.

The library itself writes them into the address, even with POST, where a long Russian text takes more room than servers in
between allow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import requests

from krotray_core.deadlines import Session

ANSWER_SECONDS = 30.0  # complete, where nobody waits
SHORTEST_SECONDS = 1  # for a call whose time is over: the one before it may have been slow, and this one need not be

_ends: ContextVar[float | None] = ContextVar("when the calls of now have to be done", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Calls made inside share that much time; the last one may take a second more."""
    token = _ends.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


def send(
    _method: str,
    url: str,
    *,
    params: dict[str, Any] | None = None,
    files: dict[str, Any] | None = None,
    timeout: tuple[float, float],
    **_: Any,
) -> requests.Response:
    """One call, as the library's CUSTOM_REQUEST_SENDER. Raises requests.RequestException, whose text may hold the token."""
    ends = _ends.get()
    if ends is None:
        session = _session(timeout[1], ANSWER_SECONDS)
    else:
        left = max(math.ceil(ends - time.monotonic()), SHORTEST_SECONDS)  # whole seconds: a session for each
        session, timeout = _session(left, left), (min(timeout[0], left), left)
    return session.post(url, data=params, files=files, timeout=timeout, allow_redirects=False)


@cache
def _session(pause_seconds: float, answer_seconds: float) -> Session:
    return Session(pause_seconds=pause_seconds, answer_seconds=answer_seconds)
