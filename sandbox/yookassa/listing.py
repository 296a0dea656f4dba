"""Pages of payments and refunds, newest first."""

from __future__ import annotations

import operator
from datetime import datetime
from typing import Any

from .clock import from_wire
from .errors import invalid
from .incoming import ListQuery

_COMPARISONS = {
    "created_at.gte": operator.ge,
    "created_at.gt": operator.gt,
    "created_at.lte": operator.le,
    "created_at.lt": operator.lt,
}


def page(objects: list[dict[str, Any]], query: ListQuery) -> dict[str, Any]:
    """Cut one page out of all objects; the cursor is the id of the last object of the page before."""
    if query.cursor is not None:
        ids = [found["id"] for found in objects]
        if query.cursor not in ids:
            raise invalid("The cursor is not one that the list has given out", "cursor")
        objects = objects[ids.index(query.cursor) + 1 :]
    matching = [found for found in objects if _matches(found, query)]
    answer: dict[str, Any] = {"type": "list", "items": matching[: query.limit]}
    if len(matching) > query.limit:
        answer["next_cursor"] = matching[query.limit - 1]["id"]
    return answer


def _matches(found: dict[str, Any], query: ListQuery) -> bool:
    created_at: datetime = from_wire(found["created_at"])
    return (
        (query.status is None or found["status"] == query.status)
        and (query.payment_id is None or found.get("payment_id") == query.payment_id)
        and all(_COMPARISONS[name](created_at, bound) for name, bound in query.bounds.items())
    )
