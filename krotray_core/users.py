"""The people in Telegram who have talked to us."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, func, null, select, update
from sqlalchemy.dialects.postgresql import insert

from krotray_core import clock, receipts
from krotray_core.db import reading, transaction
from krotray_core.errors import NotFound
from krotray_core.models import User


@dataclass(frozen=True, slots=True)
class Person:
    """Who Telegram says is talking to us."""

    telegram_id: int
    username: str | None = None
    first_name: str | None = None
    language_code: str | None = None


class Known(NamedTuple):
    """What our row says of a person; the columns of `models.User` that a request needs."""

    telegram_id: int
    username: str | None
    first_name: str | None
    language_code: str | None
    receipt_email: str | None
    unreachable_since: datetime | None


def greet(person: Person) -> User:
    """The row of this person, made or brought up to date; a call that changes nothing writes nothing.

    Who comes to us can be reached again.
    """
    with reading() as session:
        user = session.scalar(_by_telegram_id(), {"telegram_id": person.telegram_id})
    if user and is_known(user, person):
        return user
    wanted = _told(person)
    with transaction() as session:
        statement = insert(User).values(telegram_id=person.telegram_id, **wanted)
        # A client may leave a field out; what we knew is kept then.
        kept = {name: func.coalesce(statement.excluded[name], getattr(User, name)) for name in wanted}
        change = {**kept, "unreachable_since": null()}
        statement = statement.on_conflict_do_update(index_elements=[User.telegram_id], set_=change)
        return session.scalars(statement.returning(User), execution_options={"populate_existing": True}).one()


def is_known(user: User | Known, person: Person) -> bool:
    """Whether the row says all that this person says of themselves, and that they can be reached."""
    told = _told(person).items()
    return user.unreachable_since is None and all(value is None or getattr(user, name) == value for name, value in told)


def _told(person: Person) -> dict[str, str | None]:
    return {
        "username": person.username,
        "first_name": person.first_name,
        "language_code": person.language_code,
    }


@cache
def _by_telegram_id() -> Select[User]:
    return select(User).where(User.telegram_id == bindparam("telegram_id", type_=User.telegram_id.type))


def find(telegram_id: int) -> User:
    """The user with this Telegram id. Raises NotFound."""
    with transaction() as session:
        user = session.scalar(select(User).where(User.telegram_id == telegram_id))
    if user is None:
        raise NotFound(f"no user with Telegram id {telegram_id}")
    return user


def known(telegram_id: int) -> User:
    """The row of a person who need not have come to us: made if there is none, and else left as it is."""
    with transaction() as session:
        statement = insert(User).values(telegram_id=telegram_id)
        session.execute(statement.on_conflict_do_nothing(index_elements=[User.telegram_id]))
        return session.scalars(select(User).where(User.telegram_id == telegram_id)).one()


def named(username: str, *, limit: int = 5) -> list[User]:
    """Who has (or had) this Telegram name, with or without its @, whatever the case; the newest first. Names change hands."""
    wanted = username.removeprefix("@").lower()
    with transaction() as session:
        found = select(User).where(func.lower(User.username) == wanted)
        return list(session.scalars(found.order_by(User.id.desc()).limit(limit)))


def lost(telegram_id: int) -> bool:
    """Telegram does not let us reach this person any more. Returns whether that is news; only news is written down."""
    return _reach(telegram_id, User.unreachable_since.is_(None), clock.now())


def back(telegram_id: int) -> bool:
    """This person can be reached again. Returns whether that is news; only news is written down."""
    return _reach(telegram_id, User.unreachable_since.is_not(None), None)


def _reach(telegram_id: int, is_news: ColumnElement[bool], since: datetime | None) -> bool:
    statement = update(User).where(User.telegram_id == telegram_id, is_news).values(unreachable_since=since)
    with transaction() as session:
        changed = session.scalars(statement.returning(User.id), execution_options={"synchronize_session": False})
        return changed.one_or_none() is not None


def keep_receipt_email(user_id: int, text: str) -> str:
    """Keeps where this user's receipts go from now on. Returns the address in its normal form; raises EmailInvalid."""
    address = receipts.check_email(text)
    with transaction() as session:
        session.get_one(User, user_id).receipt_email = address
    return address


def email(user_id: int) -> str:
    """The name under which Xray knows a user."""
    return f"user_{user_id}"
