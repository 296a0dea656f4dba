"""Saved payment methods, and charging them without their owner: what auto-renewal is made of."""

from __future__ import annotations

from typing import Any

from .armed import Faults
from .errors import invalid, not_found
from .incoming import PaymentRequest
from .payments import Payments
from .records import authorization
from .store import Document, Store


class SavedMethods:
    """The methods that payers let the shop keep; each has the id of the payment that it comes from."""

    def __init__(self, store: Store, payments: Payments, faults: Faults) -> None:
        self._store = store
        self._payments = payments
        self._faults = faults

    def all(self) -> list[Document]:
        """Every method, with the reason for which its charges are declined, if there is one."""
        return self._store.all("method")

    def decline_with(self, method_id: str, reason: str | None) -> Document:
        """Have every charge of a method declined from now on, as after `permission_revoked`; None heals it."""
        with self._store.transaction():
            saved = self._store.get("method", method_id)
            if saved is None:
                raise not_found("There is no such saved method")
            saved["declines_with"] = reason
            self._store.put("method", method_id, saved)
            return saved

    def charge(self, request: PaymentRequest) -> dict[str, Any]:
        """Make a payment that asks nobody: the answer already tells how it went."""
        with self._store.transaction():
            saved = self._store.get("method", request.saved_method or "")
            if saved is None:
                raise invalid("There is no such saved method", "payment_method_id")
            record = self._payments.make(request)
            record.wire["payment_method"] = saved["method"]
            strike = self._faults.take("charge")
            kind, options = (strike.fault.kind, strike.fault.options) if strike else ("pass", {})
            if saved["declines_with"]:
                self._payments.end(record, saved["declines_with"])
            elif kind == "canceled":
                self._payments.end(record, options["reason"], options["party"])
            elif kind == "pending":
                self._payments.save(record)
            else:
                record.wire["authorization_details"] = authorization(three_d_secure=False)
                self._payments.accept(record)
            return record.wire
