"""How much each subscription has used, and how far the servers' counters have been read

Revision: b7d20f4c8e15, after 3f6a0d81be59.
"""

import sqlalchemy as sa
from alembic import op

revision = "b7d20f4c8e15"
down_revision = "3f6a0d81be59"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A foreign key locks what it leads to, and the next revision follows within the same transaction: so everybody's order of locks
    # is kept from its beginning on. Reading goes on. The key that leads to `servers` comes with the next one, after `seats`.
    op.execute("LOCK TABLE payments, subscriptions IN EXCLUSIVE MODE")
    op.create_table(
        "traffic",
        sa.Column("subscription_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("used_bytes >= 0", name=op.f("ck_traffic_used_bytes")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_traffic_subscription_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_traffic")),
    )
    op.create_table(
        "traffic_servers",
        sa.Column("server_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("uptime", sa.BigInteger(), nullable=True),
        sa.Column("counted_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("server_id", name=op.f("pk_traffic_servers")),
    )
    op.create_table(
        "traffic_seen",
        sa.Column("server_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subscription_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("bytes >= 0", name=op.f("ck_traffic_seen_bytes")),
        sa.ForeignKeyConstraint(
            ["server_id"], ["traffic_servers.server_id"], name=op.f("fk_traffic_seen_server_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["traffic.subscription_id"],
            name=op.f("fk_traffic_seen_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("server_id", "subscription_id", name=op.f("pk_traffic_seen")),
    )
    op.create_index("ix_traffic_seen_subscription_id", "traffic_seen", ["subscription_id"])


def downgrade() -> None:
    op.execute("LOCK TABLE payments, subscriptions IN ACCESS EXCLUSIVE MODE")
    op.drop_table("traffic_seen")
    op.drop_table("traffic_servers")
    op.drop_table("traffic")
