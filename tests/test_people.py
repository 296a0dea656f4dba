"""The people whom we know: greeted, lost, and back again; only news is written down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from krotray_core import db, subscriptions, users
from krotray_core.models import User
from krotray_core.users import Person
from sandbox.world import World
from tests.conftest import new_user


@contextmanager
def written() -> Iterator[list[str]]:
    """The statements that changed rows."""
    found: list[str] = []

    def note(_c: object, cursor: object, statement: str, *_: object) -> None:
        if cursor.rowcount > 0 and not statement.startswith("SELECT"):  # type: ignore[attr-defined]
            found.append(statement)

    event.listen(db.engine(), "after_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(db.engine(), "after_cursor_execute", note)


def test_lost_and_back_are_news_once(user: User) -> None:
    with written() as statements:
        assert users.lost(user.telegram_id)
        since = users.find(user.telegram_id).unreachable_since
        assert since is not None
        assert not users.lost(user.telegram_id)
        assert users.find(user.telegram_id).unreachable_since == since
        assert users.back(user.telegram_id)
        assert not users.back(user.telegram_id)
        assert users.find(user.telegram_id).unreachable_since is None
    assert len(statements) == 2


@pytest.mark.usefixtures("fresh")
def test_who_never_came_is_neither_lost_nor_back() -> None:
    assert not users.lost(404)
    assert not users.back(404)


def test_who_comes_is_back_in_one_statement(user: User) -> None:
    same = Person(user.telegram_id, user.username, user.first_name, user.language_code)
    users.lost(user.telegram_id)
    with written() as statements:
        assert users.greet(same).unreachable_since is None
        assert users.greet(same).id == user.id
    assert len(statements) == 1
    users.lost(user.telegram_id)
    changed = Person(user.telegram_id, "anna", "Анна", "en")
    with written() as statements:
        greeted = users.greet(changed)
    assert len(statements) == 1
    assert (greeted.unreachable_since, greeted.username, greeted.language_code) == (None, "anna", "en")


def test_a_present_does_not_bring_anybody_back(user: User) -> None:
    users.lost(user.telegram_id)
    subscriptions.grant(user.telegram_id, 1)
    assert users.find(user.telegram_id).unreachable_since is not None


def test_names_are_found_whatever_their_case_the_newest_first(fresh: World) -> None:
    assert fresh
    first, second = new_user(), new_user()
    for user, name in ((first, "Krot_1"), (second, "krot_1")):
        users.greet(Person(user.telegram_id, name))
    assert [user.id for user in users.named("@KROT_1")] == [second.id, first.id]
    assert [user.id for user in users.named("krot_1", limit=1)] == [second.id]
    assert users.named("krot%") == users.named("") == []
