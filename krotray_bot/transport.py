"""How the library's calls reach Telegram: parameters in the body of a POST, answers complete in time.

The library itself writes them into the address, even with POST, where a long Russian text takes more room than servers in
between allow.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import requests

from krotray_core.deadlines import Session

PAUSE_SECONDS = 15.0  # between two packets; longer than the long poll
ANSWER_SECONDS = 30.0


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
    return _session().post(url, data=params, files=files, timeout=timeout, allow_redirects=False)


@cache
def _session() -> Session:
    return Session(pause_seconds=PAUSE_SECONDS, answer_seconds=ANSWER_SECONDS)
