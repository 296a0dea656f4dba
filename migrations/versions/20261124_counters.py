"""Counters that survive, states counted as they change, since when a seat is dirty and somebody waits for it

Revision: c93e5a1f7d28, after b7d20f4c8e15.
"""

import sqlalchemy as sa
from alembic import op

revision = "c93e5a1f7d28"
down_revision = "b7d20f4c8e15"
branch_labels = None
depends_on = None

SERVERS_KEY = "fk_traffic_servers_server_id"
TABLES = ("payments", "subscriptions")

# Rows are added only, never changed in place: a counter that everybody updates would make them all wait for each other.
COUNT_STATES = """
CREATE FUNCTION count_states() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO counters (name, value)
            SELECT TG_TABLE_NAME || ':' || status, count(*) FROM after_rows GROUP BY status;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO counters (name, value)
            SELECT TG_TABLE_NAME || ':' || status, -count(*) FROM before_rows GROUP BY status;
    ELSE
        INSERT INTO counters (name, value)
            VALUES (TG_TABLE_NAME || ':' || OLD.status, -1), (TG_TABLE_NAME || ':' || NEW.status, 1);
    END IF;
    RETURN NULL;
END $$
"""

# Whoever changes a seat need not think of it. One that is wanted anew waits from now on, not since it was given back.
DIRTY_SINCE = """
CREATE FUNCTION note_dirty_since() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.generation = NEW.observed_generation THEN
        NEW.dirty_since := NULL;
    ELSIF TG_OP = 'INSERT' OR OLD.generation = OLD.observed_generation OR NEW.wanted <> OLD.wanted THEN
        NEW.dirty_since := now();
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    # In the order in which everybody locks: payment, subscription, seat. Whoever holds a row of the first two is waited for before
    # anything of theirs is held here; reading goes on.
    op.execute("LOCK TABLE payments, subscriptions IN EXCLUSIVE MODE")
    op.create_table(
        "counters",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counters")),
    )
    op.execute(COUNT_STATES)
    op.execute(DIRTY_SINCE)
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER count_new AFTER INSERT ON {table} REFERENCING NEW TABLE AS after_rows"
            " FOR EACH STATEMENT EXECUTE FUNCTION count_states()"
        )
        op.execute(
            f"CREATE TRIGGER count_gone AFTER DELETE ON {table} REFERENCING OLD TABLE AS before_rows"
            " FOR EACH STATEMENT EXECUTE FUNCTION count_states()"
        )
        op.execute(
            f"CREATE TRIGGER count_changed AFTER UPDATE OF status ON {table} FOR EACH ROW"
            " WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION count_states()"
        )
        op.execute(
            f"INSERT INTO counters (name, value) SELECT '{table}:' || status, count(*) FROM {table} GROUP BY status"  # noqa: S608 - two names of ours
        )
    # Last, for nobody can read seats from here on, and what took long is done.
    op.execute("LOCK TABLE seats IN ACCESS EXCLUSIVE MODE")
    op.add_column("seats", sa.Column("dirty_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("seats", sa.Column("paid_since", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE seats SET dirty_since = now() WHERE dirty")
    op.execute(
        "CREATE TRIGGER note_dirty_since BEFORE INSERT OR UPDATE OF generation, observed_generation, wanted ON seats"
        " FOR EACH ROW EXECUTE FUNCTION note_dirty_since()"
    )
    # Of the revision before this: servers are locked after seats.
    op.create_foreign_key(SERVERS_KEY, "traffic_servers", "servers", ["server_id"], ["id"], ondelete="CASCADE")


def downgrade() -> None:
    op.execute("LOCK TABLE payments, subscriptions, seats, servers IN ACCESS EXCLUSIVE MODE")
    op.drop_constraint(SERVERS_KEY, "traffic_servers", type_="foreignkey")
    for table in TABLES:
        for name in ("count_new", "count_gone", "count_changed"):
            op.execute(f"DROP TRIGGER {name} ON {table}")
    op.execute("DROP TRIGGER note_dirty_since ON seats")
    op.execute("DROP FUNCTION note_dirty_since")
    op.execute("DROP FUNCTION count_states")
    op.drop_column("seats", "paid_since")
    op.drop_column("seats", "dirty_since")
    op.drop_table("counters")
