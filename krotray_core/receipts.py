"""Tax receipts (54-FZ): whether they are sent, and what stands in them. YooKassa passes them on to the fiscal data operator.

https://yookassa.ru/developers/payment-acceptance/receipts/54fz/yoomoney/parameters-values
"""

from __future__ import annotations

from typing import Any

from email_validator import EmailNotValidError, validate_email

from krotray_core import money, settings
from krotray_core.errors import EmailInvalid

LONGEST_DESCRIPTION = 128


def required() -> bool:
    """Whether the shop sends receipts: it does once RECEIPT_VAT_CODE is set."""
    return settings.get().receipt_vat_code is not None


def check_email(text: str) -> str:
    """The address in its normal form. Raises EmailInvalid for what cannot be one; whether it exists is not asked."""
    try:
        return validate_email(text, check_deliverability=False, allow_smtputf8=False).normalized
    except EmailNotValidError:
        raise EmailInvalid("not an e-mail address") from None


def make(email: str, description: str, amount_kopecks: int, currency: str) -> dict[str, Any]:
    """`receipt` of a payment or a refund over this amount: one item, so that items and amount always agree."""
    s = settings.get()
    receipt: dict[str, Any] = {
        "customer": {"email": email},
        "items": [
            {
                "description": description[:LONGEST_DESCRIPTION],
                "quantity": "1.00",
                "amount": {"value": money.to_text(amount_kopecks), "currency": currency},
                "vat_code": s.receipt_vat_code,
                "payment_subject": s.receipt_payment_subject,
                "payment_mode": s.receipt_payment_mode,
            }
        ],
    }
    if s.receipt_tax_system_code is not None:
        receipt["tax_system_code"] = s.receipt_tax_system_code
    return receipt


def for_part(receipt: dict[str, Any], amount_kopecks: int) -> dict[str, Any]:
    """The receipt of giving back a part (or all) of what was paid with this one: the same item, codes and buyer."""
    item = receipt["items"][0]
    part = item | {"amount": item["amount"] | {"value": money.to_text(amount_kopecks)}}
    return receipt | {"items": [part]}
