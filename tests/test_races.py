"""Many hands at once: no deadlock, and at the end everybody is where they should be, and gets a page through."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError

from krotray_core import cabinet, clock, cutoff, health, placement, provisioning, servers, subscriptions
from krotray_core.db import transaction
from krotray_core.errors import NotFound, XrayUnavailable
from krotray_core.models import Seat, Server, User
from krotray_core.xray.operations import Outcome
from sandbox.parts import vpn
from sandbox.world import World
from tests import pages
from tests.conftest import add_server, at_once, converge_all, new_user

STORM_SECONDS = 15
HANDS = 10


def works(user: User, page: str, folder: Path) -> bool:
    """Whether the user's key, as they see it, opens a page through a real VPN client."""
    seen = cabinet.of_user(user.id)
    assert seen.vless_url, seen.state
    with vpn(seen.vless_url, folder) as client:
        return client.fetch(page) == pages.TEXT


def test_renewed_between_the_rule_and_its_record(
    fresh: World, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule holds the e-mail, and nobody has noted that yet: the renewal must still take it out."""
    server, user = add_server(fresh.nodes[0]), new_user()
    subscriptions.grant(user.telegram_id, 30)
    provisioning.converge(server.id)
    subscriptions.revoke(user.telegram_id)
    real, renewals = provisioning._record, []

    def renewed_first(claims: list[provisioning.Claim], outcomes: list[Outcome]) -> None:
        if not renewals:
            renewals.append(subscriptions.grant(user.telegram_id, 30))
        real(claims, outcomes)

    monkeypatch.setattr(provisioning, "_record", renewed_first)
    provisioning.converge(server.id)
    assert works(user, page, tmp_path)


def test_renewed_after_somebody_elses_removal_wrote_the_rule(
    fresh: World, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, first, second = add_server(fresh.nodes[0]), new_user(), new_user()
    for user in (first, second):
        subscriptions.grant(user.telegram_id, 30)
    provisioning.converge(server.id)
    for user in (first, second):
        subscriptions.revoke(user.telegram_id)
    monkeypatch.setattr(provisioning, "BATCH", 1)
    claims = provisioning._claim(server.id)
    provisioning._record(claims, provisioning._send(server, claims))  # writes both into the rule
    subscriptions.grant(second.telegram_id, 30)
    provisioning.converge(server.id)
    assert works(second, page, tmp_path)


def test_watch_and_revoke_do_not_lock_each_other_out(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    add_server(fresh.nodes[0])
    user = new_user()
    subscriptions.grant(user.telegram_id, 30)
    converge_all()
    with transaction() as session:  # looks like a restart to watch
        session.execute(update(Server).values(started_at=Server.started_at - timedelta(days=1)))
    real, locked = health.soil, threading.Event()

    def slow(*arguments: object) -> int:
        count = real(*arguments)  # type: ignore[arg-type]
        locked.set()
        return count

    monkeypatch.setattr(health, "soil", slow)

    def hand(number: int) -> None:
        if number:
            locked.wait(5)
            subscriptions.revoke(user.telegram_id)
        else:
            health.watch()

    at_once(2, hand)
    converge_all()
    assert cabinet.of_user(user.id).state == "expired"


@pytest.mark.timeout(180)
def test_a_storm_of_everything_at_once(fresh: World) -> None:
    for node in fresh.nodes:
        add_server(node, max_users=12)
    people = [new_user() for _ in range(30)]
    ids = [server.id for server in servers.everyone()]
    failures: Counter[str] = Counter()
    end = time.monotonic() + STORM_SECONDS

    def act(dice: random.Random) -> None:
        telegram_id = dice.choice(people).telegram_id
        actions = (
            lambda: subscriptions.grant(telegram_id, dice.choice([1, 30])),
            lambda: subscriptions.grant(telegram_id, 30),
            lambda: subscriptions.revoke(telegram_id),
            lambda: subscriptions.rotate_key(telegram_id),
            lambda: subscriptions.set_expiry(telegram_id, clock.now() + timedelta(seconds=dice.choice([-5, 5, 9999]))),
            subscriptions.expire_due,
            lambda: provisioning.converge(dice.choice(ids)),
            lambda: provisioning.converge(dice.choice(ids)),
            lambda: placement.seat_waiting(clock.now()),
            lambda: health.audit(dice.choice(ids)),
            health.watch,
        )
        dice.choice(actions)()

    def hand(number: int) -> None:
        dice = random.Random(number)  # noqa: S311 - a storm, not a secret
        while time.monotonic() < end:
            try:
                act(dice)
            except (NotFound, XrayUnavailable):  # nobody yet, or another hand writes the rule
                continue
            except SQLAlchemyError as error:
                failures[f"{type(getattr(error, 'orig', error)).__name__}: {error}"] += 1

    at_once(HANDS, hand)
    assert not failures
    settle_down()
    with transaction() as session:
        taken = select(func.count()).where(Seat.server_id == Server.id, Seat.wanted).scalar_subquery()
        rows = session.execute(select(Server.active_users, Server.max_users, taken)).all()
        seats = session.scalars(select(Seat)).all()
    assert all(active == wanted <= most for active, most, wanted in rows)
    for server in servers.everyone():
        xray = provisioning.client(server)
        held = xray.users()
        wanted = {seat.email: seat.uuid for seat in seats if seat.server_id == server.id and seat.wanted}
        ours = {seat.email for seat in seats}
        assert {email: held[email].key for email in ours & held.keys()} == wanted
        blocked = set(cutoff._emails(server.id))
        assert not blocked & wanted.keys()
        assert not [s.email for s in seats if s.server_id == server.id and s.wanted and s.cut_off]


def settle_down() -> None:
    """What the sweeps do once the storm is over and all leases have run out."""
    for _ in range(4):
        with transaction() as session:
            session.execute(update(Seat).values(leased_until=None, paused_until=None))
            session.execute(update(Server).values(rule_leased_until=None))
        subscriptions.expire_due()
        placement.seat_waiting(clock.now())
        converge_all()
    assert provisioning.dirty_servers() == []
