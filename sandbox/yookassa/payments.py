"""Payments as the shop sees them: made, looked up, captured, canceled, and gone with time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from .cards import party_of
from .clock import Clock, to_wire
from .config import Config
from .errors import invalid, not_found
from .incoming import ListQuery, PaymentRequest
from .listing import page
from .outbox import Outbox
from .records import PaymentRecord, income_of, new_payment
from .shapes import as_amount
from .store import Store

UNPAID_LIVES = timedelta(hours=1)
HOLD_LIVES = timedelta(days=7)


class Payments:
    """The payments of the one shop. Every verb is a transaction of its own or part of the caller's."""

    def __init__(self, store: Store, clock: Clock, config: Config, outbox: Outbox) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._outbox = outbox

    def create(self, request: PaymentRequest) -> dict[str, Any]:
        """Make a payment that waits for its payer."""
        record = self.make(request)
        self.save(record)
        return record.wire

    def make(self, request: PaymentRequest) -> PaymentRecord:
        """A payment as it begins, not yet written."""
        now = self._clock.now()
        return new_payment(
            request,
            now=now,
            expires=now + UNPAID_LIVES,
            shop_id=self._config.shop_id,
            url=f"{self._config.public_url}/checkout/",
        )

    def record(self, payment_id: str) -> PaymentRecord:
        """The payment with all that the sandbox knows of it; 404 when there is none."""
        document = self._store.get("payment", payment_id)
        if document is None:
            raise not_found("There is no such payment", "payment_id")
        return PaymentRecord(**document)

    def records(self) -> list[PaymentRecord]:
        """All payments, newest first."""
        return [PaymentRecord(**document) for document in self._store.all("payment", newest_first=True)]

    def save(self, record: PaymentRecord) -> None:
        """Write a payment, and when it wants to be looked at again."""
        self._store.put("payment", record.id, record.document(), due=record.expires_at)

    def page(self, query: ListQuery) -> dict[str, Any]:
        """One page of the list."""
        return page([record.wire for record in self.records()], query)

    def capture(self, payment_id: str, amount: Decimal | None) -> dict[str, Any]:
        """Take the money that is held, or a part of it; the rest goes back to the payer."""
        with self._store.transaction():
            record = self._held(payment_id, "captured")
            if amount is not None and amount > record.amount:
                raise invalid("More than the payment's amount cannot be captured", "amount")
            if amount is not None:
                record.wire["amount"] = as_amount(amount)
            self.succeed(record)
            return record.wire

    def cancel(self, payment_id: str) -> dict[str, Any]:
        """Give the held money back."""
        with self._store.transaction():
            record = self._held(payment_id, "canceled")
            self.end(record, "canceled_by_merchant")
            return record.wire

    def accept(self, record: PaymentRecord) -> None:
        """The payer's bank said yes; `payment_method` tells how it was paid."""
        method = record.wire["payment_method"]
        if record.save_method:
            method["saved"] = True
            self._store.put("method", method["id"], {"method": method, "declines_with": None})
        if record.capture:
            self.succeed(record)
        else:
            self.hold(record)

    def succeed(self, record: PaymentRecord) -> None:
        """The money is the shop's."""
        wire = record.wire
        wire |= {
            "status": "succeeded",
            "paid": True,
            "refundable": True,
            "captured_at": to_wire(self._clock.now()),
            "income_amount": as_amount(income_of(record.amount, wire["payment_method"]["type"])),
            "refunded_amount": as_amount(Decimal()),
        }
        # A finished payment has nothing left to confirm and cannot expire, so the real one drops both fields.
        wire.pop("confirmation", None)
        wire.pop("expires_at", None)
        record.expires_at = None
        self.save(record)
        self._outbox.add("payment.succeeded", wire)

    def hold(self, record: PaymentRecord) -> None:
        """The money is set aside until the shop captures or cancels."""
        wire = record.wire
        expires_at = to_wire(self._clock.now() + HOLD_LIVES)
        wire |= {"status": "waiting_for_capture", "paid": True, "expires_at": expires_at}
        wire.pop("confirmation", None)
        record.expires_at = expires_at
        self.save(record)
        self._outbox.add("payment.waiting_for_capture", wire)

    def end(self, record: PaymentRecord, reason: str, party: str | None = None) -> None:
        """The payment is over without money."""
        wire = record.wire
        wire |= {
            "status": "canceled",
            "paid": False,
            "refundable": False,
            "cancellation_details": {"party": party or party_of(reason), "reason": reason},
        }
        wire.pop("confirmation", None)
        wire.pop("expires_at", None)
        record.expires_at = None
        self.save(record)
        self._outbox.add("payment.canceled", wire)

    def expire_due(self) -> None:
        """Cancel every payment and hold that has run out of time."""
        with self._store.transaction():
            for document in self._store.due("payment", to_wire(self._clock.now())):
                record = PaymentRecord(**document)
                self.end(record, "expired_on_confirmation" if record.status == "pending" else "expired_on_capture")

    def tamper(self, payment_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Overwrite fields behind everybody's back, so that a test can see who compares what they are told."""
        with self._store.transaction():
            record = self.record(payment_id)
            wire = record.wire
            for name in ("amount", "currency"):
                if name in changes:
                    wire["amount"]["value" if name == "amount" else "currency"] = changes[name]
            if "metadata" in changes:
                wire["metadata"] = changes["metadata"]
            if "account_id" in changes:
                wire["recipient"]["account_id"] = changes["account_id"]
            self.save(record)
            return wire

    def _held(self, payment_id: str, verb: str) -> PaymentRecord:
        record = self.record(payment_id)
        if record.status != "waiting_for_capture":
            raise invalid(f"A payment that is {record.status} cannot be {verb}", "payment_id")
        return record
