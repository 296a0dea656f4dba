"""The sandbox Telegram as a test sees it, people whose days end when a test wants, and notices as rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from sqlalchemy import select, text, update

from krotray_core import clock, delivery, ledger, notices, speech, subscriptions, users
from krotray_core.db import transaction
from krotray_core.models import Notice, Subscription, User
from sandbox.world import World
from tests.bot_kit import Person

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FLAGGED = {"payment_id": "0b2a153f-4b0e-4d9c-8f37-1b1d7a1c2d3e", "reason": "the amount is 1.00"}


class Telegram:
    """The sandbox Telegram of the world."""

    def __init__(self, world: World) -> None:
        self.url = world.telegram_url

    def somebody(self, language_code: str = "ru") -> Person:
        """A person who has written to the bot."""
        person = self.stranger(language_code)
        person.write("/start")
        return person

    def stranger(self, language_code: str = "ru") -> Person:
        """A person who has not."""
        body = {"first_name": "Анна", "language_code": language_code}
        made = requests.post(f"{self.url}/sandbox/people", json=body, timeout=10).json()
        return Person(self.url, made["id"], language_code)

    def user(self, language_code: str = "ru") -> tuple[Person, User]:
        """A person who has written to the bot, and is known to us."""
        person = self.somebody(language_code)
        return person, users.greet(users.Person(person.id, first_name="Анна", language_code=language_code))

    def calls(self) -> int:
        """How many messages were tried."""
        return requests.get(f"{self.url}/sandbox/bot", timeout=10).json()["calls"].get("sendMessage", 0)

    def block(self, person: Person, *, blocked: bool = True) -> None:
        """This person blocks the bot, or takes it back."""
        body = {"user_id": person.id, "blocked": blocked}
        requests.post(f"{self.url}/sandbox/block", json=body, timeout=10).raise_for_status()

    def trouble(self, **what: object) -> None:
        """What the next messages run into."""
        body = {"method": "sendMessage"} | what
        requests.post(f"{self.url}/sandbox/trouble", json=body, timeout=10).raise_for_status()

    def release(self) -> None:
        """Ends all trouble."""
        requests.post(f"{self.url}/sandbox/release", timeout=10).raise_for_status()


def note(person: Person, key: str = "one", *, kind: str = "payment_flagged", ago: float = 0, **data: object) -> None:
    """Notes something for this person, some seconds ago, in a transaction of its own."""
    now = clock.now() - timedelta(seconds=ago)
    with transaction() as session:
        notices.note(session, telegram_id=person.id, kind=kind, key=f"{key}:{person.id}", data=data or FLAGGED, now=now)


def give(user: User, days: int) -> None:
    """Days as a payment gives them: without the word that a present comes with."""
    with transaction() as session:
        subscriptions.extend(session, user.id, days=days, months=None, now=clock.now())


def ends_in(user: User, left: timedelta) -> None:
    """An admin sets the end."""
    subscriptions.set_expiry(user.telegram_id, clock.now() + left)


def move(user: User, *, by: timedelta) -> None:
    """The end moves as it does for a wait, with its line in the ledger."""
    now = clock.now()
    with transaction() as session:
        row = session.scalars(select(Subscription).where(Subscription.user_id == user.id).with_for_update()).one()
        ended_at, row.expires_at = row.expires_at, row.expires_at + by
        ledger.subscription(session, row, "waited", now, ended_at=ended_at)


def send_now() -> int:
    """Sends what is due at this moment, however long that takes, and waits for nothing that comes later; how many went out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "SOON", timedelta(0))
        return delivery.send_due(5)


def night(now: datetime) -> tuple[int, int]:
    """Quiet hours that have just begun."""
    hour = now.astimezone(speech.MOSCOW).hour
    return hour, (hour + 23) % 24


def rows(*kinds: str) -> list[Notice]:
    """All notices (of these kinds), in the order in which they were noted."""
    statement = select(Notice).order_by(Notice.id)
    with transaction() as session:
        return list(session.scalars(statement.where(Notice.kind.in_(kinds)) if kinds else statement))


def wait_over() -> None:
    """The pauses of all notices have passed."""
    with transaction() as session:
        session.execute(update(Notice).values(next_try_at=clock.now()))


def leases_over() -> None:
    """Whoever was killed with a lease in their hands is out of it."""
    with transaction() as session:
        session.execute(text("UPDATE leases SET until = now() - interval '1 second'"))


def texts(person: Person) -> list[str]:
    """What this person was told."""
    return [message["text"] for message in person.heard()]


def buttons(person: Person) -> list[dict[str, Any]]:
    """The buttons under the last message to this person."""
    return [button for row in person.last()["buttons"] for button in row]
