"""The JSON of the API: what comes in and what goes out, and from it the OpenAPI description."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from krotray_core import money, receipts, settings
from krotray_core.apps import Platform, PlatformId
from krotray_core.cabinet import Cabinet, State
from krotray_core.models import Payment, Plan, User
from krotray_core.plans import CURRENCY
from krotray_core.users import Known


class PlanOut(BaseModel):
    """One tariff."""

    code: str
    months: int
    days: int
    amount: str
    currency: str

    @classmethod
    def of(cls, plan: Plan) -> PlanOut:
        """From the business's plan."""
        amount = money.to_text(plan.amount_kopecks)
        return cls(code=plan.code, months=plan.months, days=plan.days, amount=amount, currency=CURRENCY)


class ReceiptOut(BaseModel):
    """What the tax receipt (54-FZ) asks of a buyer."""

    email_required: bool = Field(description="Whether a payment needs an e-mail address, given with it or kept before")
    consent: str | None = Field(description="The owner's own words beside the e-mail field")

    @classmethod
    def now(cls) -> ReceiptOut:
        """As the shop is set up."""
        return cls(email_required=receipts.required(), consent=settings.get().receipt_consent)


class PlansOut(BaseModel):
    """All tariffs on sale, and what it takes to buy one."""

    plans: list[PlanOut]
    receipt: ReceiptOut


class UserOut(BaseModel):
    """The person who is asking."""

    telegram_id: int
    username: str | None
    first_name: str | None
    receipt_email: str | None = Field(description="Where their receipts go, if they have told")

    @classmethod
    def of(cls, user: User | Known) -> UserOut:
        """From the user's row."""
        return cls(
            telegram_id=user.telegram_id,
            username=user.username,
            first_name=user.first_name,
            receipt_email=user.receipt_email,
        )


class ServerOut(BaseModel):
    """The server that somebody's key belongs to."""

    name: str


class TrafficOut(BaseModel):
    """What has been used in the present period: bytes, up and down together."""

    used_bytes: int
    since: datetime


class SubscriptionOut(BaseModel):
    """A subscription; `vless_url` is null unless the key works now."""

    status: Literal["active", "expired", "revoked"]
    expires_at: datetime
    days_left: int
    tariff_months: int | None
    key: UUID
    vless_url: str | None
    subscription_url: str
    server: ServerOut | None
    traffic: TrafficOut | None = Field(description="Null where no server of theirs keeps count")

    @classmethod
    def of(cls, seen: Cabinet) -> SubscriptionOut | None:
        """From the cabinet; None without a subscription."""
        row, used = seen.subscription, seen.traffic
        if row is None or seen.expires_at is None or seen.subscription_url is None:
            return None
        return cls(
            status="expired" if row.status == "active" and not seen.running else row.status,
            expires_at=seen.expires_at,
            days_left=seen.days_left,
            tariff_months=row.tariff_months,
            key=row.uuid,
            vless_url=seen.vless_url,
            subscription_url=seen.subscription_url,
            server=ServerOut(name=seen.server_name) if seen.server_name else None,
            traffic=TrafficOut(used_bytes=used.used_bytes, since=used.since) if used else None,
        )


class MeOut(BaseModel):
    """The home screen."""

    user: UserOut
    state: State
    subscription: SubscriptionOut | None
    payment_id: UUID | None = Field(description="The latest payment that could still be paid, if there is one")


class KeyOut(BaseModel):
    """How to connect; nulls and 0 without an active subscription."""

    vless_url: str | None = None
    subscription_url: str | None = None
    expires_at: datetime | None = None
    days_left: int = 0


class AppOut(BaseModel):
    """A VPN program."""

    id: str
    name: str
    store_url: str
    open_url: str | None = Field(description="The page that hands it the subscription; null without a running one")


class PlatformOut(BaseModel):
    """A kind of device and its programs, the best one first."""

    id: PlatformId
    apps: list[AppOut]


class ConnectOut(BaseModel):
    """What to install on which device; the addresses are null without a running subscription."""

    subscription_url: str | None
    qr_url: str | None
    platforms: list[PlatformOut]

    @classmethod
    def of(cls, url: str | None, platforms: list[Platform]) -> ConnectOut:
        """From the catalogue, made for the subscription at this address."""
        shown = [PlatformOut.model_validate(asdict(platform)) for platform in platforms]
        return cls(subscription_url=url, qr_url=f"{url}/qr.svg" if url else None, platforms=shown)


class CreatePayment(BaseModel):
    """What to buy, and how to pay for it (`sbp` or `card`)."""

    model_config = ConfigDict(strict=True)

    tariff: str
    method: str
    email: str | None = Field(None, max_length=320, description="Where the receipt goes; kept for the next time")


class PaymentCreated(BaseModel):
    """Where to pay."""

    payment_id: UUID
    confirmation_url: str | None


class PaymentOut(BaseModel):
    """A payment of the person who asks."""

    payment_id: UUID
    status: Literal["pending", "succeeded", "canceled", "refunded"]
    amount: str
    currency: str
    tariff: str
    months: int
    method: Literal["sbp", "card"]
    created_at: datetime
    paid_at: datetime | None
    confirmation_url: str | None
    cancel_reason: str | None = Field(
        description="Why it was canceled: YooKassa's word, such as insufficient_funds, or ours (not_created, returned, unknown)"
    )
    refunded_amount: str = Field(description="How much of it has gone back")

    @classmethod
    def of(cls, payment: Payment) -> PaymentOut:
        """From the payment's row; the address to pay at only while one can."""
        return cls(
            payment_id=payment.id,
            status=payment.status,
            amount=money.to_text(payment.amount_kopecks),
            currency=payment.currency,
            tariff=payment.plan_code,
            months=payment.months,
            method=payment.method,
            created_at=payment.created_at,
            paid_at=payment.paid_at,
            confirmation_url=payment.confirmation_url if payment.status == "pending" else None,
            cancel_reason=payment.cancel_reason,
            refunded_amount=money.to_text(payment.refunded_kopecks),
        )


class PaymentsOut(BaseModel):
    """One's payments, the newest first."""

    payments: list[PaymentOut]


class Notification(BaseModel):
    """What YooKassa sends; only a hint, so just these are looked at (its page "Incoming notifications")."""

    type: Literal["notification"]
    event: str = Field(
        description="payment.succeeded, payment.canceled, refund.succeeded, ...; others are noted and left"
    )
    object: dict[str, Any] = Field(description="The payment with its `id`, or the refund with its `payment_id`")


class Noted(BaseModel):
    """The hint is kept: YooKassa need not send it again."""

    status: Literal["noted"]


class Alive(BaseModel):
    """This process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether there is all that an answer needs, and what is missing."""

    status: Literal["ready", "unready"]
    missing: list[Literal["database", "broker"]]


class InviteOut(BaseModel):
    """An invitation of one's own into the bot, and how many have come by it."""

    url: str | None = Field(description="Null until the bot has logged in once")
    came: int


class Problem(BaseModel):
    """An error, as RFC 9457 has it, with a stable `code`."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def answer(model: BaseModel) -> Response:
    """The answer as JSON: times in ISO 8601, UTC."""
    return Response(model.model_dump_json(), mimetype="application/json")
