"""One id for all that follows from one request, update, command or task: in every log line, through Celery and gRPC."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# What nginx's $request_id, a UUID and our own ids look like; nothing that could be mistaken for something else in a log.
_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{3,63}", re.ASCII)
HEADER = "X-Request-Id"
GRPC_KEY = "x-request-id"

_current: ContextVar[str | None] = ContextVar("what all this follows from", default=None)


def current() -> str | None:
    """The id of what is being done, if it has one."""
    return _current.get()


def new() -> str:
    """A new id that nobody can guess."""
    return secrets.token_hex(16)


def well_formed(text: Any) -> bool:
    """Whether this can be an id: short, of plain letters."""
    return isinstance(text, str) and _FORM.fullmatch(text) is not None


def begin(text: Any = None) -> str:
    """From here on in this thread everything follows from `text`, or from a new id where that is none. Returns the id."""
    made: str = text if well_formed(text) else new()
    _current.set(made)
    return made


def end() -> None:
    """What comes now follows from nothing that has been."""
    _current.set(None)


@contextmanager
def following(text: Any = None) -> Iterator[str]:
    """The same for what is done inside."""
    token = _current.set(text if well_formed(text) else new())
    try:
        yield _current.get() or ""
    finally:
        _current.reset(token)


def grpc_metadata() -> tuple[tuple[str, str], ...] | None:
    """What a gRPC call carries along."""
    text = _current.get()
    return ((GRPC_KEY, text),) if text else None
