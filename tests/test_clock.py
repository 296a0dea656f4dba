"""One clock for all: the database's. A machine whose own is a minute off expires nobody early and leases nothing too long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from krotray_core import clock, db, provisioning, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Seat, Server, User
from tests.conftest import converge_all
from tests.seats_kit import give

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=[MINUTE, -MINUTE, timedelta(days=400)], ids=["fast", "slow", "by a year"])
def wrong(request: pytest.FixtureRequest, fleet: list[Server]) -> Iterator[timedelta]:
    """This machine's clock is off by so much, and its connections to the database are new."""
    assert fleet
    by: timedelta = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "local", lambda: datetime.now(UTC) + by)
        db.engine().dispose()
        yield by
    db.engine().dispose()
    with transaction() as session:
        session.scalar(select(Server.id).limit(1))
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=2)


@pytest.mark.usefixtures("wrong")
def test_it_goes_by_the_databases_clock(user: User, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        subscriptions.grant(user.telegram_id, 1)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=2)


def test_nobody_runs_out_early_or_late(user: User, wrong: timedelta) -> None:
    assert wrong
    subscriptions.grant(user.telegram_id, 1)
    subscriptions.set_expiry(user.telegram_id, datetime.now(UTC) + timedelta(seconds=20))
    assert subscriptions.expire_due()[0] == 0
    subscriptions.set_expiry(user.telegram_id, datetime.now(UTC) - timedelta(seconds=5))
    assert subscriptions.expire_due()[0] == 1


def test_a_lease_is_as_long_as_it_should_be(user: User, wrong: timedelta) -> None:
    assert wrong
    subscriptions.grant(user.telegram_id, 1)
    (server_id,) = provisioning.dirty_servers()
    provisioning._claim(server_id)
    with transaction() as session:
        until = session.scalars(select(Seat.leased_until)).one()
    assert until
    assert until - datetime.now(UTC) == pytest.approx(provisioning.LEASE, abs=timedelta(seconds=3))
    with transaction() as session:
        session.scalars(select(Seat)).one().leased_until = None
    converge_all()


@given(answers=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2), st.floats(0, 60)), min_size=1, max_size=20))
def test_however_slow_an_answer_is_it_moves_the_clock_no_further_than_it_must(
    answers: list[tuple[float, float, float]],
) -> None:
    """Each answer: how long the question was on its way, how long the answer, and the pause before."""
    begun, told, off = datetime(2026, 1, 1, tzinfo=UTC), 1000.0, None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock._Known, "compared", None)
        for there, back, pause in answers:
            asked = told + pause
            told = asked + there + back
            patch.setattr(clock, "steady", lambda at=told: at)
            clock.compare(asked, begun + timedelta(seconds=asked + there), told)
            before, off = off, clock.now() - begun - timedelta(seconds=told)
            assert abs(off) <= timedelta(seconds=(there + back) / 2 + 0.001 if before is None else there + back + 0.001)
            assert before is None or abs(off) <= abs(before) + timedelta(milliseconds=1)


def test_a_clock_that_was_set_is_followed() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock._Known, "compared", None)
        patch.setattr(clock, "steady", lambda: 1001.0)
        for moment in (datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)):
            clock.compare(1000.0, moment, 1001.0)
            assert timedelta(0) <= clock.now() - moment <= timedelta(seconds=1)


@pytest.fixture
def a_minute_fast(fleet: list[Server], user: User) -> Iterator[User]:
    """Somebody whose days end in 40 seconds; then this machine's clock is set a minute forward."""
    assert fleet
    give(user)
    subscriptions.set_expiry(user.telegram_id, datetime.now(UTC) + timedelta(seconds=40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "local", lambda: datetime.now(UTC) + timedelta(minutes=1))
        yield user


def test_the_first_thing_that_a_process_does_goes_by_the_databases_clock(a_minute_fast: User) -> None:
    assert a_minute_fast
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock._Known, "compared", None)
        db.engine().dispose()
        assert subscriptions.expire_due()[0] == 0


def test_a_clock_that_is_set_meanwhile_expires_nobody(a_minute_fast: User) -> None:
    assert a_minute_fast
    assert subscriptions.expire_due()[0] == 0
