"""Refunds: money that goes back to the payer, whole or in parts."""

from __future__ import annotations

from typing import Any

from .clock import Clock, to_wire
from .errors import ApiError, invalid, not_found
from .incoming import ListQuery, RefundRequest
from .listing import page
from .outbox import Outbox
from .payments import Payments
from .records import new_id
from .shapes import as_amount
from .store import Document, Store

REFUND_STATUSES = ("pending", "succeeded", "canceled")


class Refunds:
    """The refunds of the one shop; banks answer at once here, so each of them succeeds when it is made."""

    def __init__(self, store: Store, clock: Clock, payments: Payments, outbox: Outbox) -> None:
        self._store = store
        self._clock = clock
        self._payments = payments
        self._outbox = outbox

    def create(self, request: RefundRequest) -> Document:
        """Give back at most what is left of a payment."""
        with self._store.transaction():
            try:
                record = self._payments.record(request.payment_id)
            except ApiError:
                # Named in a body it is a wrong value, not a missing address.
                raise invalid("There is no such payment", "payment_id") from None
            if record.status != "succeeded":
                raise invalid(f"A payment that is {record.status} cannot be refunded", "payment_id")
            refunded = record.refunded + request.amount
            if refunded > record.amount:
                raise invalid("More than what is left of the payment cannot be refunded", "amount")
            now = self._clock.now()
            refund: dict[str, Any] = {
                "id": new_id(now, "0016"),
                "payment_id": record.id,
                "status": "succeeded",
                "created_at": to_wire(now),
                "amount": as_amount(request.amount),
            }
            if request.description is not None:
                refund["description"] = request.description
            if request.metadata is not None:
                refund["metadata"] = request.metadata
            record.wire["refunded_amount"] = as_amount(refunded)
            record.wire["refundable"] = refunded < record.amount
            self._payments.save(record)
            self._store.put("refund", refund["id"], refund)
            self._outbox.add("refund.succeeded", refund)
            return refund

    def find(self, refund_id: str) -> Document:
        """The refund; 404 when there is none."""
        refund = self._store.get("refund", refund_id)
        if refund is None:
            raise not_found("There is no such refund", "refund_id")
        return refund

    def page(self, query: ListQuery) -> dict[str, Any]:
        """One page of the list."""
        return page(self._store.all("refund", newest_first=True), query)

    def latest_of(self, payment_id: str) -> Document | None:
        """The newest refund of a payment."""
        refunds = self._store.all("refund", newest_first=True)
        return next((refund for refund in refunds if refund["payment_id"] == payment_id), None)
