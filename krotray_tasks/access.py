"""Tasks about who is on which server (queue `access`), and the periodic looks at it (queue `care`)."""

from __future__ import annotations

from collections.abc import Iterable

from krotray_core import clock, health, placement, provisioning, servers, subscriptions
from krotray_core.errors import XrayError
from krotray_tasks.app import celery


def converge_all(server_ids: Iterable[int]) -> None:
    """Asks for a converge of each of these servers."""
    for server_id in sorted(server_ids):
        converge.enqueue(server_id)


@celery.task(first_pause_seconds=0.2)
def converge(server_id: int) -> None:
    """Makes what is in one Xray equal to our seats."""
    provisioning.converge(server_id)


@celery.task(max_retries=0)
def expire_due() -> None:
    """Ends what has run out."""
    converge_all(subscriptions.expire_due()[1])


@celery.task(max_retries=0)
def repair() -> None:
    """Finds seats that nobody is working on, and people who wait for a place."""
    converge_all(placement.seat_waiting(clock.now()) | set(provisioning.dirty_servers()))


@celery.task(max_retries=0)
def watch() -> None:
    """Looks whether each Xray is up and remembers its users."""
    converge_all(health.watch())


@celery.task(max_retries=0)
def audit_all() -> None:
    """Has every server compared with our seats."""
    for server in servers.everyone():
        audit.enqueue(server.id)


@celery.task(max_retries=0, throws=(XrayError,))
def audit(server_id: int) -> None:
    """Compares what one Xray really holds with our seats."""
    if not health.audit(server_id).clean:
        converge.enqueue(server_id)
