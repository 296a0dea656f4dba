"""What is said anew in each transaction where a pooler stands before the database. With a real one: tests/system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from krotray_core import db, ledger_audit
from sandbox.world import World
from tests.conftest import other_settings

NAMES = "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"
ASKED = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in NAMES))


@pytest.fixture
def pooled(fresh: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine as it is behind a pooler."""
    assert fresh
    monkeypatch.setitem(db.SESSION, "statement_timeout", "300")
    with other_settings(DATABASE_POOLER="transaction"):
        yield db.engine()


def test_each_transaction_has_its_deadlines_and_leaves_none_behind(pooled: Engine) -> None:
    for _ in range(3):
        with db.transaction() as session:
            assert tuple(session.execute(ASKED).one()) == ("300ms", "5s", "30s")
            with session.begin_nested():
                assert tuple(session.execute(ASKED).one()) == ("300ms", "5s", "30s")
    raw = pooled.raw_connection()  # the same connection, as its next owner would find it
    try:
        cursor = raw.cursor()
        cursor.execute(str(ASKED))
        assert cursor.fetchone() == ("0", "0", "0")
    finally:
        raw.close()


def test_the_first_statement_has_them_too_and_nothing_more_is_sent_for_it(pooled: Engine) -> None:
    sent: list[str] = []
    event.listen(pooled, "after_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    with db.transaction() as session:
        assert session.execute(text("SELECT :n"), {"n": "50%"}).scalar() == "50%"
        session.execute(text("SELECT 2"))
    assert [statement.rpartition("; ")[2] for statement in sent] == ["SELECT %(n)s", "SELECT 2"]
    assert sent[1] == "SELECT 2"
    with pytest.raises(OperationalError, match="statement timeout"), db.transaction() as session:
        session.execute(text("SELECT pg_sleep(10)"))


def test_many_rows_at_once_and_one_unchanging_view(pooled: Engine) -> None:
    assert pooled
    with db.transaction() as session:
        rows = [{"name": f"test {number}"} for number in range(3)]
        session.execute(text("INSERT INTO marks (name, at) VALUES (:name, now())"), rows)
        assert tuple(session.execute(ASKED).one()) == ("300ms", "5s", "30s")
        session.execute(text("DELETE FROM marks WHERE name LIKE 'test %'"))
    assert ledger_audit.verify().faults == (), "SET TRANSACTION comes after, and still before the first look"
