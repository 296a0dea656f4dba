"""The fiscal receipt (54-FZ) that may come with a payment or a refund. Checked, never registered."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import invalid
from .shapes import checked_amount, checked_object, checked_text

_RECEIPT_FIELDS = {
    "customer",
    "items",
    "tax_system_code",
    "internet",
    "timezone",
    "receipt_industry_details",
    "receipt_operational_details",
    "email",
    "phone",
}
_ITEM_FIELDS = {
    "description",
    "quantity",
    "amount",
    "vat_code",
    "payment_subject",
    "payment_mode",
    "measure",
    "mark_mode",
    "mark_quantity",
    "mark_code_info",
    "product_code",
    "country_of_origin_code",
    "customs_declaration_number",
    "excise",
    "supplier",
    "agent_type",
    "planned_status",
    "payment_subject_industry_details",
    "additional_payment_subject_props",
}
_PAYMENT_SUBJECT = re.compile(r"[a-z_]{1,64}")
_PAYMENT_MODES = {
    "full_prepayment",
    "full_payment",
    "advance",
    "partial_prepayment",
    "partial_payment",
    "credit",
    "credit_payment",
}


def check_receipt(value: Any, total: Decimal, *, required: bool) -> None:
    """Refuse a receipt that the tax office would refuse, or a missing one where the shop must give one."""
    if value is None:
        if required:
            raise invalid("The shop has to send a receipt", "receipt")
        return
    receipt = checked_object(value, "receipt", _RECEIPT_FIELDS)
    _check_customer(receipt)
    if "tax_system_code" in receipt:
        _check_code(receipt["tax_system_code"], "receipt.tax_system_code", highest=6)
    items = receipt.get("items")
    if not isinstance(items, list) or not items:
        raise invalid("At least one item is expected", "receipt.items")
    added_up = sum((_item_total(item, f"receipt.items[{index}]") for index, item in enumerate(items)), Decimal())
    if added_up != total:
        raise invalid("The items do not add up to the amount", "receipt.items")


def _check_customer(receipt: dict[str, Any]) -> None:
    customer = checked_object(receipt.get("customer", {}), "receipt.customer", {"email", "phone", "full_name", "inn"})
    # The two names also exist at the top of a receipt: an older form that the API still takes.
    contacts = [source[name] for source in (customer, receipt) for name in ("email", "phone") if name in source]
    if not contacts:
        raise invalid("An email address or a phone number is expected", "receipt.customer")
    for contact in contacts:
        checked_text(contact, "receipt.customer", longest=256)


def _item_total(value: Any, parameter: str) -> Decimal:
    item = checked_object(value, parameter, _ITEM_FIELDS)
    checked_text(item.get("description"), f"{parameter}.description", longest=128)
    _check_code(item.get("vat_code"), f"{parameter}.vat_code", highest=12)
    if "payment_subject" in item and not _PAYMENT_SUBJECT.fullmatch(str(item["payment_subject"])):
        raise invalid("A payment subject is expected, such as service", f"{parameter}.payment_subject")
    if item.get("payment_mode", "full_payment") not in _PAYMENT_MODES:
        raise invalid("A payment mode is expected, such as full_payment", f"{parameter}.payment_mode")
    return checked_amount(item.get("amount"), f"{parameter}.amount") * _quantity(item, parameter)


def _quantity(item: dict[str, Any], parameter: str) -> Decimal:
    quantity = item.get("quantity")
    # The SDK writes "1.0", a hand-made request usually the number 1: the API takes both.
    if isinstance(quantity, bool) or not isinstance(quantity, str | int | float):
        raise invalid("A quantity is expected", f"{parameter}.quantity")
    try:
        number = Decimal(str(quantity))
    except InvalidOperation:
        raise invalid("A number is expected", f"{parameter}.quantity") from None
    if not number.is_finite() or not 0 < number <= 99999:
        raise invalid("A quantity greater than zero and of at most 99999 is expected", f"{parameter}.quantity")
    return number


def _check_code(value: Any, parameter: str, *, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= highest:
        raise invalid(f"A whole number from 1 to {highest} is expected", parameter)
