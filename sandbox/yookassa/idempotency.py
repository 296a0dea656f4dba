"""The Idempotence-Key: a POST that is repeated has the first one's result and no further effect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .clock import Clock, to_wire
from .errors import ApiError, invalid
from .store import Store

HEADER = "Idempotence-Key"
REMEMBERED_FOR = timedelta(hours=24)


@dataclass(frozen=True)
class Answer:
    """Status and JSON body of an API answer."""

    status: int
    body: dict[str, Any]


class Idempotency:
    """The memory of keys."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def once(self, key: str | None, request: dict[str, Any], perform: Callable[[], dict[str, Any]]) -> Answer:
        """Perform a request, or answer what the same request under the same key was answered before.

        Key, effect and answer are one transaction: of several senders at the same moment one performs, and the
        others find its answer. A refusal is an answer too: a corrected request needs a new key, as documented.
        """
        checked = _checked_key(key)
        fingerprint = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        now = self._clock.now()
        with self._store.transaction():
            self._store.remove_due("key", to_wire(now))
            known = self._store.get("key", checked)
            if known is not None:
                if known["fingerprint"] != fingerprint:
                    raise invalid("The key has been used for another request", HEADER)
                return Answer(known["status"], known["body"])
            try:
                answer = Answer(200, perform())
            except ApiError as error:
                answer = Answer(error.status, error.body())
            self._store.put(
                "key",
                checked,
                {"fingerprint": fingerprint, "status": answer.status, "body": answer.body},
                due=to_wire(now + REMEMBERED_FOR),
            )
            return answer


def _checked_key(key: str | None) -> str:
    if key is None or not key.strip():
        raise invalid("The header is required", HEADER)
    if len(key) > 64:
        raise invalid("At most 64 characters are allowed", HEADER)
    return key
