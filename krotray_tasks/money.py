"""Tasks about payments and refunds (queue `money`)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from krotray_core import billing, clock, ledger, reconciliation, refunds, settings
from krotray_core.errors import NotFound
from krotray_core.models import Payment
from krotray_tasks.access import follow_up
from krotray_tasks.app import celery

BATCHES = 100  # of a sweep; what is left then is first in line at the next one


@celery.task(max_retries=3)
def settle(payment_id: str, actor: str = "hint", since: str | None = None) -> None:
    """Somebody's hint: asks YooKassa about one payment and lets it count; `actor` is who gave it.

    Nothing is asked if an answer has come since the hint (ISO time).
    """
    with ledger.acting(actor):
        moment = datetime.fromisoformat(since) if since else None
        follow_up(billing.settle(UUID(payment_id), since=moment).servers)


def check(payment: Payment) -> None:
    """ "I have paid": has a worker ask YooKassa, at once or as soon as that is due again."""
    wait = billing.wait_to_ask(payment)
    if wait is not None:
        settle.enqueue(str(payment.id), "user", clock.now().isoformat(), countdown=wait)


@celery.task(max_retries=0)
def settle_open(payment_id: str) -> None:
    """The sweep's turn: the same, not repeated, for the sweep comes again."""
    with ledger.acting("sweep"):
        follow_up(billing.settle(UUID(payment_id)).servers)


@celery.task(max_retries=3, throws=(NotFound,))
def settle_external(external_id: str) -> None:
    """The same, known by YooKassa's id alone: only a webhook knows so little."""
    with ledger.acting("webhook"):
        follow_up(billing.settle_external(external_id).servers)


@celery.task(max_retries=0)
def settle_refund(refund_id: str) -> None:
    """The sweep's turn: asks YooKassa about one refund and takes its days."""
    with ledger.acting("sweep"):
        follow_up(refunds.settle(UUID(refund_id)).servers)


@celery.task(max_retries=0)
def sweep_payments() -> None:
    """Finds payments and refunds without an end, whatever became of their webhooks and messages."""
    lifetime = settings.get().settle_sweep_seconds  # what nobody has picked up by then, the next sweep asks for again
    for claim, task in ((billing.claim_open, settle_open), (refunds.claim_open, settle_refund)):
        for _ in range(BATCHES):
            claimed = claim()
            for found in claimed:
                task.enqueue(str(found), expires=lifetime)
            if not claimed:
                break


@celery.task(max_retries=0, soft_time_limit=1500, time_limit=1560)
def reconcile() -> None:
    """Compares the list at YooKassa with ours, once a period however often it is called."""
    with ledger.acting("reconciliation"):
        report = reconciliation.daily()
    if report:
        follow_up(report.servers)
