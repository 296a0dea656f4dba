"""Tasks about what people are told (queue `care`)."""

from __future__ import annotations

from krotray_core import delivery, reminders
from krotray_tasks.app import celery


@celery.task(max_retries=0)
def send_due() -> None:
    """Sends what is due. Of several at once all but one find the lease taken, and end at once."""
    delivery.send_due()


@celery.task(max_retries=0)
def remind() -> None:
    """Notes whom to remind that their days run out."""
    reminders.note_due()
