"""Behind PgBouncer in transaction mode: what a session would keep is said anew in each transaction, at no cost.

PgBouncer refuses startup `options`, and whatever is SET would stay with a connection that somebody else has next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, event

_SAID = "krotray: said in this transaction"


def set_in_each_transaction(engine: Engine, values: Mapping[str, str]) -> None:
    """SETs these LOCALly in each transaction of the engine. They travel with its first statement: no round trip of their own."""
    prefix = "".join(f"SET LOCAL {name} = '{value}'; " for name, value in values.items())

    def begun(connection: Connection) -> None:
        connection.info[_SAID] = False

    def executed(
        connection: Connection, cursor: Any, statement: str, parameters: Any, _context: object, many: bool
    ) -> tuple[str, Any]:
        if connection.info.get(_SAID, True):  # nothing has begun: the driver commits each statement by itself
            return statement, parameters
        connection.info[_SAID] = True
        if many:  # sent once for each row
            cursor.execute(prefix)
            return statement, parameters
        return prefix + statement, parameters

    event.listen(engine, "begin", begun)
    event.listen(engine, "before_cursor_execute", executed, retval=True)
