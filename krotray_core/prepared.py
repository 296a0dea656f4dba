"""Statements that PostgreSQL plans once for each connection: for those that are sent with every request or every payment.

To plan the cabinet's join of six tables takes ten times as long as to run it (docs/performance.md, docs/adr/0016). psycopg2 has no
call for this, so it is SQL's own PREPARE and EXECUTE: https://www.postgresql.org/docs/current/sql-prepare.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg2 import Error
from sqlalchemy import ColumnElement, Connection, Select, UpdateBase, literal_column
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from krotray_core import db, settings

# What PostgreSQL says of a plan whose result a migration has changed, and when it knows another set of statements than we do.
_UNFIT = ("0A000", "26000", "42P05")
LONGEST_NAME = 63  # bytes; PostgreSQL cuts the rest off
_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # SQLAlchemy's own

Row = tuple[Any, ...]


def literals(words: Iterable[str]) -> list[ColumnElement[str]]:
    """These words of ours, as they stand in a statement's text."""
    return [literal_column(_literal(word)) for word in words]


def _literal(word: str) -> str:
    if not word.isidentifier():
        raise ValueError(f"not a word: {word!r}")
    return f"'{word}'"


class Prepared:
    """A statement whose parameters have names; an INSERT without values takes those of its `columns`.

    What it compares with a partial index's condition has to be literal, for PostgreSQL does not look at parameters for that; so
    have lists for IN (`literals`), whose length is part of the statement. A connection that no longer has what we think it has is
    closed and OperationalError raised, as for one that is lost: what is tried again has a new one.
    """

    def __init__(
        self, name: str, statement: Select[*tuple[Any, ...]] | UpdateBase, columns: Sequence[str] | None = None
    ) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=columns)
        self._name, self._statement = f"krotray: {name}", statement
        if len(name.encode()) > LONGEST_NAME:
            raise ValueError(f"{name}: too long for a name")
        self._parameters = tuple(compiled.positiontup or ())
        bound = {one: compiled.binds[one] for one in self._parameters}
        self._fixed = {one: parameter.value for one, parameter in bound.items() if not parameter.required}
        places = f" ({', '.join('%s' for _ in self._parameters)})" if self._parameters else ""
        if "POSTCOMPILE" in str(compiled):
            raise ValueError(f"{name}: a list for IN that is not literal")
        self._prepare, self._execute = f'PREPARE "{name}" AS {compiled}', f'EXECUTE "{name}"{places}'

    def rows(self, **values: Any) -> list[Row]:
        """Its rows, if it gives any; sent as `db.reading` reads. Raises KeyError for what has no value, SQLAlchemy's errors."""
        with db.without_transaction() as connection:
            return self._rows(connection, values)

    def first(self, **values: Any) -> Row | None:
        """The first of its rows; the same in all else."""
        rows = self.rows(**values)
        return rows[0] if rows else None

    def within(self, session: Session, **values: Any) -> list[Row]:
        """The same in a transaction that is under way, after what it has yet to write."""
        session.flush()
        return self._rows(session.connection(), values)

    def _rows(self, connection: Connection, values: dict[str, Any]) -> list[Row]:
        if settings.get().database_pooler == "transaction":  # the next transaction has another connection
            result = connection.execute(self._statement, values)
            return [tuple(row) for row in result] if result.returns_rows else []
        values |= self._fixed
        return self._sent(connection, tuple(values[name] for name in self._parameters))

    def _sent(self, connection: Connection, arguments: Row) -> list[Row]:
        """By psycopg2 itself: half of what such a statement took was SQLAlchemy finding out how its result is made up."""
        theirs: Any = connection.connection
        dialect = connection.dialect
        try:
            with theirs.cursor() as cursor:
                if self._name not in connection.info:
                    dialect.do_execute(cursor, self._prepare, ())
                    connection.info[self._name] = True
                dialect.do_execute(cursor, self._execute, arguments)
                return cursor.fetchall() if cursor.description else []
        except Error as error:
            lost = dialect.is_disconnect(error, theirs.dbapi_connection, None)  # type: ignore[arg-type] # psycopg2 it is
            unfit = error.pgcode in _UNFIT
            if lost or unfit:
                connection.invalidate(error)
            if unfit:  # bad weather for the caller, who tries again on another connection
                raise OperationalError(
                    self._execute, None, error, hide_parameters=True, connection_invalidated=True
                ) from error
            raise DBAPIError.instance(
                *(self._execute, None, error, Error),
                hide_parameters=True,
                connection_invalidated=lost,
                dialect=dialect,
            ) from error
        except BaseException as error:
            # A time limit of Celery's, say, between the two: nobody knows what this connection has.
            connection.invalidate(error)
            raise
