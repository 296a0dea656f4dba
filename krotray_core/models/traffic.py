"""How much has been used: bytes, up and down together, and nothing about where."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from krotray_core.db import Base


class Traffic(Base):
    """What a subscription has used in its present period, on all servers together. Without a row it is not known."""

    __tablename__ = "traffic"
    __table_args__ = (CheckConstraint("used_bytes >= 0", name="used_bytes"),)

    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("subscriptions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    used_bytes: Mapped[int] = mapped_column(server_default=text("0"))
    since: Mapped[datetime]


class TrafficServer(Base):
    """How far the counters of a server's Xray have been read."""

    __tablename__ = "traffic_servers"

    server_id: Mapped[int] = mapped_column(
        ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    # Raised by each reading that counts: one that began before it, and comes late, does not.
    round: Mapped[int] = mapped_column(server_default=text("0"))
    # Of its Xray at the last reading, in seconds: one that is less has started anew, and so have its counters.
    uptime: Mapped[int | None]
    # Since when what its counters gain is counted; NULL until what they held at first has been noted.
    counted_since: Mapped[datetime | None]


class TrafficSeen(Base):
    """What a server's counters for a subscription showed when they were read last."""

    __tablename__ = "traffic_seen"
    __table_args__ = (
        CheckConstraint("bytes >= 0", name="bytes"),
        Index("ix_traffic_seen_subscription_id", "subscription_id"),
    )

    server_id: Mapped[int] = mapped_column(
        ForeignKey("traffic_servers.server_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("traffic.subscription_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    bytes: Mapped[int]
