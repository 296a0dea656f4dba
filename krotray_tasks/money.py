"""Tasks about payments (queue `money`)."""

from __future__ import annotations

from uuid import UUID

from krotray_core import billing
from krotray_core.errors import NotFound
from krotray_tasks.access import converge
from krotray_tasks.app import celery

BATCHES = 100  # of a sweep; what is left then is first in line at the next one


@celery.task
def settle(payment_id: str) -> None:
    """Asks YooKassa about one payment and lets it count."""
    for server_id in billing.settle(UUID(payment_id)).servers:
        converge.enqueue(server_id)


@celery.task(throws=(NotFound,))
def settle_external(external_id: str) -> None:
    """The same, known by YooKassa's id alone."""
    for server_id in billing.settle_external(external_id).servers:
        converge.enqueue(server_id)


@celery.task(max_retries=0)
def sweep_payments() -> None:
    """Finds payments without an end, whatever became of their webhooks and messages."""
    for _ in range(BATCHES):
        claimed = billing.claim_open()
        for payment_id in claimed:
            settle.enqueue(str(payment_id))
        if not claimed:
            break
