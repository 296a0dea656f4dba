"""The people in Telegram who have talked to us."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from krotray_core import receipts
from krotray_core.db import transaction
from krotray_core.errors import NotFound
from krotray_core.models import User


@dataclass(frozen=True, slots=True)
class Person:
    """Who Telegram says is talking to us."""

    telegram_id: int
    username: str | None = None
    first_name: str | None = None
    language_code: str | None = None


def greet(person: Person) -> User:
    """The row of this person, made or brought up to date; a call that changes nothing writes nothing."""
    wanted = {
        "username": person.username,
        "first_name": person.first_name,
        "language_code": person.language_code,
    }
    with transaction() as session:
        user = session.scalar(select(User).where(User.telegram_id == person.telegram_id))
        if user and all(value is None or getattr(user, name) == value for name, value in wanted.items()):
            return user
        statement = insert(User).values(telegram_id=person.telegram_id, **wanted)
        # A client may leave a field out; what we knew is kept then.
        update = {name: func.coalesce(statement.excluded[name], getattr(User, name)) for name in wanted}
        statement = statement.on_conflict_do_update(index_elements=[User.telegram_id], set_=update)
        return session.scalars(statement.returning(User), execution_options={"populate_existing": True}).one()


def find(telegram_id: int) -> User:
    """The user with this Telegram id. Raises NotFound."""
    with transaction() as session:
        user = session.scalar(select(User).where(User.telegram_id == telegram_id))
    if user is None:
        raise NotFound(f"no user with Telegram id {telegram_id}")
    return user


def keep_receipt_email(user_id: int, text: str) -> str:
    """Keeps where this user's receipts go from now on. Returns the address in its normal form; raises EmailInvalid."""
    address = receipts.check_email(text)
    with transaction() as session:
        session.get_one(User, user_id).receipt_email = address
    return address


def email(user_id: int) -> str:
    """The name under which Xray knows a user."""
    return f"user_{user_id}"
