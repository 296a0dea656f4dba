"""Looking at seats, and at what the Xray servers hold of them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select, update

from krotray_core import clock, provisioning, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Seat, Server, User
from krotray_core.xray.operations import Account
from tests.conftest import converge_all, new_user


def give(user: User) -> None:
    """Thirty days."""
    subscriptions.grant(user.telegram_id, 30)


def people(count: int) -> list[User]:
    """With thirty days each, and let in."""
    made = [new_user() for _ in range(count)]
    for user in made:
        give(user)
    converge_all()
    return made


def seat_of(user: User) -> Seat:
    """The user's seat."""
    with transaction() as session:
        return session.scalars(select(Seat).where(Seat.email == f"user_{user.id}")).one()


def held(server: Server) -> dict[str, Account]:
    """Everybody of ours on the server's Xray."""
    return {email: key for email, key in provisioning.client(server).users().items() if email.startswith("user_")}


def here(server: Server) -> set[str]:
    """The e-mails of this test's users that the Xray holds (others may be left from other tests)."""
    with transaction() as session:
        return set(held(server)) & set(session.scalars(select(Seat.email)))


def dirty() -> int:
    """How many seats are not confirmed."""
    with transaction() as session:
        return session.scalar(select(func.count()).where(Seat.generation != Seat.observed_generation)) or 0


def free_leases() -> None:
    """Lets all leases and pauses run out."""
    past = clock.now() - timedelta(seconds=1)
    with transaction() as session:
        session.execute(update(Seat).values(leased_until=past, paused_until=past))
