"""Statements that are planned once for each connection: what they answer, how they fail, and that a pooler sees none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import bindparam, column, insert, select, table, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from krotray_core import (
    billing,
    cabinet,
    clock,
    db,
    delivery,
    health,
    leases,
    ledger_audit,
    placement,
    subscriptions,
)
from krotray_core.models import Payment, User
from krotray_core.prepared import Prepared, literals
from sandbox.world import World
from tests.conftest import at_checkout, buy, converge_all, new_user, other_settings

PEOPLE = Prepared("test: people", insert(User), ("telegram_id", "first_name"))
BY_ID = Prepared("test: by id", select(User.telegram_id).where(User.id == bindparam("whose", type_=User.id.type)))
SHIFTING = Prepared("test: shifting", select(column("x")).select_from(table("shifting")))
SECRET = "a first name that no log may hold"


@pytest.fixture(params=["", "transaction"], ids=["direct", "pooled"])
def pooler(request: pytest.FixtureRequest, fresh: World) -> Iterator[None]:
    """Without and with a pooler before the database, as far as we can tell."""
    assert fresh
    with other_settings(**({"DATABASE_POOLER": request.param} if request.param else {})):
        yield


@pytest.mark.usefixtures("pooler", "fleet")
def test_a_life_is_the_same_with_and_without_a_pooler(fresh: World) -> None:
    user = new_user()
    for days in (30, 60):
        payment = buy(user)
        at_checkout(fresh, payment)
        assert billing.note_hint(payment.external_id or "", "payment.succeeded").look == payment.id
        assert billing.settle(payment.id).payment.status == "succeeded"
        assert billing.note_hint(payment.external_id or "", "payment.succeeded").look is None, "that is no news"
        converge_all()
        seen = cabinet.of_user(user.id)
        assert (seen.state, seen.days_left, bool(seen.vless_url)) == ("active", days, True)
    assert not health.watch().changed
    assert delivery.send_due(2) == 0, "they have never written to our bot"
    subscriptions.set_expiry(user.telegram_id, clock.now() - timedelta(seconds=1))
    assert subscriptions.expire_due()[0] == 1
    converge_all()
    assert cabinet.of_user(user.id).vless_url is None
    subscriptions.grant(user.telegram_id, 3)  # on the chair of before
    converge_all()
    assert cabinet.of_user(user.id).vless_url
    assert not placement.anybody_to_place()
    with db.transaction() as session:
        told = session.execute(text("SELECT kind, given_up_at IS NOT NULL FROM notices")).all()
    assert {kind for kind, _ in told} == {"paid", "key_coming", "ended", "ended_yesterday", "granted"}
    assert {kind for kind, over in told if over} >= {"paid"}
    assert not ledger_audit.verify().faults
    for holder, taken in (("one", True), ("another", False)):
        assert leases.take("test", holder, timedelta(minutes=1)) is taken
    assert leases.is_held("test")
    leases.give_back("test", "one")
    assert not leases.is_held("test")


@pytest.mark.usefixtures("pooler")
def test_what_breaks_a_rule_is_an_error_of_sqlalchemys_without_what_was_sent() -> None:
    PEOPLE.rows(telegram_id=1, first_name=SECRET)
    with pytest.raises(IntegrityError) as caught:
        PEOPLE.rows(telegram_id=1, first_name=SECRET)
    assert SECRET not in str(caught.value)
    with pytest.raises(IntegrityError), db.transaction() as session:
        PEOPLE.within(session, telegram_id=1, first_name="Анна")
    with pytest.raises(DataError):
        PEOPLE.rows(telegram_id=2**63, first_name="Анна")
    with db.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM users")) == 1


@pytest.mark.usefixtures("fresh")
def test_a_plan_outlives_the_transaction_that_was_taken_back() -> None:
    db.engine().dispose()
    with pytest.raises(KeyboardInterrupt), db.transaction() as session:  # noqa: PT012 - what comes before it is the point
        PEOPLE.within(session, telegram_id=1, first_name="Анна")
        raise KeyboardInterrupt
    ((number,),) = PEOPLE.rows(telegram_id=1, first_name="Анна")
    assert BY_ID.first(whose=number) == (1,)
    assert BY_ID.first(whose=number + 1) is None


@pytest.mark.usefixtures("fresh")
def test_a_connection_that_dies_takes_its_plans_along() -> None:
    ((number,),) = PEOPLE.rows(telegram_id=1, first_name="Анна")
    assert BY_ID.rows(whose=number) == [(1,)]
    with pytest.raises(OperationalError) as caught, db.transaction() as session:  # noqa: PT012 - likewise
        mine = session.scalar(text("SELECT pg_backend_pid()"))
        _kill(mine)
        BY_ID.within(session, whose=number)
    assert caught.value.connection_invalidated
    assert BY_ID.rows(whose=number) == [(1,)], "the next one is planned anew"


def _changed(session: Session) -> None:
    """A migration changes the type of what it gives back."""
    session.execute(text("ALTER TABLE shifting ALTER x TYPE text"))


def _within() -> None:
    with db.transaction() as session:
        SHIFTING.within(session)


def _forgotten(session: Session) -> None:
    """Somebody has told the connection to forget."""
    session.execute(text("DEALLOCATE ALL"))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("what", [_changed, _forgotten])
@pytest.mark.parametrize("ask", [SHIFTING.rows, _within])
def test_a_connection_that_has_other_plans_than_we_think_fails_once(
    what: Callable[[Session], None], ask: Callable[[], object]
) -> None:
    db.engine().dispose()
    with db.transaction() as session:
        session.execute(text("CREATE TABLE shifting AS SELECT 1 AS x"))
    try:
        assert SHIFTING.rows() == [(1,)]
        with db.transaction() as session:
            what(session)
        with pytest.raises(OperationalError) as caught:
            ask()
        assert caught.value.connection_invalidated
        assert [str(x) for (x,) in SHIFTING.rows()] == ["1"]
    finally:
        with db.transaction() as session:
            session.execute(text("DROP TABLE shifting"))


@pytest.mark.usefixtures("fresh")
def test_a_time_limit_right_after_the_plan_was_made_spoils_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    db.engine().dispose()
    real = db.engine().dialect.do_execute

    def cut_short(cursor: object, statement: str, *rest: object) -> None:
        real(cursor, statement, *rest)
        if statement.startswith("PREPARE"):
            raise SoftTimeLimitExceeded

    with monkeypatch.context() as patch:
        patch.setattr(db.engine().dialect, "do_execute", cut_short)
        with pytest.raises(SoftTimeLimitExceeded):
            BY_ID.rows(whose=0)
    assert BY_ID.rows(whose=0) == []


def _kill(pid: object) -> None:
    with db.engine().connect() as another:
        assert another.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


@pytest.mark.usefixtures("fresh")
def test_what_is_pending_in_the_session_is_written_before() -> None:
    with db.transaction() as session:
        user = User(telegram_id=7)
        session.add(user)
        assert BY_ID.within(session, whose=0) == []
        assert BY_ID.within(session, whose=user.id) == [(7,)]


def test_what_would_be_planned_wrongly_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="not literal"):
        Prepared("test: a list", select(Payment.id).where(Payment.status.in_(["pending"])))
    Prepared("test: literals", select(Payment.id).where(Payment.status.in_(literals(["pending"]))))
    for word in ("it's", "a b", ""):
        with pytest.raises(ValueError, match="not a word"):
            literals([word])
    with pytest.raises(ValueError, match="too long"):
        Prepared("x" * 64, select(Payment.id))
    with pytest.raises(KeyError, match="whose"):
        BY_ID.rows()
