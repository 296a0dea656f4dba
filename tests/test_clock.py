"""One clock for all: the database's. A machine whose own is a minute off expires nobody early and leases nothing too long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from krotray_core import clock, db, provisioning, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Seat, Server, User
from tests.conftest import converge_all

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
