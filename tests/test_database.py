"""The way into the database: transactions that do not nest, connections that survive, leases, and people made known once."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from krotray_core import db, leases, users
from krotray_core.db import in_transaction, transaction
from krotray_core.models import Lease, User
from krotray_core.users import Person
from sandbox.world import World
from tests.conftest import at_once

pytestmark = pytest.mark.usefixtures("fresh")

PID = text("SELECT pg_backend_pid()")
MINUTE = timedelta(minutes=1)


class _AnyError(Exception):
    """Whatever may go wrong."""


def people() -> list[int]:
    """The Telegram ids of all whom we know."""
    with transaction() as session:
        return list(session.scalars(select(User.telegram_id).order_by(User.telegram_id)))


def test_what_was_written_is_there_after_and_not_before() -> None:
    with transaction() as session:
        session.add(User(telegram_id=1))
        session.flush()
        assert at_once(1, lambda _: people()) == [[]]
    assert people() == [1]


@pytest.mark.parametrize("error", [_AnyError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_error_takes_all_back(error: type[BaseException]) -> None:
    with pytest.raises(error), transaction() as session:  # noqa: PT012 - what comes before the error is the point
        session.add(User(telegram_id=1))
        session.flush()
        raise error
    assert people() == []
    assert not in_transaction()


def test_an_error_of_the_database_takes_all_back() -> None:
    with pytest.raises(IntegrityError), transaction() as session:  # noqa: PT012 - likewise
        session.add(User(telegram_id=1))
        session.flush()
        session.add(User(telegram_id=1))
    assert people() == []


def test_a_transaction_inside_a_transaction_is_refused_and_the_outer_one_goes_on() -> None:
    with transaction() as session:
        assert in_transaction()
        with pytest.raises(RuntimeError, match="inside a transaction"), transaction():
            pass
        assert in_transaction()
        session.add(User(telegram_id=1))
    assert not in_transaction()
    assert people() == [1]


def test_each_thread_has_a_transaction_of_its_own() -> None:
    with transaction() as session:
        ours = session.scalar(PID)
        seen = at_once(4, lambda _: (in_transaction(), backend()))
        assert all(inside is False and pid != ours for inside, pid in seen)  # type: ignore[misc]


def backend() -> int:
    """The server process behind the next connection."""
    with transaction() as session:
        return session.scalars(PID).one()


def test_rows_can_be_read_after_the_end() -> None:
    with transaction() as session:
        user = User(telegram_id=1, first_name="Анна")
        session.add(user)
    assert (user.telegram_id, user.first_name) == (1, "Анна")
    assert user.id


def test_times_come_back_aware_and_in_utc_and_nothing_takes_forever() -> None:
    with transaction() as session:
        assert session.scalars(select(func.now())).one().utcoffset() == timedelta(0)
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert session.scalar(text(f"SHOW {name}")) not in (None, "0")


def test_a_killed_connection_is_replaced_unnoticed() -> None:
    killed = [backend()]
    with db.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as killer:
        rest = killer.scalars(
            text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        ).all()
        for pid in rest:
            killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        own = killer.scalars(PID).one()
    assert set(killed) <= {*rest, own}
    assert at_once(4, lambda _: people()) == [[]] * 4


def test_a_connection_killed_in_the_middle_takes_all_back_and_the_next_is_well() -> None:
    with pytest.raises(DBAPIError), transaction() as session:  # noqa: PT012 - likewise
        session.add(User(telegram_id=1))
        session.flush()
        pid = session.scalar(PID)
        with db.engine().connect() as killer:
            killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    assert not in_transaction()
    assert people() == []


def in_child(work: Any) -> str:
    """What `work()` answers in a forked child, which then vanishes without any cleaning up."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "nothing"
        try:
            said = str(work())
        except BaseException as error:  # whatever it is, the parent must hear of it
            said = repr(error)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own_and_leaves_ours_alone() -> None:
    db.engine().dispose()  # so that there is just the one connection
    before = backend()
    theirs = in_child(backend)
    assert theirs.isdigit(), theirs
    assert int(theirs) != before
    assert backend() == before, "the child has not closed it"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_before_the_first_use_is_well_too() -> None:
    db.engine().dispose()
    db.engine.cache_clear()
    assert in_child(backend).isdigit()
    assert backend()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_inside_a_transaction_may_have_one_of_its_own() -> None:
    with transaction() as session:
        ours = session.scalar(PID)
        theirs = in_child(backend)
        assert theirs.isdigit(), theirs
        assert int(theirs) != ours
        assert session.scalar(PID) == ours


