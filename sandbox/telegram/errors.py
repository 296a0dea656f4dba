"""A refusal, in the words of Telegram's Bot API."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """Answered as `{ok: false, error_code, description}`; `retry_after` is in seconds and comes with 429."""

    def __init__(self, code: int, description: str, *, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code, self.description, self.retry_after = code, description, retry_after

    @property
    def wire(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after is not None:
            body["parameters"] = {"retry_after": self.retry_after}
        return body


def bad_request(text: str) -> ApiError:
    """The bot sent something that makes no sense."""
    return ApiError(400, f"Bad Request: {text}")
