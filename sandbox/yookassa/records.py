"""A payment as the sandbox keeps it: what the API shows, and what only the sandbox knows."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from .cards import TestCard, expiry
from .clock import to_wire
from .incoming import PaymentRequest
from .shapes import as_amount

STATUSES = ("pending", "waiting_for_capture", "succeeded", "canceled")
FINAL = ("succeeded", "canceled")

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_COMMISSION = {"bank_card": Decimal("0.035"), "sbp": Decimal("0.007")}
_KOPECK = Decimal("0.01")


@dataclass
class PaymentRecord:
    """One payment. `wire` is exactly what `GET /payments/{id}` answers."""

    wire: dict[str, Any]
    capture: bool
    method: str | None
    """The method that the shop fixed; None lets the payer choose."""
    return_url: str | None
    """None for the charge of a saved method, which no payer looks at."""
    locale: str | None
    expires_at: str | None
    """When the payment or the hold is canceled by itself; None once it is final."""
    last_decline: str | None = None
    """Why the payer's latest attempt failed; the payment stays payable."""
    awaiting_3ds: str | None = None
    """Number of the test card whose bank still wants the payer's consent."""
    save_method: bool = False
    """The payer's method is to be kept once it has paid."""

    @property
    def id(self) -> str:
        """The payment's id."""
        return str(self.wire["id"])

    @property
    def status(self) -> str:
        """The payment's status."""
        return str(self.wire["status"])

    @property
    def amount(self) -> Decimal:
        """The payment's amount."""
        return Decimal(self.wire["amount"]["value"])

    @property
    def refunded(self) -> Decimal:
        """What has gone back to the payer."""
        return Decimal(self.wire.get("refunded_amount", {"value": "0"})["value"])

    def document(self) -> dict[str, Any]:
        """The record as JSON."""
        return asdict(self)


def new_id(now: datetime, kind: str = "000f") -> str:
    """An id of the real look: seconds since the year 2000, a fixed middle, then chance."""
    seconds = int((now - _EPOCH).total_seconds()) & 0xFFFFFFFF
    return f"{seconds:08x}-{kind}-5000-8000-{secrets.token_hex(6)}"


def new_payment(request: PaymentRequest, *, now: datetime, expires: datetime, shop_id: str, url: str) -> PaymentRecord:
    """A payment that waits for its payer; `url` is the checkout page's address up to the id."""
    payment_id = new_id(now)
    wire: dict[str, Any] = {
        "id": payment_id,
        "status": "pending",
        "amount": as_amount(request.amount),
        "recipient": {"account_id": shop_id, "gateway_id": request.gateway_id or default_gateway(shop_id)},
        "created_at": to_wire(now),
        "test": True,
        "paid": False,
        "refundable": False,
        "metadata": request.metadata,
    }
    if request.return_url is not None:
        wire["confirmation"] = {
            "type": "redirect",
            "return_url": request.return_url,
            "confirmation_url": f"{url}{payment_id}",
        }
    if request.description is not None:
        wire["description"] = request.description
    if request.merchant_customer_id is not None:
        wire["merchant_customer_id"] = request.merchant_customer_id
    if request.method is not None:
        wire["payment_method"] = {"type": request.method, "id": payment_id, "saved": False}
    return PaymentRecord(
        wire=wire,
        capture=request.capture,
        method=request.method,
        return_url=request.return_url,
        locale=request.locale,
        expires_at=to_wire(expires),
        save_method=request.save_method,
    )


def default_gateway(shop_id: str) -> str:
    """A gateway for the shop: some other number, always the same one."""
    return str(int(shop_id) + 1_000_000) if shop_id.isascii() and shop_id.isdigit() else "1000000"


def card_method(payment_id: str, card: TestCard, now: datetime) -> dict[str, Any]:
    """`payment_method` of a payment by card."""
    month, year = expiry(now)
    return {
        "type": "bank_card",
        "id": payment_id,
        "saved": False,
        "title": f"Bank card *{card.last4}",
        "card": {
            "first6": card.number[:6],
            "last4": card.last4,
            "expiry_month": month,
            "expiry_year": year,
            "card_type": "MasterCard",
            "issuer_country": "RU",
        },
    }


def sbp_method(payment_id: str) -> dict[str, Any]:
    """`payment_method` of a payment through the Faster Payments System."""
    return {
        "type": "sbp",
        "id": payment_id,
        "saved": False,
        "title": "СБП",
        "sbp_operation_id": secrets.token_hex(16).upper(),
        "payer_bank_details": {"bank_id": "100000000111", "bic": "044525225"},
    }


def authorization(*, three_d_secure: bool) -> dict[str, Any]:
    """`authorization_details` of a payment that the payer's bank let through."""
    return {
        "rrn": f"{secrets.randbelow(10**12):012d}",
        "auth_code": f"{secrets.randbelow(10**6):06d}",
        "three_d_secure": {"applied": three_d_secure},
    }


def income_of(amount: Decimal, method: str) -> Decimal:
    """What reaches the shop after the commission."""
    return (amount * (1 - _COMMISSION[method])).quantize(_KOPECK, ROUND_HALF_UP)
