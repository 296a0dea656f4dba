"""Servers that are emptied, TLS in front of them, since when they are up or down

Revision: a41f7d20c6e8, after 7c1e0a9d4b52.
"""

import sqlalchemy as sa
from alembic import op

revision = "a41f7d20c6e8"
down_revision = "7c1e0a9d4b52"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("servers", sa.Column("draining", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("servers", sa.Column("evacuating_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("servers", sa.Column("tls_ca", sa.Text(), nullable=True))
    op.add_column("servers", sa.Column("tls_cert", sa.Text(), nullable=True))
    op.add_column("servers", sa.Column("tls_key", sa.Text(), nullable=True))
    op.add_column("servers", sa.Column("state_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("subscriptions", sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "uq_subscriptions_masked_uuid",
        "subscriptions",
        [sa.literal_column("left(uuid::text, 13)"), sa.literal_column("right(uuid::text, 17)")],
        unique=True,
    )


def downgrade() -> None:
    op.drop_index("uq_subscriptions_masked_uuid", table_name="subscriptions")
    op.drop_column("subscriptions", "fetched_at")
    op.drop_column("servers", "state_since")
    op.drop_column("servers", "tls_key")
    op.drop_column("servers", "tls_cert")
    op.drop_column("servers", "tls_ca")
    op.drop_column("servers", "evacuating_since")
    op.drop_column("servers", "draining")
