"""Refunds: money that goes back to the payer, whole or in parts, at once or after the bank has thought about it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .armed import Faults
from .cards import party_of
from .clock import Clock, to_wire
from .errors import ApiError, invalid, not_found
from .incoming import ListQuery, RefundRequest
from .listing import page
from .outbox import Outbox
from .payments import Payments
from .records import PaymentRecord, new_id
from .shapes import as_amount
from .store import Document, Store

REFUND_STATUSES = ("pending", "succeeded", "canceled")


class RefundFinishedError(Exception):
    """The refund is not waiting for the bank any more."""


class Refunds:
    """The refunds of the one shop. Banks agree at once here, unless the control API has told them otherwise."""

    def __init__(self, store: Store, clock: Clock, payments: Payments, outbox: Outbox, faults: Faults) -> None:
        self._store = store
        self._clock = clock
        self._payments = payments
        self._outbox = outbox
        self._faults = faults

    def create(self, request: RefundRequest) -> Document:
        """Give back at most what is left of a payment; what is on its way back is not left."""
        with self._store.transaction():
            try:
                record = self._payments.record(request.payment_id)
            except ApiError:
                # Named in a body it is a wrong value, not a missing address.
                raise invalid("There is no such payment", "payment_id") from None
            if record.status != "succeeded":
                raise invalid(f"A payment that is {record.status} cannot be refunded", "payment_id")
            if request.amount > self._left(record):
                raise invalid("More than what is left of the payment cannot be refunded", "amount")
            now = self._clock.now()
            refund: dict[str, Any] = {
                "id": new_id(now, "0016"),
                "payment_id": record.id,
                "status": "pending",
                "created_at": to_wire(now),
                "amount": as_amount(request.amount),
            }
            if request.description is not None:
                refund["description"] = request.description
            if request.metadata is not None:
                refund["metadata"] = request.metadata
            strike = self._faults.take("refund")
            if strike is not None and strike.fault.kind == "canceled":
                self._end(refund, "canceled", strike.fault.options["reason"], strike.fault.options["party"])
            elif strike is not None and strike.fault.kind == "pending":
                self._save(refund)
            else:
                self._end(refund, "succeeded")
            return refund

    def succeed(self, refund_id: str) -> Document:
        """The bank gave the money of a pending refund back."""
        return self._finish(refund_id, "succeeded")

    def cancel(self, refund_id: str, reason: str, party: str | None = None) -> Document:
        """The bank refused a pending refund; the money can be refunded again."""
        return self._finish(refund_id, "canceled", reason, party)

    def find(self, refund_id: str) -> Document:
        """The refund; 404 when there is none."""
        refund = self._store.get("refund", refund_id)
        if refund is None:
            raise not_found("There is no such refund", "refund_id")
        return refund

    def all(self) -> list[Document]:
        """All refunds, newest first."""
        return self._store.all("refund", newest_first=True)

    def page(self, query: ListQuery) -> dict[str, Any]:
        """One page of the list."""
        return page(self.all(), query)

    def latest_of(self, payment_id: str) -> Document | None:
        """The newest refund of a payment."""
        return next((refund for refund in self.all() if refund["payment_id"] == payment_id), None)

    def _finish(self, refund_id: str, status: str, reason: str | None = None, party: str | None = None) -> Document:
        with self._store.transaction():
            refund = self.find(refund_id)
            if refund["status"] != "pending":
                raise RefundFinishedError(f"the refund is {refund['status']}")
            self._end(refund, status, reason, party)
            return refund

    def _end(self, refund: Document, status: str, reason: str | None = None, party: str | None = None) -> None:
        refund["status"] = status
        if reason is not None:
            refund["cancellation_details"] = {"party": party or party_of(reason, "refund_network"), "reason": reason}
        if status == "succeeded":
            record = self._payments.record(refund["payment_id"])
            record.wire["refunded_amount"] = as_amount(record.refunded + Decimal(refund["amount"]["value"]))
            self._payments.save(record)
        self._save(refund)
        if status == "succeeded":  # one that failed is told to nobody
            self._outbox.add("refund.succeeded", refund)

    def _save(self, refund: Document) -> None:
        self._store.put("refund", refund["id"], refund)
        record = self._payments.record(refund["payment_id"])
        record.wire["refundable"] = self._left(record) > 0
        self._payments.save(record)

    def _left(self, record: PaymentRecord) -> Decimal:
        """What can still be refunded."""
        on_the_way = (
            Decimal(refund["amount"]["value"])
            for refund in self.all()
            if refund["payment_id"] == record.id and refund["status"] == "pending"
        )
        return record.amount - record.refunded - sum(on_the_way, Decimal())
