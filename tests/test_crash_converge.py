"""kill -9 between every two steps of converge: whatever is left, the next one makes the Xray hold exactly whom it should."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from krotray_core import clock, provisioning, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Seat, Server, User
from krotray_core.xray.operations import CUTOFF_PREFIX
from tests.conftest import new_user
from tests.crash_kit import Deathbed, Victim, deaths
from tests.seats_kit import dirty, free_leases, here

FEWEST, MOST = 60, 400  # steps


def one_comes_one_goes(server: Server, leaving: User) -> None:
    """Somebody new is to be let in, and one who is there is to go: an add, a removal and a new cut-off rule."""
    with transaction() as session:  # what the dead left undone is theirs until the end, but for the rule
        session.execute(update(Seat).where(Seat.dirty).values(leased_until=clock.now() + timedelta(hours=1)))
        session.execute(update(Server).where(Server.id == server.id).values(rule_leased_until=None))
    subscriptions.grant(new_user().telegram_id, 30)
    subscriptions.revoke(leaving.telegram_id)


@pytest.mark.timeout(300)
def test_a_worker_killed_at_any_step_of_converge(alone: Server) -> None:
    there = [new_user() for _ in range(MOST + 1)]
    for user in there:
        subscriptions.grant(user.telegram_id, 30)
    provisioning.converge(alone.id)
    with Deathbed() as bed:
        one_comes_one_goes(alone, there.pop())
        points = bed.points("converge", alone.id)
        assert FEWEST < len(points) <= MOST
        missed = []
        for point in deaths(points):
            one_comes_one_goes(alone, there.pop())
            if bed.kill("converge", [Victim((alone.id,), point)]) != [True]:
                missed.append(point)
    print(f"converge: {len(points)} points, {len(missed)} missed")
    assert missed == []
    assert dirty() > len(deaths(points)), "each left something undone"
    free_leases()
    with transaction() as session:
        session.execute(update(Server).values(rule_leased_until=None))
    assert not provisioning.converge(alone.id).more
    assert dirty() == 0
    with transaction() as session:
        wanted = set(session.scalars(select(Seat.email).where(Seat.wanted)))
        counted = session.get_one(Server, alone.id).active_users
    assert counted == len(wanted)
    assert here(alone) == wanted
    rules = [tag for tag in provisioning.client(alone).rules() if tag.startswith(CUTOFF_PREFIX)]
    assert len(rules) == 1, "one rule, whoever died while writing theirs"
