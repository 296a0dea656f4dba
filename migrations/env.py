"""Runs migrations against the application's own engine and models, one at a time."""

import sys

from alembic import context
from flask import current_app
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

# Any number of ours: two `flask db upgrade` at once wait for each other here.
UPGRADE_LOCK = 7_042_026

db = current_app.extensions["migrate"].db

if context.is_offline_mode():
    raise SystemExit("flask db --sql is not supported: run it against a database")

try:
    opened = db.engine.connect()
except OperationalError as error:
    sys.exit(f"Error: the database: {str(error.orig).strip().splitlines()[0]}")

with opened as connection:
    context.configure(connection=connection, target_metadata=db.metadata, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        context.run_migrations()
