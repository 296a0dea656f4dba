"""SELECTs that PostgreSQL plans once for each connection: for the few that are asked hundreds of times a second.

To plan the cabinet's join of six tables takes ten times as long as to run it (docs/performance.md). psycopg2 has no call for
this, so it is SQL's own PREPARE and EXECUTE: https://www.postgresql.org/docs/current/sql-prepare.html
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select
from sqlalchemy.dialects import postgresql

from krotray_core import db, settings

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # SQLAlchemy's own


class Prepared:
    """A SELECT of columns whose parameters are all named; everything else in it has to be literal, or it would be one too."""

    def __init__(self, name: str, statement: Select[Any]) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self._name, self._statement = f"krotray: {name}", statement
        self._parameters = tuple(compiled.positiontup or ())
        places = ", ".join("%s" for _ in self._parameters)
        self._prepare, self._execute = f'PREPARE "{name}" AS {compiled}', f'EXECUTE "{name}" ({places})'

    def one_or_none(self, **values: Any) -> Row[Any] | None:
        """Its one row, read as `db.reading` reads. Raises KeyError for a parameter without a value."""
        with db.without_transaction() as connection:
            if settings.get().database_pooler == "transaction":  # the next transaction has another connection
                return connection.execute(self._statement, values).one_or_none()
            if self._name not in connection.info:
                connection.exec_driver_sql(self._prepare)
                connection.info[self._name] = True
            arguments = tuple(values[name] for name in self._parameters)
            return connection.exec_driver_sql(self._execute, arguments).one_or_none()
