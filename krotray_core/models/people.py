"""The people, and what they are to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, func, text
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
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


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
