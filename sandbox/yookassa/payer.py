"""What a payer can do with a payment: pay, be declined, be asked by the bank, see it fail for good."""

from __future__ import annotations

from typing import Any

from .cards import PAYS, TEST_CARDS, TestCard
from .clock import Clock, to_wire
from .payments import Payments
from .records import FINAL, PaymentRecord, authorization, card_method, sbp_method
from .store import Store


class NotPayableError(Exception):
    """The payment is not waiting for a payer, or not for this way of paying."""


class Payer:
    """The payer's side of the payments. A verb changes a payment that is still pending, or nothing."""

    def __init__(self, store: Store, clock: Clock, payments: Payments) -> None:
        self._store = store
        self._clock = clock
        self._payments = payments

    def pay_by_card(self, payment_id: str, card: TestCard = PAYS) -> dict[str, Any]:
        """Hand the card to its bank, which lets the payment through, declines it or asks the payer first."""
        with self._store.transaction():
            record = self._payable(payment_id, "bank_card")
            if card.decline is not None:
                self._decline(record, card.decline)
            elif card.three_d_secure:
                record.awaiting_3ds, record.last_decline = card.number, None
                self._payments.save(record)
            else:
                self._accept(record, card_method(record.id, card, self._clock.now()), three_d_secure=False)
            return record.wire

    def confirm_3ds(self, payment_id: str) -> dict[str, Any]:
        """The payer told the bank that it was them."""
        with self._store.transaction():
            record = self._payable(payment_id, "bank_card")
            if record.awaiting_3ds is None:
                raise NotPayableError("no bank is waiting for a confirmation")
            card = TEST_CARDS[record.awaiting_3ds]
            self._accept(record, card_method(record.id, card, self._clock.now()), three_d_secure=True)
            return record.wire

    def pay_by_sbp(self, payment_id: str) -> dict[str, Any]:
        """The payer said yes in the bank's app."""
        with self._store.transaction():
            record = self._payable(payment_id, "sbp")
            self._accept(record, sbp_method(record.id), three_d_secure=False)
            return record.wire

    def pay(self, payment_id: str, method: str | None = None) -> dict[str, Any]:
        """Pay in one step, as asked or as the shop fixed it, past every question of a bank."""
        with self._store.transaction():
            record = self._payments.record(payment_id)
            if record.return_url is None and method is None:
                record = self._payable(payment_id, None)
                self._accept(record, record.wire["payment_method"], three_d_secure=False)
                return record.wire
        chosen = method or record.method or "bank_card"
        return self.pay_by_sbp(payment_id) if chosen == "sbp" else self.pay_by_card(payment_id)

    def decline(self, payment_id: str, reason: str) -> dict[str, Any]:
        """An attempt fails; the payment stays payable until its hour is over."""
        with self._store.transaction():
            record = self._payable(payment_id, None)
            self._decline(record, reason)
            return record.wire

    def fail(self, payment_id: str, reason: str, party: str | None = None) -> dict[str, Any]:
        """The payment is canceled for good, whether it waits for a payer or holds money."""
        with self._store.transaction():
            record = self._payments.record(payment_id)
            if record.status in FINAL:
                raise NotPayableError(f"the payment is {record.status}")
            self._payments.end(record, reason, party)
            return record.wire

    def _payable(self, payment_id: str, method: str | None) -> PaymentRecord:
        record = self._payments.record(payment_id)
        if record.status != "pending":
            raise NotPayableError(f"the payment is {record.status}")
        # The background thread may not have come by yet; a click after the hour must not win all the same.
        if record.expires_at is not None and record.expires_at <= to_wire(self._clock.now()):
            raise NotPayableError("the payment has expired")
        if method is not None and record.return_url is None:
            raise NotPayableError("a saved method is charged, which no payer can change")
        if method is not None and record.method not in (None, method):
            raise NotPayableError(f"the shop takes {record.method} only")
        return record

    def _accept(self, record: PaymentRecord, method: dict[str, Any], *, three_d_secure: bool) -> None:
        record.last_decline = record.awaiting_3ds = None
        record.wire["payment_method"] = method
        record.wire["authorization_details"] = authorization(three_d_secure=three_d_secure)
        self._payments.accept(record)

    def _decline(self, record: PaymentRecord, reason: str) -> None:
        record.awaiting_3ds, record.last_decline = None, reason
        self._payments.save(record)
