"""Who may connect, until when, and where."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from krotray_core.db import Base


class Server(Base):
    """One Xray. `active_users` counts the wanted seats on it and changes in the same transaction as they do."""

    __tablename__ = "servers"
    __table_args__ = (
        CheckConstraint("active_users >= 0 AND active_users <= max_users", name="active_users"),
        CheckConstraint("max_users > 0", name="max_users"),
        CheckConstraint("grpc_port BETWEEN 1 AND 65535", name="grpc_port"),
        # The same Xray twice: each audit would throw out the other one's users.
        UniqueConstraint("host", "grpc_port"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    host: Mapped[str]
    grpc_port: Mapped[int]
    inbound_tag: Mapped[str]
    vless_url_template: Mapped[str | None]
    max_users: Mapped[int]
    active_users: Mapped[int] = mapped_column(server_default=text("0"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    # Nobody new, whatever else: it is being emptied, or about to be.
    draining: Mapped[bool] = mapped_column(server_default=text("false"))
    # Since then everybody on it is being moved to other servers; `moving` does that until it is empty.
    evacuating_since: Mapped[datetime | None]
    # Files of the TLS in front of its gRPC API: whom to trust, and who we are (mutual TLS). Plain text without.
    tls_ca: Mapped[str | None]
    tls_cert: Mapped[str | None]
    tls_key: Mapped[str | None]
    # What `health.watch` saw last; unknown (NULL) until it has looked, and nobody is seated there before that.
    is_up: Mapped[bool | None]
    # Since when it is up, or down, as the case may be.
    state_since: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    # Held by the one converge that is rewriting this server's cut-off rule.
    rule_leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @property
    def target(self) -> str:
        """Where its gRPC API is, as gRPC writes it."""
        return f"[{self.host}]:{self.grpc_port}" if ":" in self.host else f"{self.host}:{self.grpc_port}"


class Subscription(Base):
    """What a user has paid for; one for each user, for good. Its UUID is the key."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'expired', 'revoked')", name="status"),
        CheckConstraint("waiting_since IS NULL OR status = 'active'", name="waiting"),
        CheckConstraint("tariff_months > 0", name="tariff_months"),
        Index("ix_subscriptions_due", "expires_at", postgresql_where=text("status = 'active'")),
        # Xray takes two keys for one when they differ in bytes 6 and 7 only (the third group), where it keeps flags of its own.
        Index("uq_subscriptions_masked_uuid", text("left(uuid::text, 13)"), text("right(uuid::text, 17)"), unique=True),
        Index("ix_subscriptions_waiting", "waiting_since", postgresql_where=text("waiting_since IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), unique=True)
    status: Mapped[str]
    expires_at: Mapped[datetime]
    uuid: Mapped[UUID] = mapped_column(unique=True)
    # The secret in the subscription link.
    token: Mapped[str] = mapped_column(unique=True, server_default=text("gen_random_uuid()::text"))
    tariff_months: Mapped[int | None]
    # When a VPN program last fetched the subscription link: such a one notices by itself when the server changes.
    fetched_at: Mapped[datetime | None]
    # Paid, but no server has room: since then the days stand still.
    waiting_since: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Seat(Base):
    """Who should be on which Xray server, and how much of that the server has confirmed.

    A seat is dirty while `generation` (raised by every change that matters to Xray) is ahead of `observed_generation`.
    """

    __tablename__ = "seats"
    __table_args__ = (
        Index("uq_seats_server_email", "server_id", "email", unique=True),
        Index("uq_seats_wanted", "subscription_id", unique=True, postgresql_where=text("wanted")),
        Index("ix_seats_dirty", "server_id", "id", postgresql_where=text("dirty")),
        Index("ix_seats_gone", "server_id", "gone_at", postgresql_where=text("NOT wanted")),
        Index("ix_seats_subscription_id", "subscription_id"),
        CheckConstraint("generation > 0", name="generation"),
        CheckConstraint("observed_generation BETWEEN 0 AND generation", name="observed_generation"),
        CheckConstraint("wanted = (removed_at IS NULL)", name="removed_at"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    subscription_id: Mapped[int] = mapped_column(ForeignKey("subscriptions.id"))
    server_id: Mapped[int] = mapped_column(ForeignKey("servers.id"))
    email: Mapped[str]
    uuid: Mapped[UUID]
    wanted: Mapped[bool]
    removed_at: Mapped[datetime | None]
    # When the server confirmed that: it may have been away for long, and connections from before live on until then.
    gone_at: Mapped[datetime | None]
    # Taken by the evacuation that began at this moment, which can be undone.
    evacuated_at: Mapped[datetime | None]
    generation: Mapped[int] = mapped_column(server_default=text("1"))
    observed_generation: Mapped[int] = mapped_column(server_default=text("0"))
    # A column of its own, for PostgreSQL keeps statistics of it: of two columns' difference it would guess "nearly all".
    dirty: Mapped[bool] = mapped_column(Computed("generation <> observed_generation", persisted=True))
    # Kept by a trigger: when it became dirty, or was wanted anew.
    dirty_since: Mapped[datetime | None]
    # Since then the person waits for it who has paid; forgotten when the server has let them in.
    paid_since: Mapped[datetime | None]
    # The e-mail is (or may be) in the server's cut-off rule.
    cut_off: Mapped[bool] = mapped_column(server_default=text("false"))
    # In the hands of one worker until then.
    leased_until: Mapped[datetime | None]
    # Refused by Xray: not tried again before that, unless something changes.
    paused_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None]


class Mark(Base):
    """How far a recurring work has come."""

    __tablename__ = "marks"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class Count(Base):
    """A part of a counter: its value is the sum of the rows of its name. Rows are only added, and folded by `counts.fold`."""

    __tablename__ = "counters"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    value: Mapped[int]


class Lease(Base):
    """Who alone may do a thing for now, such as being the beat that fires."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[datetime]
