"""HTTP answers that have to be complete in time. requests' own timeout only limits the pause between two packets."""

from __future__ import annotations

import http.client
import io
import socket
import time
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class _InTime(io.RawIOBase):
    """The reading end of a socket that gives up when the time for the whole answer is over."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, pause_seconds: float, answer_seconds: float) -> None:
        self._raw, self._socket, self._pause = raw, sock, pause_seconds
        self._end = time.monotonic() + answer_seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._socket.settimeout(min(self._pause, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(
        self, sock: socket.socket, *args: Any, pause_seconds: float, answer_seconds: float, **kwargs: Any
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        # Status line, headers and body are all read from here.
        self.fp = io.BufferedReader(_InTime(self.fp.detach(), sock, pause_seconds, answer_seconds))


class Session(requests.Session):
    """A session that follows nothing, repeats nothing, and whose answers are complete in time or fail."""

    def __init__(self, *, pause_seconds: float, answer_seconds: float) -> None:
        super().__init__()
        for scheme in ("https://", "http://"):
            self.mount(scheme, DeadlineAdapter(pause_seconds=pause_seconds, answer_seconds=answer_seconds))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - requests' own signature
        """Nowhere. requests looks for a target, and reads the answer without limit, even when told not to follow."""
        return None


class TooLargeError(requests.RequestException):
    """The answer goes on and on."""


def read(response: requests.Response, most: int) -> bytes:
    """The body of an answer that was asked for with `stream`. Raises TooLargeError past `most` bytes, RequestException."""
    received = bytearray()
    for chunk in response.iter_content(16 * 1024):
        received += chunk
        if len(received) > most:
            raise TooLargeError("the answer is too large")
    return bytes(received)


class DeadlineAdapter(HTTPAdapter):
    """Sends once, without repeats; an answer that is not complete after `answer_seconds` is a timeout.

    `pause_seconds` is the longest silence between two packets.
    """

    def __init__(self, *, pause_seconds: float, answer_seconds: float, pool_maxsize: int = 16) -> None:
        self._answer = partial(_Answer, pause_seconds=pause_seconds, answer_seconds=answer_seconds)
        super().__init__(max_retries=0, pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Makes pools whose connections read their answers in time."""
        super().init_poolmanager(*args, **kwargs)
        answer = {"response_class": self._answer}
        plain = type("Connection", (HTTPConnection,), answer)
        secure = type("SecureConnection", (HTTPSConnection,), answer)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
