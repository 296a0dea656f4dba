"""Runs migrations against the application's own engine and models, one at a time, without keeping the running service waiting."""

import sys
import time

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

# Any number of ours: two `flask db upgrade` at once wait for each other here.
UPGRADE_LOCK = 7_042_026
# Whoever comes for a table that is waited for stands in line behind us, readers too: so it is a short wait, and another try. Less
# than PostgreSQL's deadlock_timeout (1s): should we and somebody wait for each other, it is mostly we who step back.
LOCK_TIMEOUT = "900ms"
PAUSE_SECONDS = 1.0
# For how long it is tried: `flask db upgrade -x patience=300`
PATIENCE_SECONDS = 60.0
IN_USE = ("55P03", "40P01")  # lock_not_available, deadlock_detected

db = current_app.extensions["migrate"].db


def run(connection: Connection) -> None:
    """All of them in one transaction, or none. Raises OperationalError."""
    context.configure(connection=connection, target_metadata=db.metadata, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        context.run_migrations()


def run_patiently(connection: Connection, patience: float) -> None:
    """The same, again and again while somebody else needs the tables."""
    began = time.monotonic()
    while True:
        try:
            run(connection)
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) not in IN_USE:
                raise
            if time.monotonic() - began > patience:
                sys.exit(
                    "Error: the tables are in use, and nothing was changed. A backup, or a transaction that somebody left open?"
                    " Try again later, with more patience (-x patience=600), or with the service stopped"
                )
        else:
            return
        connection.rollback()
        time.sleep(PAUSE_SECONDS)


if context.is_offline_mode():
    raise SystemExit("flask db --sql is not supported: run it against a database")

try:
    opened = db.engine.connect()
except OperationalError as error:
    sys.exit(f"Error: the database: {str(error.orig).strip().splitlines()[0]}")

given = context.get_x_argument(as_dictionary=True).get("patience", "")
with opened:
    run_patiently(opened, float(given) if given.isdecimal() else PATIENCE_SECONDS)
