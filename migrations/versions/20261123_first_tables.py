"""first tables

Revision: d5b64fee59f2, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "d5b64fee59f2"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "servers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("grpc_port", sa.BigInteger(), nullable=False),
        sa.Column("inbound_tag", sa.Text(), nullable=False),
        sa.Column("vless_url_template", sa.Text(), nullable=True),
        sa.Column("max_users", sa.BigInteger(), nullable=False),
        sa.Column("active_users", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_up", sa.Boolean(), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("rule_leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("active_users >= 0 AND active_users <= max_users", name=op.f("ck_servers_active_users")),
        sa.CheckConstraint("grpc_port BETWEEN 1 AND 65535", name=op.f("ck_servers_grpc_port")),
        sa.CheckConstraint("max_users > 0", name=op.f("ck_servers_max_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_servers")),
        sa.UniqueConstraint("host", "grpc_port", name=op.f("uq_servers_host_grpc_port")),
        sa.UniqueConstraint("name", name=op.f("uq_servers_name")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("telegram_id", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("language_code", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("telegram_id", name=op.f("uq_users_telegram_id")),
    )
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("plan_code", sa.Text(), nullable=False),
        sa.Column("months", sa.BigInteger(), nullable=False),
        sa.Column("days", sa.BigInteger(), nullable=False),
        sa.Column("amount_kopecks", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("confirmation_url", sa.Text(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("flagged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flag_reason", sa.Text(), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status IN ('succeeded', 'refunded')) = (paid_at IS NOT NULL)", name=op.f("ck_payments_paid_at")
        ),
        sa.CheckConstraint("method IN ('sbp', 'card')", name=op.f("ck_payments_method")),
        sa.CheckConstraint(
            "status IN ('pending', 'succeeded', 'canceled', 'refunded')", name=op.f("ck_payments_status")
        ),
        sa.CheckConstraint("(flagged_at IS NULL) = (flag_reason IS NULL)", name=op.f("ck_payments_flag")),
        sa.CheckConstraint("amount_kopecks > 0", name=op.f("ck_payments_amount_kopecks")),
        sa.CheckConstraint("days > 0 AND months > 0", name=op.f("ck_payments_length")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payments_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("external_id", name=op.f("uq_payments_external_id")),
    )
    op.create_index(
        "ix_payments_open",
        "payments",
        ["next_check_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND flagged_at IS NULL"),
    )
    op.create_index("ix_payments_user_id", "payments", ["user_id", "created_at"], unique=False)
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("token", sa.Text(), server_default=sa.text("gen_random_uuid()::text"), nullable=False),
        sa.Column("tariff_months", sa.BigInteger(), nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('active', 'expired', 'revoked')", name=op.f("ck_subscriptions_status")),
        sa.CheckConstraint("waiting_since IS NULL OR status = 'active'", name=op.f("ck_subscriptions_waiting")),
        sa.CheckConstraint("tariff_months > 0", name=op.f("ck_subscriptions_tariff_months")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_subscriptions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("token", name=op.f("uq_subscriptions_token")),
        sa.UniqueConstraint("user_id", name=op.f("uq_subscriptions_user_id")),
        sa.UniqueConstraint("uuid", name=op.f("uq_subscriptions_uuid")),
    )
    op.create_index(
        "ix_subscriptions_due",
        "subscriptions",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_subscriptions_waiting",
        "subscriptions",
        ["waiting_since"],
        unique=False,
        postgresql_where=sa.text("waiting_since IS NOT NULL"),
    )
    op.create_table(
        "seats",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("subscription_id", sa.BigInteger(), nullable=False),
        sa.Column("server_id", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("uuid", sa.Uuid(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("generation", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("observed_generation", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "dirty", sa.Boolean(), sa.Computed("generation <> observed_generation", persisted=True), nullable=False
        ),
        sa.Column("cut_off", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("generation > 0", name=op.f("ck_seats_generation")),
        sa.CheckConstraint("observed_generation BETWEEN 0 AND generation", name=op.f("ck_seats_observed_generation")),
        sa.CheckConstraint("wanted = (removed_at IS NULL)", name=op.f("ck_seats_removed_at")),
        sa.ForeignKeyConstraint(["server_id"], ["servers.id"], name=op.f("fk_seats_server_id")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("fk_seats_subscription_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seats")),
    )
    op.create_index("ix_seats_dirty", "seats", ["server_id", "id"], unique=False, postgresql_where=sa.text("dirty"))
    op.create_index(
        "ix_seats_removed", "seats", ["server_id", "removed_at"], unique=False, postgresql_where=sa.text("NOT wanted")
    )
    op.create_index("ix_seats_subscription_id", "seats", ["subscription_id"], unique=False)
    op.create_index("uq_seats_server_email", "seats", ["server_id", "email"], unique=True)
    op.create_index("uq_seats_wanted", "seats", ["subscription_id"], unique=True, postgresql_where=sa.text("wanted"))


def downgrade() -> None:
    op.drop_index("uq_seats_wanted", table_name="seats", postgresql_where=sa.text("wanted"))
    op.drop_index("uq_seats_server_email", table_name="seats")
    op.drop_index("ix_seats_subscription_id", table_name="seats")
    op.drop_index("ix_seats_removed", table_name="seats", postgresql_where=sa.text("NOT wanted"))
    op.drop_index("ix_seats_dirty", table_name="seats", postgresql_where=sa.text("dirty"))
    op.drop_table("seats")
    op.drop_index(
        "ix_subscriptions_waiting", table_name="subscriptions", postgresql_where=sa.text("waiting_since IS NOT NULL")
    )
    op.drop_index("ix_subscriptions_due", table_name="subscriptions", postgresql_where=sa.text("status = 'active'"))
    op.drop_table("subscriptions")
    op.drop_index("ix_payments_user_id", table_name="payments")
    op.drop_index(
        "ix_payments_open", table_name="payments", postgresql_where=sa.text("status = 'pending' AND flagged_at IS NULL")
    )
    op.drop_table("payments")
    op.drop_table("users")
    op.drop_table("servers")
    op.drop_table("leases")
