"""Refusals in the form that the API documents."""

from __future__ import annotations

import uuid
from typing import Any


class ApiError(Exception):
    """A refusal: raised before anything has been changed, answered as the documented error object."""

    def __init__(self, status: int, code: str, description: str, parameter: str | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description
        self.parameter = parameter

    def body(self) -> dict[str, Any]:
        """The error object; its id is new each time, as it names the answer and not the fault."""
        body = {"type": "error", "id": str(uuid.uuid4()), "code": self.code, "description": self.description}
        if self.parameter is not None:
            body["parameter"] = self.parameter
        return body


def invalid(description: str, parameter: str | None = None) -> ApiError:
    """400: the request is at fault."""
    return ApiError(400, "invalid_request", description, parameter)


def not_found(description: str, parameter: str | None = None) -> ApiError:
    """404: there is no such thing, or it belongs to another shop."""
    return ApiError(404, "not_found", description, parameter)


def forbidden(description: str, parameter: str | None = None) -> ApiError:
    """403: the credentials are right, but the shop may not do this."""
    return ApiError(403, "forbidden", description, parameter)
