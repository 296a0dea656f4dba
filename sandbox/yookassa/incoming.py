"""Bodies and query strings of API requests, checked and turned into something that can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from .clock import from_wire
from .errors import forbidden, invalid
from .receipts import check_receipt
from .shapes import (
    checked_amount,
    checked_choice,
    checked_flag,
    checked_metadata,
    checked_object,
    checked_text,
    checked_url,
)

METHODS = ("bank_card", "sbp")
LOCALES = ("ru_RU", "en_US")

# Documented, but no part of a plain purchase. The SDK sends some of them empty, which is as good as not at all.
_UNUSED_PAYMENT_FIELDS = ("airline", "deal", "payment_order", "payment_token", "receiver", "statements", "transfers")
_PAYMENT_FIELDS = {
    "amount",
    "capture",
    "client_ip",
    "confirmation",
    "description",
    "merchant_customer_id",
    "metadata",
    "payment_method_data",
    "payment_method_id",
    "receipt",
    "recipient",
    "save_payment_method",
    *_UNUSED_PAYMENT_FIELDS,
}
_UNUSED_CAPTURE_FIELDS = ("airline", "deal", "transfers")
_UNUSED_REFUND_FIELDS = ("deal", "refund_method_data", "sources")
_REFUND_FIELDS = {"payment_id", "amount", "description", "metadata", "receipt", *_UNUSED_REFUND_FIELDS}
_LIST_BOUNDS = ("created_at.gte", "created_at.gt", "created_at.lte", "created_at.lt")


@dataclass(frozen=True)
class PaymentRequest:
    """What a shop asked for when it made a payment."""

    amount: Decimal
    return_url: str | None
    """None when there is no payer to come back: a saved method is charged."""
    capture: bool
    metadata: dict[str, str]
    description: str | None
    method: str | None
    locale: str | None
    gateway_id: str | None
    merchant_customer_id: str | None
    save_method: bool
    saved_method: str | None
    """The id of the saved method to charge."""


@dataclass(frozen=True)
class RefundRequest:
    """What a shop asked for when it made a refund."""

    payment_id: str
    amount: Decimal
    description: str | None
    metadata: dict[str, str] | None


@dataclass(frozen=True)
class ListQuery:
    """Which part of a list a shop wants."""

    bounds: dict[str, datetime]
    status: str | None
    limit: int
    cursor: str | None
    payment_id: str | None = None


def payment_request(body: Mapping[str, Any], *, receipt_required: bool, recurring_allowed: bool) -> PaymentRequest:
    """Check the body of `POST /payments`."""
    fields = checked_object(body, "", _PAYMENT_FIELDS)
    _refuse_unused(fields, _UNUSED_PAYMENT_FIELDS)
    amount = checked_amount(fields.get("amount"), "amount")
    save_method = checked_flag(fields.get("save_payment_method", False), "save_payment_method")
    if not recurring_allowed and (save_method or "payment_method_id" in fields):
        raise forbidden("The shop has no permission for recurring payments")
    saved_method = _saved_method(fields)
    return_url, locale = (None, None) if saved_method else _confirmation(fields.get("confirmation"))
    method = None
    if "payment_method_data" in fields:
        data = checked_object(fields["payment_method_data"], "payment_method_data", {"type"})
        method = checked_choice(data.get("type"), "payment_method_data.type", METHODS)
    recipient = checked_object(fields.get("recipient", {}), "recipient", {"gateway_id"})
    if "client_ip" in fields:
        checked_text(fields["client_ip"], "client_ip", longest=45)
    check_receipt(fields.get("receipt"), amount, required=receipt_required)
    return PaymentRequest(
        amount=amount,
        return_url=return_url,
        capture=checked_flag(fields.get("capture", False), "capture"),
        metadata=checked_metadata(fields.get("metadata", {})),
        description=_optional_text(fields, "description", longest=128),
        method=method,
        locale=locale,
        gateway_id=_optional_text(recipient, "gateway_id", longest=64, prefix="recipient."),
        merchant_customer_id=_optional_text(fields, "merchant_customer_id", longest=200),
        save_method=save_method,
        saved_method=saved_method,
    )


def capture_amount(body: Mapping[str, Any]) -> Decimal | None:
    """Check the body of a capture, which may be empty; None stands for the whole amount."""
    fields = checked_object(body, "", {"amount", "receipt", *_UNUSED_CAPTURE_FIELDS})
    _refuse_unused(fields, _UNUSED_CAPTURE_FIELDS)
    if "amount" not in fields:
        return None
    amount = checked_amount(fields["amount"], "amount")
    check_receipt(fields.get("receipt"), amount, required=False)
    return amount


def refund_request(body: Mapping[str, Any]) -> RefundRequest:
    """Check the body of `POST /refunds`."""
    fields = checked_object(body, "", _REFUND_FIELDS)
    _refuse_unused(fields, _UNUSED_REFUND_FIELDS)
    amount = checked_amount(fields.get("amount"), "amount")
    check_receipt(fields.get("receipt"), amount, required=False)
    return RefundRequest(
        payment_id=checked_text(fields.get("payment_id"), "payment_id", longest=36),
        amount=amount,
        description=_optional_text(fields, "description", longest=250),
        metadata=checked_metadata(fields["metadata"]) if "metadata" in fields else None,
    )


def list_query(query: Mapping[str, str], statuses: tuple[str, ...], *, by_payment: bool = False) -> ListQuery:
    """Check the query string of a list."""
    known = {*_LIST_BOUNDS, "status", "limit", "cursor", *(["payment_id"] if by_payment else [])}
    for name in query:
        if name not in known:
            raise invalid("There is no such filter", name)
    bounds = {}
    for name in _LIST_BOUNDS:
        if name in query:
            try:
                bounds[name] = from_wire(query[name])
            except (ValueError, OverflowError):
                raise invalid("A moment in ISO 8601 with a time zone is expected", name) from None
    limit = query.get("limit", "10")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= 100):
        raise invalid("A whole number from 1 to 100 is expected", "limit")
    status = query.get("status")
    return ListQuery(
        bounds=bounds,
        status=checked_choice(status, "status", statuses) if status is not None else None,
        limit=int(limit),
        cursor=query.get("cursor"),
        payment_id=query.get("payment_id"),
    )


def _saved_method(fields: Mapping[str, Any]) -> str | None:
    if "payment_method_id" not in fields:
        return None
    for name in ("confirmation", "payment_method_data", "save_payment_method"):
        if fields.get(name):
            raise invalid("A saved method is charged without this", name)
    return checked_text(fields["payment_method_id"], "payment_method_id", longest=64)


def _confirmation(value: Any) -> tuple[str, str | None]:
    """Where the payer goes afterwards, and the language of the checkout page."""
    confirmation = checked_object(value, "confirmation", {"type", "return_url", "enforce", "locale"})
    checked_choice(confirmation.get("type"), "confirmation.type", {"redirect"})
    checked_flag(confirmation.get("enforce", False), "confirmation.enforce")
    locale = confirmation.get("locale")
    return (
        checked_url(confirmation.get("return_url"), "confirmation.return_url"),
        checked_choice(locale, "confirmation.locale", LOCALES) if locale is not None else None,
    )


def _optional_text(fields: Mapping[str, Any], name: str, *, longest: int, prefix: str = "") -> str | None:
    return checked_text(fields[name], prefix + name, longest=longest, shortest=0) if name in fields else None


def _refuse_unused(fields: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if fields.get(name):
            raise invalid("The sandbox does not offer this", name)
