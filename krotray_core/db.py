"""The database: Base, one engine a process, and `transaction()`, the only way in."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from functools import cache, partial
from select import POLLIN, poll
from typing import Any
from uuid import UUID

from psycopg2 import Error
from sqlalchemy import BigInteger, Connection, DateTime, Engine, MetaData, Text, Uuid, create_engine, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session

from krotray_core import clock, pooling, settings
from krotray_core.errors import SettingsError

# Deadlines inside PostgreSQL, in milliseconds: nothing of ours takes this long unless something is wrong.
SESSION = {
    "timezone": "UTC",
    "statement_timeout": "15000",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "30000",
}

_inside: ContextVar[bool] = ContextVar("inside a transaction", default=False)


class Base(DeclarativeBase):
    """What all tables share: constraint names that a migration can rely on, and how Python's types are stored."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - the form that SQLAlchemy prescribes
        int: BigInteger,
        str: Text,
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
        dict[str, Any]: JSONB,
    }


# A connection that was in use so lately (s) is asked whether it lives only if its socket has something to say.
SURELY_ALIVE = 1.0
_USED = "krotray: used"


@cache
def engine() -> Engine:
    """The engine of this process, made on first use; a dead connection is noticed before it is handed out."""
    pooled = settings.get().database_pooler == "transaction"
    options = {} if pooled else {"options": " ".join(f"-c {name}={value}" for name, value in SESSION.items())}
    made = create_engine(
        settings.get().database_url,
        pool_size=8,
        max_overflow=8,
        pool_timeout=5,
        pool_use_lifo=True,  # the connection that was in use last: it needs no look, and has its statements prepared
        pool_recycle=1800,
        hide_parameters=True,  # an error's text must not carry keys and tokens into a log
        connect_args={
            "connect_timeout": 3,
            "application_name": "krotray",
            # A host that is gone without a word is noticed in seconds, not after the kernel's quarter of an hour.
            "keepalives_idle": 30,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            **options,
        },
    )
    event.listen(made, "connect", _compare_clocks)
    event.listen(made, "checkin", _note_use)
    event.listen(made, "checkout", partial(_see_to_it, made.dialect))
    if pooled:
        pooling.set_in_each_transaction(made, SESSION)
    return made


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


def _see_to_it(dialect: Any, connection: Any, record: Any, _fairy: object) -> None:
    """What `pool_pre_ping` does, without its round trip for a connection that has only just answered.

    A server that ends or dies closes its connections, which the socket tells at once; one that is gone without a word is
    noticed by asking, as soon as nobody has used the connection for a moment.
    """
    used = record.info.get(_USED)
    if used is None:  # it is new
        return
    try:
        if time.monotonic() - used > SURELY_ALIVE or _has_something_to_say(connection):
            dialect.do_ping(connection)
    except dialect.dbapi.Error:
        raise InvalidatePoolError from None


def _has_something_to_say(connection: Any) -> bool:
    """Whether anything, its end included, waits in this idle connection's socket (`select` cannot look at large numbers)."""
    looks = poll()
    looks.register(connection.fileno(), POLLIN)
    return bool(looks.poll(0))


def _compare_clocks(connection: Any, _record: object) -> None:
    asked = clock.steady()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (moment,) = cursor.fetchone()
    connection.rollback()  # it began a transaction
    clock.compare(asked, moment, clock.steady())


def _first_comparison() -> None:
    with suppress(SQLAlchemyError, SettingsError):
        engine().connect().close()


clock.ask_with(_first_comparison)


@cache
def load() -> None:
    """Before a fork: one connection, opened and closed, so that what the first one loads (4 MB) is there once for all children."""
    _first_comparison()
    with suppress(SettingsError):
        engine().dispose()


def _forget_after_fork() -> None:
    """A child must not talk over its parent's sockets: it leaves them alone (no close) and opens its own."""
    _inside.set(False)
    if engine.cache_info().currsize:
        engine().dispose(close=False)
        engine.cache_clear()


os.register_at_fork(after_in_child=_forget_after_fork)


@contextmanager
def transaction() -> Iterator[Session]:
    """One transaction: committed on leaving, rolled back on any error. It must not be nested and must not wait for a network.

    Raises RuntimeError when entered from inside another one.
    """
    if _inside.get():
        raise RuntimeError("a transaction inside a transaction: hand the session down instead")
    token = _inside.set(True)
    try:
        with Session(engine(), expire_on_commit=False) as session, session.begin():
            yield session
    finally:
        _inside.reset(token)


@contextmanager
def reading() -> Iterator[Session]:
    """For one SELECT, without BEGIN and COMMIT around it: one trip to the database instead of three.

    A second statement would see another moment. The rules of `transaction` apply: not nested, no waiting for a network.
    """
    with without_transaction() as connection, Session(connection, expire_on_commit=False) as session:
        yield session


@contextmanager
def without_transaction() -> Iterator[Connection]:
    """For one statement, of any kind, that stands for itself; what `reading` reads through, without the comforts of a Session."""
    if _inside.get():
        raise RuntimeError("a transaction inside a transaction: hand the session down instead")
    token = _inside.set(True)
    try:
        if settings.get().database_pooler == "transaction":  # the deadlines are said at the start of a transaction
            with engine().begin() as connection:
                yield connection
            return
        with engine().connect() as connection:
            raw = connection.connection.dbapi_connection
            raw.autocommit = True  # type: ignore[union-attr] # psycopg2's own: SQLAlchemy's way would ask the server
            try:
                yield connection
            finally:
                with suppress(Error):  # it is gone
                    raw.autocommit = False  # type: ignore[union-attr]
    finally:
        _inside.reset(token)


def in_transaction() -> bool:
    """Whether the caller is inside `transaction()`; what must come after a commit asks here."""
    return _inside.get()
