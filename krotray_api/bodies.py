"""Request bodies: JSON from strangers."""

from __future__ import annotations

import json
from typing import Any

from flask import abort, request


def json_body() -> Any:
    """The decoded body, whatever its Content-Type says. Aborts with 400 when it is not JSON, 413 when it is too large."""
    try:
        return json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError):  # a few thousand brackets are enough for the latter
        abort(400, "the body is not JSON")
