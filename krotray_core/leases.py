"""Leases by name: who alone may do a thing for now. Kept in rows, by the database's clock, so that any pooler will do."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from sqlalchemy import Interval, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from krotray_core.models import Lease
from krotray_core.prepared import Prepared

_CALLED = Lease.name == bindparam("called")


def take(name: str, holder: str, length: timedelta) -> bool:
    """Takes or renews a lease. False while somebody else holds it."""
    return bool(_taking().rows(name=name, holder=holder, length=length))


def is_held(name: str) -> bool:
    """Whether somebody has it now."""
    return bool(_held().rows(called=name))


def give_back(name: str, holder: str) -> None:
    """Lets the next one have it at once; nothing happens if it is not ours."""
    _giving_back().rows(called=name, mine=holder)


@cache
def _taking() -> Prepared:
    until = func.now() + bindparam("length", type_=Interval())
    statement = insert(Lease).values(name=bindparam("name"), holder=bindparam("holder"), until=until)
    statement = statement.on_conflict_do_update(
        index_elements=[Lease.name],
        set_={"holder": statement.excluded.holder, "until": statement.excluded.until},
        where=or_(Lease.holder == statement.excluded.holder, Lease.until < func.now()),
    )
    return Prepared("lease taken", statement.returning(Lease.name))


@cache
def _held() -> Prepared:
    return Prepared("lease held", select(Lease.name).where(_CALLED, Lease.until > func.now()))


@cache
def _giving_back() -> Prepared:
    return Prepared("lease given back", delete(Lease).where(_CALLED, Lease.holder == bindparam("mine")))