# leases


def test_of_two_only_one_holds_a_lease_and_may_renew_it() -> None:
    assert leases.take("beat", "a", MINUTE)
    assert not leases.take("beat", "b", MINUTE)
    assert leases.take("beat", "a", 2 * MINUTE)
    assert leases.take("other", "b", MINUTE), "another name is another lease"
    with transaction() as session:
        row = session.get_one(Lease, "beat")
        left = row.until - session.scalars(select(func.now())).one()
    assert row.holder == "a"
    assert MINUTE < left <= 2 * MINUTE


def test_a_lease_that_ran_out_goes_to_the_next() -> None:
    assert leases.take("beat", "a", -MINUTE)
    assert leases.take("beat", "b", MINUTE)
    assert not leases.take("beat", "a", MINUTE)


def test_a_lease_is_given_back_by_its_holder_alone() -> None:
    leases.take("beat", "a", MINUTE)
    leases.give_back("beat", "b")
    assert not leases.take("beat", "b", MINUTE)
    leases.give_back("beat", "a")
    assert leases.take("beat", "b", MINUTE)
    leases.give_back("nothing", "a")


@pytest.mark.parametrize("ran_out", [False, True])
def test_of_many_at_the_same_moment_one_gets_it(ran_out: bool) -> None:
    if ran_out:
        leases.take("beat", "former", -MINUTE)
    start = threading.Barrier(8)

    def attempt(number: int) -> bool:
        start.wait()
        return leases.take("beat", str(number), MINUTE)

    assert sum(at_once(8, attempt)) == 1  # type: ignore[arg-type]


# people


def version(telegram_id: int = 1001) -> tuple[str, str]:
    """Changes whenever the row is written, be it with what stood there before."""
    with transaction() as session:
        found = text("SELECT xmin::text, ctid::text FROM users WHERE telegram_id = :id")
        return tuple(session.execute(found, {"id": telegram_id}).one())  # type: ignore[return-value]


ANNA = Person(1001, username="anna", first_name="Анна", language_code="ru")


def test_greeted_from_many_sides_at_once_a_person_is_known_once() -> None:
    start = threading.Barrier(8)

    def greet(_: int) -> int:
        start.wait()
        return users.greet(ANNA).id

    assert len(set(at_once(8, greet))) == 1
    assert people() == [1001]


def test_nothing_new_writes_nothing() -> None:
    first = users.greet(ANNA)
    before = version()
    written: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        written.extend([statement] * (not statement.startswith("SELECT")))

    event.listen(db.engine(), "before_cursor_execute", note)
    try:
        assert users.greet(ANNA).id == first.id
    finally:
        event.remove(db.engine(), "before_cursor_execute", note)
    assert written == []
    assert version() == before


def test_leaving_out_what_we_know_writes_nothing_either() -> None:
    """A present from an admin names only the number; somebody without a username never has one."""
    users.greet(ANNA)
    before = version()
    for person in (Person(1001), Person(1001, first_name="Анна"), Person(1001, username="anna", language_code="ru")):
        user = users.greet(person)
        assert (user.username, user.first_name, user.language_code) == ("anna", "Анна", "ru")
    assert version() == before


def test_what_changed_is_brought_up_to_date() -> None:
    before = users.greet(ANNA)
    after = users.greet(Person(1001, username="anna_k", first_name="Анна К. 🐀", language_code="en"))
    assert (after.id, after.created_at) == (before.id, before.created_at)
    assert (after.username, after.first_name, after.language_code) == ("anna_k", "Анна К. 🐀", "en")
    found = users.find(1001)
    assert (found.username, found.first_name) == ("anna_k", "Анна К. 🐀")


def test_people_with_large_numbers(fresh: World) -> None:
    assert fresh
    for telegram_id in (1, 2**31, 2**52, 2**63 - 1):
        assert users.greet(Person(telegram_id)).telegram_id == telegram_id
    assert len(people()) == 4


def test_a_read_has_no_transaction_around_it_and_leaves_the_connection_as_it_was() -> None:
    with db.reading() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        with db.engine().connect() as connection:
            asked = text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
            state = connection.execute(asked, {"pid": pid}).scalar()
        assert state == "idle", "not idle in transaction"
        with pytest.raises(RuntimeError), db.transaction():
            pass
    with suppress(ZeroDivisionError), db.transaction() as session:
        session.execute(text("CREATE TEMPORARY TABLE undone (n int)"))
        raise ZeroDivisionError
    with db.transaction() as session:
        assert session.scalar(text("SELECT to_regclass('pg_temp.undone')")) is None
