"""Since when a removal is confirmed, and which evacuation took a seat

Revision: 3f6a0d81be59, after e5b90c27f1a3.
"""

import sqlalchemy as sa
from alembic import op

revision = "3f6a0d81be59"
down_revision = "e5b90c27f1a3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("seats", sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("seats", sa.Column("evacuated_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE seats SET gone_at = removed_at WHERE NOT wanted AND NOT dirty")
    op.create_index("ix_seats_gone", "seats", ["server_id", "gone_at"], postgresql_where=sa.text("NOT wanted"))
    op.drop_index("ix_seats_removed", table_name="seats")


def downgrade() -> None:
    op.create_index("ix_seats_removed", "seats", ["server_id", "removed_at"], postgresql_where=sa.text("NOT wanted"))
    op.drop_index("ix_seats_gone", table_name="seats")
    op.drop_column("seats", "evacuated_at")
    op.drop_column("seats", "gone_at")
