"""Invitations, people whom Telegram does not let us reach, broadcasts, the bot's own account

Revision: e5b90c27f1a3, after a41f7d20c6e8.
"""

import sqlalchemy as sa
from alembic import op

revision = "e5b90c27f1a3"
down_revision = "a41f7d20c6e8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bot_accounts",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("logged_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_accounts")),
    )
    op.create_table(
        "broadcasts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_user_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("people", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("segment IN ('active', 'expired', 'all')", name=op.f("ck_broadcasts_segment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
    )
    op.add_column("users", sa.Column("invite_code", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("invited_by_id", sa.BigInteger(), nullable=True))
    op.add_column("users", sa.Column("unreachable_since", sa.DateTime(timezone=True), nullable=True))
    op.create_unique_constraint(op.f("uq_users_invite_code"), "users", ["invite_code"])
    op.create_foreign_key(op.f("fk_users_invited_by_id"), "users", "users", ["invited_by_id"], ["id"])
    op.create_index(op.f("ix_users_invited_by_id"), "users", ["invited_by_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_users_invited_by_id"), table_name="users")
    op.drop_constraint(op.f("fk_users_invited_by_id"), "users", type_="foreignkey")
    op.drop_constraint(op.f("uq_users_invite_code"), "users", type_="unique")
    op.drop_column("users", "unreachable_since")
    op.drop_column("users", "invited_by_id")
    op.drop_column("users", "invite_code")
    op.drop_table("broadcasts")
    op.drop_table("bot_accounts")
