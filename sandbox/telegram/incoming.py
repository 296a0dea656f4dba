"""The parameters of a call: from the query string, a form or a JSON body, as Telegram takes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Request

from .errors import bad_request


class Parameters:
    """Named values, read in the type that a method wants. Every reader raises ApiError (400) for a value that does not fit."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    @classmethod
    def of(cls, request: Request) -> Parameters:
        """All of a request, whichever way the client sent it."""
        values: dict[str, Any] = request.args.to_dict() | request.form.to_dict()
        if request.is_json:
            body = request.get_json(silent=True)
            if not isinstance(body, dict):
                raise bad_request("can't parse JSON object")
            values |= body
        return cls(values)

    def text(self, name: str) -> str | None:
        """A text, or None where there is none."""
        value = self._values.get(name)
        return None if value is None else str(value)

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number; without a default it has to be there."""
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        try:
            return int(value)  # type: ignore[arg-type] # None raises TypeError, which is caught
        except (TypeError, ValueError):
            raise bad_request(f"invalid {name} specified") from None

    def flag(self, name: str) -> bool:
        """True or false; absent is false."""
        return str(self._values.get(name, "")).lower() in ("true", "1", "yes")

    def json(self, name: str, kind: type[dict] | type[list], what: str) -> Any:
        """A JSON value, which travels as text except within a JSON body; None where there is none."""
        value = self._values.get(name)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise bad_request(f"can't parse {what} JSON object") from None
        if value is not None and not isinstance(value, kind):
            raise bad_request(f"{'object' if kind is dict else 'array'} expected as {what}")
        return value
