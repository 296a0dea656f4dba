"""What is sold, what was paid and given back, and the ledger of it all."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from krotray_core.db import Base


class Plan(Base):
    """One tariff: its length in months as people say it and in days as we count it, and its present price."""

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("amount_kopecks > 0", name="amount_kopecks"),
        CheckConstraint("days > 0 AND months > 0", name="length"),
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    months: Mapped[int]
    days: Mapped[int]
    amount_kopecks: Mapped[int]
    # One that is withdrawn keeps its code: old payments name it.
    on_sale: Mapped[bool] = mapped_column(server_default=text("true"))


class Payment(Base):
    """One attempt to pay. Its id is also the Idempotence-Key and `metadata.payment_id` at YooKassa."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'succeeded', 'canceled', 'refunded')", name="status"),
        CheckConstraint("amount_kopecks > 0", name="amount_kopecks"),
        CheckConstraint("days > 0 AND months > 0", name="length"),
        CheckConstraint("method IN ('sbp', 'card')", name="method"),
        CheckConstraint("(status IN ('succeeded', 'refunded')) = (paid_at IS NOT NULL)", name="paid_at"),
        CheckConstraint("(flagged_at IS NULL) = (flag_reason IS NULL)", name="flag"),
        CheckConstraint("refunded_kopecks BETWEEN 0 AND amount_kopecks", name="refunded_kopecks"),
        CheckConstraint("(status = 'refunded') = (refunded_kopecks = amount_kopecks)", name="refunded"),
        Index("ix_payments_user_id", "user_id", "created_at"),
        Index("ix_payments_created_at", "created_at"),
        Index(
            "ix_payments_open",
            "next_check_at",
            postgresql_where=text("status = 'pending' OR hinted_at IS NOT NULL OR flagged_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    external_id: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    # Sold with: a later change of prices does not reach into the past.
    plan_code: Mapped[str]
    months: Mapped[int]
    days: Mapped[int]
    amount_kopecks: Mapped[int]
    refunded_kopecks: Mapped[int] = mapped_column(server_default=text("0"))
    currency: Mapped[str]
    method: Mapped[str]
    # The exact body that was (or will be) sent, so that it can be sent again with the same key.
    request: Mapped[dict[str, Any]]
    confirmation_url: Mapped[str | None]
    cancel_reason: Mapped[str | None]
    # A success that we must not honour (another amount, currency or shop) waits here for a person.
    flagged_at: Mapped[datetime | None]
    flag_reason: Mapped[str | None]
    # Somebody says that something has happened to it, and nobody has asked YooKassa since.
    hinted_at: Mapped[datetime | None]
    # When YooKassa was last asked.
    asked_at: Mapped[datetime | None]
    # When the sweep should ask YooKassa next.
    next_check_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    paid_at: Mapped[datetime | None]


class Refund(Base):
    """Money that goes (or went) back. Our id is the Idempotence-Key; one made in YooKassa's own cabinet has no `request`."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'succeeded', 'canceled')", name="status"),
        CheckConstraint("amount_kopecks > 0", name="amount_kopecks"),
        CheckConstraint("external_id IS NOT NULL OR request IS NOT NULL", name="origin"),
        CheckConstraint("(status = 'succeeded') = (taken_seconds IS NOT NULL)", name="taken_seconds"),
        Index("ix_refunds_payment_id", "payment_id", "created_at"),
        Index("ix_refunds_open", "next_check_at", postgresql_where=text("status = 'pending'")),
        # While it is unknown whether YooKassa made one, there is no second one beside it.
        Index(
            "uq_refunds_in_doubt",
            "payment_id",
            unique=True,
            postgresql_where=text("status = 'pending' AND external_id IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"))
    external_id: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    amount_kopecks: Mapped[int]
    # The exact body that was (or will be) sent, so that it can be sent again with the same key.
    request: Mapped[dict[str, Any] | None]
    cancel_reason: Mapped[str | None]
    # By how much the subscription's end was moved back.
    taken_seconds: Mapped[int | None]
    next_check_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Entry(Base):
    """One line of the ledger: one change of a payment's state, of a refund's, or of a subscription's end and state.

    Lines are added in the transaction that makes the change; a trigger refuses to alter or remove them.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint("subject IN ('payment', 'refund', 'subscription')", name="subject"),
        CheckConstraint("subject <> 'payment' OR payment_id IS NOT NULL", name="payment"),
        CheckConstraint("subject <> 'refund' OR refund_id IS NOT NULL", name="refund"),
        CheckConstraint(
            "subject <> 'subscription' OR num_nulls(subscription_id, starts_at, ends_at) = 0",
            name="subscription",
        ),
        Index("ix_ledger_user_id", "user_id", "id"),
        Index("ix_ledger_payment_id", "payment_id", "id"),
        Index("ix_ledger_subscription_id", "subscription_id", "id", postgresql_where=text("subject = 'subscription'")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    # Who set it off: user, webhook, sweep, admin ...
    actor: Mapped[str]
    subject: Mapped[str]
    event: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    payment_id: Mapped[UUID | None] = mapped_column(ForeignKey("payments.id"))
    refund_id: Mapped[UUID | None] = mapped_column(ForeignKey("refunds.id"))
    subscription_id: Mapped[int | None] = mapped_column(ForeignKey("subscriptions.id"))
    # The subject's state from now on.
    status: Mapped[str]
    # Of a payment or refund: what came in (or, below zero, went back) with this line.
    kopecks: Mapped[int | None]
    # Of a subscription: the end before, the moment that the change was counted from (the end before, or `at` if that had
    # passed), and the end from now on. What was given or taken is `ends_at - starts_at`.
    ended_at: Mapped[datetime | None]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    note: Mapped[str | None]
