"""A state machine over people, their subscriptions, seats and two real Xray servers.

Whatever is done in whatever order, after the workers have had their turn each Xray holds exactly those who should be on it.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select, update

from krotray_core import cabinet, clock, health, placement, provisioning, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Seat, Server, Subscription, User
from sandbox.world import World
from tests.conftest import add_server, converge_all, empty_tables, new_user

PEOPLE = 6
someone = st.integers(0, PEOPLE - 1)


def _machine(world: World) -> type[RuleBasedStateMachine]:
    class Access(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            empty_tables()
            self.servers = [add_server(node, max_users=2) for node in world.nodes]
            self.people: list[User] = [new_user() for _ in range(PEOPLE)]

        def telegram_id(self, number: int) -> int:
            return self.people[number].telegram_id

        def known(self, number: int) -> bool:
            return cabinet.of_user(self.people[number].id).subscription is not None

        @rule(number=someone, days=st.integers(1, 90))
        def pays(self, number: int, days: int) -> None:
            subscriptions.grant(self.telegram_id(number), days)

        @rule(number=someone)
        def runs_out(self, number: int) -> None:
            if self.known(number):
                subscriptions.set_expiry(self.telegram_id(number), clock.now() - timedelta(seconds=1))
                subscriptions.expire_due()

        @rule(number=someone)
        def is_revoked(self, number: int) -> None:
            if self.known(number):
                subscriptions.revoke(self.telegram_id(number))

        @rule(number=someone)
        def rotates(self, number: int) -> None:
            if self.known(number):
                subscriptions.rotate_key(self.telegram_id(number))

        @rule(which=st.integers(0, 1))
        def converges(self, which: int) -> None:
            provisioning.converge(self.servers[which].id)

        @rule(which=st.integers(0, 1))
        def worker_dies(self, which: int) -> None:
            provisioning._claim(self.servers[which].id)
            with transaction() as session:
                session.execute(update(Seat).values(leased_until=clock.now() - timedelta(seconds=1)))

        @rule(which=st.integers(0, 1))
        def xray_forgets(self, which: int) -> None:
            """What a restart does, without the wait for the process: everybody is gone, and watch has seen it."""
            xray = provisioning.client(self.servers[which])
            xray.apply([provisioning.Remove(email) for email in xray.users()])
            with transaction() as session:
                health.soil(session, self.servers[which].id, Seat.wanted.is_(True))

        @rule(which=st.integers(0, 1))
        def audits(self, which: int) -> None:
            health.audit(self.servers[which].id)

        @invariant()
        def seats_and_counters_agree(self) -> None:
            with transaction() as session:
                taken = select(func.count()).where(Seat.server_id == Server.id, Seat.wanted).scalar_subquery()
                rows = session.execute(select(Server.active_users, Server.max_users, taken)).all()
                seated = select(Seat.id).where(Seat.subscription_id == Subscription.id, Seat.wanted).exists()
                lost = select(func.count()).where(
                    Subscription.status == "active", Subscription.waiting_since.is_(None), ~seated
                )
                undue = select(func.count()).where(Subscription.status != "active", seated)
                assert session.scalar(lost) == 0, "active, not waiting, and without a seat"
                assert session.scalar(undue) == 0, "a seat without a subscription"
            assert all(active == wanted <= most for active, most, wanted in rows)

        @rule()
        def the_workers_have_their_turn(self) -> None:
            placement.seat_waiting(clock.now())
            converge_all()
            with transaction() as session:
                seats = session.scalars(select(Seat)).all()
                room = session.scalar(select(func.sum(Server.max_users - Server.active_users)))
                waiting = session.scalar(select(func.count()).where(Subscription.waiting_since.is_not(None)))
            assert not (room and waiting), "nobody waits while there is room"
            for server in self.servers:
                wanted = {seat.email: seat.uuid for seat in seats if seat.server_id == server.id and seat.wanted}
                ours = {f"user_{user.id}" for user in self.people}
                users = provisioning.client(server).users()
                holds = {email: users[email].key for email in ours & users.keys()}
                assert holds == wanted

        def teardown(self) -> None:
            self.the_workers_have_their_turn()

    return Access


@pytest.mark.timeout(300)
def test_access_is_right_after_anything(fresh: World) -> None:
    run_state_machine_as_test(
        _machine(fresh),
        settings=examples(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
