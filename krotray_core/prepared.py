"""Statements that PostgreSQL plans once for each connection: for the few that are sent hundreds of times a second.

To plan the cabinet's join of six tables takes ten times as long as to run it (docs/performance.md). psycopg2 has no call for
this, so it is SQL's own PREPARE and EXECUTE: https://www.postgresql.org/docs/current/sql-prepare.html
"""

from __future__ import annotations

from typing import Any

from psycopg2 import Error
from sqlalchemy import Connection, Select, UpdateBase
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from krotray_core import db, settings

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # SQLAlchemy's own


class Prepared:
    """A statement that gives columns, with parameters that are all named; all else in it is literal, or it would be one too."""

    def __init__(self, name: str, statement: Select[Any] | UpdateBase) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self._name, self._statement = f"krotray: {name}", statement
        self._parameters = tuple(compiled.positiontup or ())
        places = ", ".join("%s" for _ in self._parameters)
        self._prepare, self._execute = f'PREPARE "{name}" AS {compiled}', f'EXECUTE "{name}" ({places})'

    def first(self, **values: Any) -> tuple[Any, ...] | None:
        """Its first row, sent as `db.reading` reads. Raises KeyError for a parameter without a value, SQLAlchemy's errors."""
        with db.without_transaction() as connection:
            if settings.get().database_pooler == "transaction":  # the next transaction has another connection
                row = connection.execute(self._statement, values).first()
                return tuple(row) if row is not None else None
            return self._sent(connection, tuple(values[name] for name in self._parameters))

    def _sent(self, connection: Connection, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """By psycopg2 itself: half of what such a statement took was SQLAlchemy finding out how its result is made up."""
        theirs: Any = connection.connection
        dialect = connection.dialect
        try:
            with theirs.cursor() as cursor:
                if self._name not in connection.info:
                    dialect.do_execute(cursor, self._prepare, ())
                    connection.info[self._name] = True
                dialect.do_execute(cursor, self._execute, arguments)
                row: tuple[Any, ...] | None = cursor.fetchone()
                return row
        except Error as error:
            lost = dialect.is_disconnect(error, theirs.dbapi_connection, None)  # type: ignore[arg-type] # psycopg2 it is
            if lost:
                connection.invalidate(error)
            raise DBAPIError.instance(
                *(self._execute, None, error, Error),
                hide_parameters=True,
                connection_invalidated=lost,
                dialect=dialect,
            ) from error
