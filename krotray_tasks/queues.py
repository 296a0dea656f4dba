"""How much waits in the broker, asked in a way that Redis and RabbitMQ both understand."""

from __future__ import annotations

from krotray_tasks.app import celery
from krotray_tasks.broker import ERRORS, QUEUES

ANSWER_SECONDS = 1.0
AWAY = ERRORS


def depths() -> dict[str, int]:
    """Messages that no worker has taken yet, by queue. Raises one of AWAY within a second or so when the broker is away."""
    options = {
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
        "retry_on_timeout": False,
    }
    with celery.connection_for_read(connect_timeout=ANSWER_SECONDS, transport_options=options) as connection:
        connection.ensure_connection(max_retries=1, timeout=ANSWER_SECONDS)
        found = {}
        for queue in QUEUES:
            channel = connection.channel()  # RabbitMQ ends one in which somebody asks for what is not there
            try:
                found[queue] = int(channel.queue_declare(queue, passive=True).message_count)
            except connection.channel_errors:
                found[queue] = 0  # there is none as long as nobody has sent anything, and with Redis while it is empty
            else:
                channel.close()
        return found
