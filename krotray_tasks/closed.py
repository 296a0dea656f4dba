"""A mend of kombu 5.7: a worker that holds messages while its Redis goes away must reconnect, not end.

Celery closes the lost connection twice. The second time kombu, giving back what was not acknowledged, looks for the address in a
transport that has forgotten it: an AttributeError, which ends the worker. A connection error, which this makes of it, does not.
What was not given back comes again after the visibility timeout, or sooner by a sweep.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError

_theirs = redis.Channel._connparams


def _connparams(self: redis.Channel, *args: Any, **kwargs: Any) -> Any:
    if self.connection is None or self.connection.client is None:
        raise RedisConnectionError("this connection has been closed")
    return _theirs(self, *args, **kwargs)


def mend() -> None:
    """Has it so in this process; harmless the second time."""
    redis.Channel._connparams = _connparams
