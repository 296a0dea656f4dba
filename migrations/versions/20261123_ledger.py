"""The ledger, refunds, tariffs in a table and notices

Revision: 7c1e0a9d4b52, after d5b64fee59f2.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "7c1e0a9d4b52"
down_revision = "d5b64fee59f2"
branch_labels = None
depends_on = None


# What was sold before tariffs had a table.
FIRST_TARIFFS = (
    "INSERT INTO plans (code, months, days, amount_kopecks) VALUES ('1m', 1, 30, 10000), ('3m', 3, 90, 25000)"
)

# The state in which the ledger found what was there before it: what is recomputed starts here.
OPENING_PAYMENTS = """
    INSERT INTO ledger (at, actor, subject, event, user_id, payment_id, status, kopecks)
    SELECT now(), 'migration', 'payment', 'opening', user_id, id, status,
        CASE status WHEN 'succeeded' THEN amount_kopecks ELSE 0 END
    FROM payments ORDER BY created_at, id"""
OPENING_SUBSCRIPTIONS = """
    INSERT INTO ledger (at, actor, subject, event, user_id, subscription_id, status, starts_at, ends_at)
    SELECT now(), 'migration', 'subscription', 'opening', user_id, id, status, expires_at, expires_at
    FROM subscriptions ORDER BY id"""

APPEND_ONLY = """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"""


def upgrade() -> None:
    op.create_table(
        "marks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("telegram_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("sent_at IS NULL OR given_up_at IS NULL", name=op.f("ck_notices_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("key", name=op.f("uq_notices_key")),
    )
    op.create_index(
        "ix_notices_due",
        "notices",
        ["next_try_at"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL AND given_up_at IS NULL"),
    )
    op.create_table(
        "plans",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("months", sa.BigInteger(), nullable=False),
        sa.Column("days", sa.BigInteger(), nullable=False),
        sa.Column("amount_kopecks", sa.BigInteger(), nullable=False),
        sa.Column("on_sale", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint("amount_kopecks > 0", name=op.f("ck_plans_amount_kopecks")),
        sa.CheckConstraint("days > 0 AND months > 0", name=op.f("ck_plans_length")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_plans")),
    )
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("amount_kopecks", sa.BigInteger(), nullable=False),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("taken_seconds", sa.BigInteger(), nullable=True),
        sa.Column("next_check_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status = 'succeeded') = (taken_seconds IS NOT NULL)", name=op.f("ck_refunds_taken_seconds")
        ),
        sa.CheckConstraint("status IN ('pending', 'succeeded', 'canceled')", name=op.f("ck_refunds_status")),
        sa.CheckConstraint("amount_kopecks > 0", name=op.f("ck_refunds_amount_kopecks")),
        sa.CheckConstraint("external_id IS NOT NULL OR request IS NOT NULL", name=op.f("ck_refunds_origin")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("external_id", name=op.f("uq_refunds_external_id")),
    )
    op.create_index(
        "ix_refunds_open", "refunds", ["next_check_at"], unique=False, postgresql_where=sa.text("status = 'pending'")
    )
    op.create_index("ix_refunds_payment_id", "refunds", ["payment_id", "created_at"], unique=False)
    op.create_index(
        "uq_refunds_in_doubt",
        "refunds",
        ["payment_id"],
        unique=True,
        postgresql_where=sa.text("status = 'pending' AND external_id IS NULL"),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("refund_id", sa.Uuid(), nullable=True),
        sa.Column("subscription_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("kopecks", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("subject <> 'payment' OR payment_id IS NOT NULL", name=op.f("ck_ledger_payment")),
        sa.CheckConstraint("subject <> 'refund' OR refund_id IS NOT NULL", name=op.f("ck_ledger_refund")),
        sa.CheckConstraint(
            "subject <> 'subscription' OR num_nulls(subscription_id, starts_at, ends_at) = 0",
            name=op.f("ck_ledger_subscription"),
        ),
        sa.CheckConstraint("subject IN ('payment', 'refund', 'subscription')", name=op.f("ck_ledger_subject")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("fk_ledger_payment_id")),
        sa.ForeignKeyConstraint(["refund_id"], ["refunds.id"], name=op.f("fk_ledger_refund_id")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("fk_ledger_subscription_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_ledger_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    op.create_index("ix_ledger_payment_id", "ledger", ["payment_id", "id"], unique=False)
    op.create_index(
        "ix_ledger_subscription_id",
        "ledger",
        ["subscription_id", "id"],
        unique=False,
        postgresql_where=sa.text("subject = 'subscription'"),
    )
    op.create_index("ix_ledger_user_id", "ledger", ["user_id", "id"], unique=False)
    op.add_column(
        "payments", sa.Column("refunded_kopecks", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("payments", sa.Column("hinted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payments", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_payments_created_at", "payments", ["created_at"])
    op.add_column("users", sa.Column("receipt_email", sa.Text(), nullable=True))
    op.execute("UPDATE payments SET refunded_kopecks = amount_kopecks WHERE status = 'refunded'")
    op.create_check_constraint(
        op.f("ck_payments_refunded_kopecks"), "payments", "refunded_kopecks BETWEEN 0 AND amount_kopecks"
    )
    op.create_check_constraint(
        op.f("ck_payments_refunded"), "payments", "(status = 'refunded') = (refunded_kopecks = amount_kopecks)"
    )
    op.drop_index("ix_payments_open", table_name="payments")
    op.create_index(
        "ix_payments_open",
        "payments",
        ["next_check_at"],
        postgresql_where=sa.text("status = 'pending' OR hinted_at IS NOT NULL OR flagged_at IS NOT NULL"),
    )
    op.execute(FIRST_TARIFFS)
    op.execute(OPENING_PAYMENTS)
    op.execute(OPENING_SUBSCRIPTIONS)
    op.execute(APPEND_ONLY)
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_index("ix_payments_open", table_name="payments")
    op.create_index(
        "ix_payments_open",
        "payments",
        ["next_check_at"],
        postgresql_where=sa.text("status = 'pending' AND flagged_at IS NULL"),
    )
    op.drop_constraint(op.f("ck_payments_refunded"), "payments")
    op.drop_constraint(op.f("ck_payments_refunded_kopecks"), "payments")
    op.drop_column("users", "receipt_email")
    op.drop_index("ix_payments_created_at", table_name="payments")
    op.drop_column("payments", "asked_at")
    op.drop_column("payments", "hinted_at")
    op.drop_column("payments", "refunded_kopecks")
    op.drop_index("ix_ledger_user_id", table_name="ledger")
    op.drop_index(
        "ix_ledger_subscription_id", table_name="ledger", postgresql_where=sa.text("subject = 'subscription'")
    )
    op.drop_index("ix_ledger_payment_id", table_name="ledger")
    op.drop_table("ledger")
    op.execute("DROP FUNCTION refuse_change")
    op.drop_index(
        "uq_refunds_in_doubt",
        table_name="refunds",
        postgresql_where=sa.text("status = 'pending' AND external_id IS NULL"),
    )
    op.drop_index("ix_refunds_payment_id", table_name="refunds")
    op.drop_index("ix_refunds_open", table_name="refunds", postgresql_where=sa.text("status = 'pending'"))
    op.drop_table("refunds")
    op.drop_table("plans")
    op.drop_index(
        "ix_notices_due", table_name="notices", postgresql_where=sa.text("sent_at IS NULL AND given_up_at IS NULL")
    )
    op.drop_table("notices")
    op.drop_table("marks")
