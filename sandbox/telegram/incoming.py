"""The parameters of a call: from the query string, a form or a JSON body, as Telegram takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Request
from werkzeug.datastructures import FileStorage

from .errors import bad_request

if TYPE_CHECKING:
    from .core import Telegram

Method = Callable[["Telegram", "Parameters"], Any]


class Parameters:
    """Named values, read in the type that a method wants. Every reader raises ApiError (400) for a value that does not fit."""

    def __init__(self, values: Mapping[str, Any], files: Mapping[str, FileStorage] | None = None) -> None:
        self._values, self._files = values, files or {}

    @classmethod
    def of(cls, request: Request) -> Parameters:
        """All of a request, whichever way the client sent it."""
        values: dict[str, Any] = request.args.to_dict() | request.form.to_dict()
        if request.is_json:
            body = request.get_json(silent=True)
            if not isinstance(body, dict):
                raise bad_request("can't parse JSON object")
            values |= body
        return cls(values, request.files)

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

    def file(self, name: str) -> bytes | str | None:
        """What was uploaded under this name, the text that stands there instead (a file id, an address), or None."""
        if name in self._files:
            return self._files[name].read()
        value = self.text(name)
        attached = (value or "").removeprefix("attach://")
        if value and value != attached:
            if attached not in self._files:
                raise bad_request("wrong file identifier/HTTP URL specified")
            return self._files[attached].read()
        return value or None

    def chat(self) -> int:
        """The chat that is meant; one that nobody has is not found."""
        value = self.text("chat_id")
        if not value:
            raise bad_request("chat_id is empty")
        try:
            return int(value)
        except ValueError:
            raise bad_request("chat not found") from None

    def message(self) -> int:
        """The message that is meant."""
        if not self.text("message_id"):
            raise bad_request("message identifier is not specified")
        return self.number("message_id")

    def within(self, values: Mapping[str, Any]) -> Parameters:
        """The fields of an object among the parameters; files that it names are the request's."""
        return Parameters(values, self._files)

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
