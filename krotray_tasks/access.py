"""Tasks about who is on which server (queue `access`), and the periodic looks at it (queue `care`)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from krotray_core import (
    alarms,
    clock,
    counts,
    delivery,
    health,
    moving,
    placement,
    provisioning,
    servers,
    subscriptions,
    watchdog,
)
from krotray_core import traffic as counters
from krotray_core.errors import NotFound, XrayError, XrayUnavailable
from krotray_tasks.app import celery
from krotray_tasks.notices import send_due


def converge_all(server_ids: Iterable[int]) -> None:
    """Asks for a converge of each of these servers."""
    for server_id in sorted(server_ids):
        converge.enqueue(server_id)


@celery.task(first_pause_seconds=0.2, max_retries=5)
def converge(server_id: int, helping: int = 0) -> None:
    """Makes what is in one Xray equal to our seats. A longer outage is for `watch` and `repair` to end.

    Where there is very much to do it asks one more to help, which is told so by `helping` and asks nobody.

    A server that does not answer is looked at once more: if it is down, who never got in is served elsewhere at once.
    """
    try:
        done = provisioning.converge(server_id, None if helping else partial(converge.enqueue, server_id, 1))
    except XrayUnavailable:
        server = provisioning.find(server_id)
        if server.is_up is False:
            return  # known: `watch` asks for this again when it is back
        if health.look(server):
            raise
        seat_waiting()
        return
    if done.confirmed and not delivery.is_sending():
        send_due.enqueue()  # somebody may be waiting to be told of their key
    if done.more:
        converge.enqueue(server_id)


@celery.task(max_retries=3)
def expire_due() -> None:
    """Ends what has run out, and gives the places to those who wait for one."""
    follow_up(subscriptions.expire_due(converge.enqueue)[1])


@celery.task(max_retries=0)
def repair() -> None:
    """Finds seats that nobody is working on, whatever became of the messages about them."""
    converge_all(provisioning.dirty_servers())


@celery.task(max_retries=0)
def place() -> None:
    """Finds people who wait for a place, or have one that does not work."""
    seat_waiting()


@celery.task(max_retries=0)
def evacuate() -> None:
    """Goes on with the evacuations."""
    converge_all(moving.step().servers)


@celery.task(max_retries=0)
def warn() -> None:
    """Tells the admins of what they should know."""
    alarms.look()
    watchdog.look()
    counts.fold()


@celery.task(max_retries=0)
def watch() -> None:
    """Looks whether each Xray is up and remembers its users."""
    seen = health.watch(converge.enqueue)
    for server_id in sorted(seen.doubtful):
        audit.enqueue(server_id)
    if seen.changed:
        seat_waiting()


@celery.task(max_retries=0)
def audit_all() -> None:
    """Has every server compared with our seats, but for those that are known to be down."""
    for server in servers.everyone():
        if server.is_up is not False:
            audit.enqueue(server.id)


@celery.task(max_retries=0, throws=(NotFound, XrayError, XrayUnavailable))
def audit(server_id: int) -> None:
    """Compares what one Xray really holds with our seats."""
    if not health.audit(server_id).clean:
        converge.enqueue(server_id)


@celery.task(max_retries=0)
def traffic_all() -> None:
    """Has the counters of every server read, but for those that are known to be down."""
    for server in servers.everyone():
        if server.is_up is not False:
            traffic.enqueue(server.id)


@celery.task(max_retries=0, throws=(NotFound, XrayUnavailable))
def traffic(server_id: int) -> None:
    """Adds what everybody on one server has used since the last time."""
    counters.read(server_id)


def follow_up(server_ids: Iterable[int]) -> None:
    """After a verb that changed seats: a place may have got free, or somebody has come who waits for one."""
    converge_all(server_ids)
    seat_waiting()


def seat_waiting() -> None:
    """Seats who waits for a place, and who got one on a server that never let them in."""
    if not placement.anybody_to_place():
        return
    now = clock.now()
    converge_all(placement.seat_waiting(now) | placement.rescue(now))
