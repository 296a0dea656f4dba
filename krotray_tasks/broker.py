"""How to talk to the broker, whichever it is: Redis, Redis behind Sentinels, RabbitMQ. Nobody is kept by one that is away.

Away has many forms: refused, gone without a word, frozen, or a RabbitMQ that takes nothing in because its disk is full. A message
counts as sent only once the broker has said so (publisher confirms), and all waiting has an end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from amqp.exceptions import AMQPError
from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.exceptions import KombuError
from kombu.exceptions import OperationalError as BrokerError
from kombu.pools import producers
from redis.exceptions import RedisError

from krotray_core.settings import Settings

# How long the caller of `publish` may be kept by a broker that is away.
PUBLISH_SECONDS = 1.0
# A connection that fails sooner than this has been dead for a while: the next one may live.
STALE_SECONDS = 0.25
# RabbitMQ and its workers believe each other gone after two of these without a word.
HEARTBEAT_SECONDS = 10
QUEUES = ("money", "access", "care")

ERRORS = (BrokerError, KombuError, RedisError, AMQPError, OSError)


def is_amqp(url: str) -> bool:
    """Whether this broker is a RabbitMQ."""
    return urlsplit(url).scheme in ("amqp", "amqps")


def transport_options(s: Settings) -> dict[str, Any]:
    """What kombu is to be told about the broker of these settings, beside its address."""
    if is_amqp(s.broker_url):
        return {
            "confirm_publish": True,
            "connect_timeout": 2,
            "read_timeout": 5,
            "write_timeout": 5,
            "max_retries": 0,
        }
    options: dict[str, Any] = {
        "visibility_timeout": 3600,
        "unacked_restore_throttle": 1,
        "socket_timeout": 2,
        "socket_connect_timeout": 1,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "max_retries": 0,
    }
    if urlsplit(s.broker_url).scheme == "sentinel":
        options["master_name"] = s.redis_sentinel_master
        options["sentinel_kwargs"] = sentinel_options(s, PUBLISH_SECONDS)
    return options


def sentinel_options(s: Settings, seconds: float) -> dict[str, Any]:
    """How redis-py is to talk to the Sentinels themselves, none of which may take longer than `seconds`."""
    options: dict[str, Any] = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    if s.redis_sentinel_password:
        options["password"] = s.redis_sentinel_password.get_secret_value()
    return options


def queues(url: str) -> list[Queue] | None:
    """The queues as RabbitMQ is to keep them; None where Celery's own will do.

    Classic ones, also where a virtual host's default is quorum: pauses before another try (docs/adr/0013) need them.
    """
    if not is_amqp(url):
        return None
    kept = {"x-queue-type": "classic"}
    return [Queue(name, Exchange(name), routing_key=name, queue_arguments=kept) for name in QUEUES]


@cache
def _connection(app: Celery) -> Connection:
    """For publishing only: less patient than a worker, which must wait for messages on its connections."""
    if is_amqp(app.conf.broker_url):
        names = ("connect_timeout", "read_timeout", "write_timeout")
        return app.connection_for_write(
            connect_timeout=PUBLISH_SECONDS, transport_options=dict.fromkeys(names, PUBLISH_SECONDS)
        )
    options = {"socket_timeout": PUBLISH_SECONDS, "socket_connect_timeout": PUBLISH_SECONDS}
    return app.connection_for_write(transport_options=options)


os.register_at_fork(after_in_child=_connection.cache_clear)


def publish(app: Celery, send: Callable[..., Any]) -> Any:
    """Calls `send(producer=...)` with a producer that gives up after a second. Raises one of ERRORS when the broker is away."""
    began = time.monotonic()
    while True:
        with producers[_connection(app)].acquire(block=True, timeout=PUBLISH_SECONDS) as producer:
            connection = producer.connection
            used_before = connection.connected
            try:
                return send(producer=producer)
            except ERRORS:
                if not is_amqp(app.conf.broker_url):
                    raise  # redis-py has closed it, and opens another by itself
                # Whatever it still says would be taken for the answer to the next message.
                connection.collect()
                if not used_before or time.monotonic() - began > STALE_SECONDS:
                    raise


def fault(app: Celery, seconds: float) -> str | None:
    """None when the broker answers within `seconds` or so, else what went wrong, in one word."""
    try:
        with app.connection_for_write(connect_timeout=seconds) as connection:
            connection.ensure_connection(max_retries=1, timeout=seconds)
    except ERRORS as error:
        return type(error).__name__
    return None
