"""Leases by name: who alone may do a thing for now. Kept in rows, by the database's clock, so that any pooler will do."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from krotray_core.db import without_transaction
from krotray_core.models import Lease


def take(name: str, holder: str, length: timedelta) -> bool:
    """Takes or renews a lease. False while somebody else holds it."""
    with without_transaction() as connection:
        statement = insert(Lease).values(name=name, holder=holder, until=func.now() + length)
        statement = statement.on_conflict_do_update(
            index_elements=[Lease.name],
            set_={"holder": statement.excluded.holder, "until": statement.excluded.until},
            where=or_(Lease.holder == holder, Lease.until < func.now()),
        )
        return connection.scalar(statement.returning(Lease.name)) is not None


def is_held(name: str) -> bool:
    """Whether somebody has it now."""
    with without_transaction() as connection:
        held = select(exists().where(Lease.name == name, Lease.until > func.now()))
        return bool(connection.scalar(held))


def give_back(name: str, holder: str) -> None:
    """Lets the next one have it at once; nothing happens if it is not ours."""
    with without_transaction() as connection:
        connection.execute(delete(Lease).where(Lease.name == name, Lease.holder == holder))
