"""The people, and what they are to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from krotray_core.db import Base


class User(Base):
    """A person in Telegram who has talked to us."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    telegram_id: Mapped[int] = mapped_column(unique=True)
    username: Mapped[str | None]
    first_name: Mapped[str | None]
    language_code: Mapped[str | None]
    # Where the tax receipts go (54-FZ); asked for only where receipts are switched on.
    receipt_email: Mapped[str | None]
    # In this person's invitation link; made when they first ask for it.
    invite_code: Mapped[str | None] = mapped_column(unique=True)
    invited_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    # Since when Telegram refuses our messages (the bot is blocked); NULL again when they come back.
    unreachable_since: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BotAccount(Base):
    """The bot's own account, as Telegram told it at its last login."""

    __tablename__ = "bot_accounts"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    username: Mapped[str]
    logged_in_at: Mapped[datetime]


class Broadcast(Base):
    """A message of the owner's to many people. Their notices are made in batches, by which it can be stopped and gone on with."""

    __tablename__ = "broadcasts"
    __table_args__ = (CheckConstraint("segment IN ('active', 'expired', 'all')", name="segment"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    body: Mapped[str]
    segment: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # Everybody up to this user has their notice, or does not belong to the segment.
    last_user_id: Mapped[int] = mapped_column(server_default=text("0"))
    people: Mapped[int] = mapped_column(server_default=text("0"))
    noted_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]


class Notice(Base):
    """Something that a person (or an admin) is to be told in Telegram, once. Rows first, sending second."""

    __tablename__ = "notices"
    __table_args__ = (
        CheckConstraint("sent_at IS NULL OR given_up_at IS NULL", name="outcome"),
        Index(
            "ix_notices_due",
            "next_try_at",
            postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    telegram_id: Mapped[int]
    kind: Mapped[str]
    # Names the event, so that no event is told twice.
    key: Mapped[str] = mapped_column(unique=True)
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_try_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    sent_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
