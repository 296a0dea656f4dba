"""What YooKassa answers, read without trust: payments, refunds and pages of lists.

Payment: https://yookassa.ru/developers/api#payment_object, refund: https://yookassa.ru/developers/api#refund_object
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from krotray_core import money
from krotray_core.errors import GatewayUnavailable

ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Found:
    """A payment as YooKassa tells it. `payment_id` is what we put into its metadata, unchecked.

    Times are aware; `created_at` is None only when YooKassa tells none that can be read.
    """

    external_id: str
    status: str
    paid: bool
    amount_kopecks: int
    refunded_kopecks: int
    currency: str
    shop_id: str
    payment_id: str | None
    confirmation_url: str | None
    cancel_reason: str | None
    created_at: datetime | None
    captured_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundRefund:
    """A refund as YooKassa tells it. `refund_id` is what we put into its metadata, unchecked.

    Its status is pending, succeeded or canceled; a pending one ends later, and a cancellation is told to nobody.
    """

    external_id: str
    payment_external_id: str
    status: str
    amount_kopecks: int
    currency: str
    refund_id: str | None
    cancel_reason: str | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Shop:
    """The shop behind a login: whether it may take money at all, whether it only plays, whether it must send receipts (54-FZ)."""

    shop_id: str
    enabled: bool
    test: bool
    sends_receipts: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, its items still unread; `next_cursor` asks for the next part, None ends the list."""

    items: list[Any]
    next_cursor: str | None


def _plain(text: str) -> str:
    """Text that a database can keep and a page can show: no control characters, no halves of a character."""
    if not text.isprintable():
        raise ValueError("unprintable")
    return text


def _link(text: str) -> str:
    if not re.match(r"https?://", text):
        raise ValueError("not a web address")
    return text


def _kopecks(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - pydantic collects ValueErrors
    return money.from_text(value)


def _dated(value: Any) -> Any:
    # A number, even one in a text, would be taken for seconds since 1970.
    if value is not None and not (isinstance(value, str) and re.match(r"[0-9]{4}-", value)):
        raise ValueError("not an ISO time")
    return value


def _if_readable(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


_Text = Annotated[str, AfterValidator(_plain)]
_Id = Annotated[str, Field(pattern=f"^{ID.pattern}$")]
_Moment = Annotated[Annotated[AwareDatetime, Strict(False)] | None, BeforeValidator(_dated)]


class _Parsed(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)


class _Amount(_Parsed):
    value: Annotated[int, BeforeValidator(_kopecks)]
    currency: _Text


class _Recipient(_Parsed):
    account_id: _Text


class _Confirmation(_Parsed):
    confirmation_url: Annotated[_Text, AfterValidator(_link)] | None = None


class _Cancellation(_Parsed):
    reason: _Text | None = None


class _Made(_Parsed):
    """What payments and refunds have in common."""

    id: _Id
    status: _Text
    amount: _Amount
    cancellation_details: _Cancellation | None = None
    metadata: dict[str, Any] = {}
    # Nothing is decided by it alone: better a payment without it than no payment.
    created_at: Annotated[_Moment, WrapValidator(_if_readable)] = None

    @property
    def cancel_reason(self) -> str | None:
        return self.cancellation_details.reason if self.cancellation_details else None

    def ours(self, name: str) -> str | None:
        """A text of ours in the metadata."""
        value = self.metadata.get(name)
        return value if isinstance(value, str) else None


class _Payment(_Made):
    paid: bool = False
    refunded_amount: _Amount | None = None
    recipient: _Recipient
    confirmation: _Confirmation | None = None
    captured_at: _Moment = None


class _Refund(_Made):
    payment_id: _Id


class _Shop(_Parsed):
    account_id: _Text
    status: _Text
    test: bool = False
    fiscalization_enabled: bool = False


class _List(_Parsed):
    items: list[Any]
    next_cursor: Annotated[_Text, Field(min_length=1, max_length=1024)] | None = None


_Model = TypeVar("_Model", bound=_Parsed)


def payment(answer: Any) -> Found:
    """The payment in an answer. Raises GatewayUnavailable when there is none that makes sense."""
    read = _parse(_Payment, answer, "a payment")
    return Found(
        external_id=read.id,
        status=read.status,
        paid=read.paid,
        amount_kopecks=read.amount.value,
        refunded_kopecks=read.refunded_amount.value if read.refunded_amount else 0,
        currency=read.amount.currency,
        shop_id=read.recipient.account_id,
        payment_id=read.ours("payment_id"),
        confirmation_url=read.confirmation.confirmation_url if read.confirmation else None,
        cancel_reason=read.cancel_reason,
        created_at=read.created_at,
        captured_at=read.captured_at,
    )


def refund(answer: Any) -> FoundRefund:
    """The refund in an answer. Raises GatewayUnavailable when there is none that makes sense."""
    read = _parse(_Refund, answer, "a refund")
    return FoundRefund(
        external_id=read.id,
        payment_external_id=read.payment_id,
        status=read.status,
        amount_kopecks=read.amount.value,
        currency=read.amount.currency,
        refund_id=read.ours("refund_id"),
        cancel_reason=read.cancel_reason,
        created_at=read.created_at,
    )


def shop(answer: Any) -> Shop:
    """The shop in an answer. Raises GatewayUnavailable when there is none that makes sense."""
    read = _parse(_Shop, answer, "a shop")
    return Shop(read.account_id, read.status == "enabled", read.test, read.fiscalization_enabled)


def page(answer: Any) -> Page:
    """The page of a list in an answer. Raises GatewayUnavailable when there is none."""
    read = _parse(_List, answer, "a list")
    return Page(read.items, read.next_cursor)


def id_of(item: Any) -> str:
    """The id of an item that is not readable otherwise, fit for a log."""
    value = item.get("id") if isinstance(item, dict) else None
    return value if isinstance(value, str) and ID.fullmatch(value) else "(no id)"


def _parse(model: type[_Model], answer: Any, what: str) -> _Model:
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in fault["loc"]) for fault in error.errors()})
        raise GatewayUnavailable(f"YooKassa's answer is not {what}: {', '.join(fields)}") from None
