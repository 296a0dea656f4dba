"""Invitations: who brought whom, counted once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from krotray_core import invites, subscriptions
from krotray_core.db import transaction
from krotray_core.models import User
from sandbox.world import World
from tests.conftest import at_once, new_user


@pytest.fixture
def bot(fresh: World) -> str:
    """The bot has logged in."""
    assert fresh
    invites.remember_bot(1, "old_name")
    invites.remember_bot(1, "krot_bot")
    return "krot_bot"


def payload_of(user: User) -> str:
    """What Telegram puts behind /start for who follows the link."""
    return (invites.link(user.id) or "").partition("?start=")[2]


def test_there_is_no_link_before_the_bot_has_a_name(user: User) -> None:
    assert invites.link(user.id) is None


def test_the_link_stays_the_same_also_when_asked_for_at_once(bot: str, user: User) -> None:
    links = at_once(6, lambda _: invites.link(user.id))
    assert len(set(links)) == 1
    assert str(links[0]).startswith(f"https://t.me/{bot}?start=ref_")
    assert len(payload_of(user)) <= 64, "Telegram takes no more"


def test_somebody_new_counts_once(bot: str, user: User) -> None:
    assert bot
    friend, other = new_user(), new_user()
    assert at_once(4, lambda _: invites.accept(friend.id, payload_of(user))).count(True) == 1
    assert not invites.accept(friend.id, payload_of(other))
    assert (invites.came(user.id), invites.came(other.id)) == (1, 0)


def test_neither_oneself_nor_old_friends_nor_nonsense(bot: str, user: User) -> None:
    assert bot
    friend, buyer, old = new_user(), new_user(), new_user()
    subscriptions.grant(buyer.telegram_id, 1)
    with transaction() as session:
        session.execute(update(User).where(User.id == old.id).values(created_at=User.created_at - timedelta(days=2)))
    assert not invites.accept(user.id, payload_of(user)), "oneself"
    assert not invites.accept(user.id, payload_of(friend)), "who was here before"
    assert not invites.accept(buyer.id, payload_of(user))
    assert not invites.accept(old.id, payload_of(user))
    for payload in ("", "ref_", "ref_nobodys_code", "ref_" + "я" * 10, "ref_" + "a" * 500, "promo_1", "ref_'; --1234"):
        assert not invites.accept(friend.id, payload)
    assert invites.came(user.id) == 0
