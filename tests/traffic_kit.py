"""Looking at how much people have used, and Xrays that say whatever a test wants."""

from __future__ import annotations

from krotray_core import cabinet, subscriptions
from krotray_core.models import User
from tests.conftest import new_user


def used(user: User) -> int | None:
    """What the cabinet shows."""
    seen = cabinet.of_user(user.id).traffic
    return seen.used_bytes if seen else None


def seated(count: int = 1) -> list[User]:
    """People with days and a seat."""
    people = [new_user() for _ in range(count)]
    for user in people:
        subscriptions.grant(user.telegram_id, 30)
    return people


def email(user: User) -> str:
    """Of the user in Xray."""
    return f"user_{user.id}"
