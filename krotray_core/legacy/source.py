"""The database of the earlier KrotRay, opened for reading only: PostgreSQL or SQLite, one snapshot, whatever it holds.

It may be broken or hostile: only columns that we know are asked for, each query has a time limit, and nothing is believed.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    ColumnClause,
    Connection,
    Engine,
    Text,
    case,
    cast,
    column,
    create_engine,
    func,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from krotray_core.errors import Invalid

STATEMENT_SECONDS = 120
SQLITE_SECONDS = 1800  # for all of it: a file has no time limit of its own
BATCH = 1000
Row = dict[str, Any]

# What must be there, and what is used where it is. A column that we do not know is never read.
REQUIRED = {
    "users": ("id", "telegram_id"),
    "subscriptions": ("user_id", "status", "expires_at", "uuid"),
    "servers": ("id", "name", "host", "grpc_port"),
    "payments": ("user_id", "amount", "status"),
}
OPTIONAL = {
    "users": ("username", "first_name", "created_at"),
    "subscriptions": ("id", "tariff_months", "server_id"),
    "servers": ("max_users", "enabled", "vless_url_template"),
    "payments": (
        *("id", "currency", "tariff_months", "payment_method", "external_id"),
        *("created_at", "paid_at", "completed_at", "updated_at"),
    ),
}
# A database without them still holds people and their keys.
DISPENSABLE = ("servers", "payments")
FIRST_STATUSES = ("completed", "succeeded", "success", "paid")


class Source:
    """One snapshot of the old database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._texts = connection.dialect.name == "postgresql"
        self.columns = {name: self._columns(name) for name in REQUIRED}

    def _columns(self, name: str) -> tuple[str, ...]:
        seen = inspect(self._connection)
        if not (seen.has_table(name) or name in seen.get_view_names()):
            if name in DISPENSABLE:
                return ()
            raise Invalid(f"the old database has no table {name}")
        there = {str(found["name"]) for found in seen.get_columns(name)}
        missing = [wanted for wanted in REQUIRED[name] if wanted not in there]
        if missing:
            raise Invalid(f"the old database's table {name} has no column {', '.join(missing)}")
        return REQUIRED[name] + tuple(wanted for wanted in OPTIONAL[name] if wanted in there)

    def rows(self, name: str) -> Iterator[Row]:
        """All rows of a table, in no order; of payments those that were paid come first. Raises Invalid."""
        names = self.columns[name]
        if not names:
            return
        columns: dict[str, ColumnClause[Any]] = {one: column(one) for one in names}
        wanted = [cast(one, Text).label(label) if self._texts else one for label, one in columns.items()]
        statement = select(*wanted).select_from(table(name, *columns.values()))
        if name == "payments":
            # Of two rows with one external id the paid one counts, so it has to come first.
            done = func.lower(cast(columns["status"], Text)).in_(FIRST_STATUSES)
            order = [case((done, 0), else_=1), *([columns["id"]] if "id" in columns else [])]
            statement = statement.order_by(*order)
        with _readable():
            answer = self._connection.execution_options(stream_results=True, yield_per=BATCH).execute(statement)
            for row in answer.mappings():
                yield dict(row)

    def batches(self, name: str) -> Iterator[list[Row]]:
        """The same, many at a time."""
        batch: list[Row] = []
        for row in self.rows(name):
            batch.append(row)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


@contextmanager
def opened(url: str) -> Iterator[Source]:
    """The old database at a URL (postgresql://... or sqlite:///path), for the length of a `with`. Raises Invalid."""
    engine = _engine(url)
    try:
        with _readable():
            connection = engine.connect()
        with connection:
            with _readable():
                _begin(connection)
                source = Source(connection)
            yield source
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(re.sub(r"^postgres(ql)?(\+psycopg2)?://", "postgresql+psycopg2://", url.strip()))
    except (ArgumentError, ValueError):
        raise Invalid("--from takes postgresql://user:password@host/database or sqlite:///path") from None
    if parsed.drivername == "postgresql+psycopg2":
        return create_engine(
            parsed,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"connect_timeout": 5, "application_name": "krotray import", "tcp_user_timeout": 30_000},
            execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
        )
    if parsed.drivername in ("sqlite", "sqlite+pysqlite") and parsed.database not in (None, "", ":memory:"):
        return create_engine("sqlite://", creator=lambda: _sqlite(parsed), poolclass=NullPool, hide_parameters=True)
    raise Invalid("--from takes postgresql://user:password@host/database or sqlite:///path")


def _sqlite(url: URL) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(url.database))}?mode=ro", uri=True, isolation_level=None)
    # Python's sqlite3 would end at the first text that is no UTF-8.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    # A view of its own making may never end.
    began = time.monotonic()
    connection.set_progress_handler(lambda: time.monotonic() - began > SQLITE_SECONDS, 1_000_000)
    return connection


def _begin(connection: Connection) -> None:
    """One snapshot for all that is read."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA query_only = ON"))
        connection.execute(text("PRAGMA trusted_schema = OFF"))
        connection.exec_driver_sql("BEGIN")
        return
    for setting in (f"statement_timeout = '{STATEMENT_SECONDS}s'", "lock_timeout = '5s'", "timezone = 'UTC'"):
        connection.execute(text(f"SET LOCAL {setting}"))
    connection.execute(text("SET LOCAL datestyle = 'ISO'"))
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, UnicodeError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise Invalid(f"the old database: {cause[0] if cause else type(error).__name__}") from None
