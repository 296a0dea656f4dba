"""What once left somebody who paid outside, or somebody who did not inside: each sequence, on real Xrays."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from sqlalchemy import select, update

from krotray_core import (
    alarms,
    cabinet,
    clock,
    cutoff,
    health,
    moving,
    placement,
    provisioning,
    servers,
    settings,
    subscriptions,
)
from krotray_core.db import transaction
from krotray_core.errors import XrayError
from krotray_core.models import Notice, Seat, Server, Subscription, User
from krotray_tasks import access
from sandbox.parts import XrayNode, vpn
from sandbox.world import World
from tests.conftest import add_server, converge_all, new_user, revive
from tests.seats_kit import dirty, free_leases, give, here, people, seat_of


def in_use(server: Server, *, yes: bool) -> None:
    """Opens or closes a server without anything else happening."""
    with transaction() as session:
        session.execute(update(Server).where(Server.id == server.id).values(enabled=yes))


def test_who_comes_back_is_not_left_on_a_server_that_has_died_meanwhile(
    fresh: World, fleet: list[Server], user: User
) -> None:
    in_use(fleet[1], yes=False)
    give(user)
    converge_all()
    subscriptions.revoke(user.telegram_id)
    converge_all()
    in_use(fleet[1], yes=True)
    fresh.nodes[0].crash()
    try:
        give(user)
        assert seat_of(user).server_id == fleet[0].id, "where they were before"
        access.converge.run(fleet[0].id)
        converge_all()
        seen = cabinet.of_user(user.id)
        assert (seen.state, seen.server_name) == ("active", fleet[1].name)
    finally:
        revive(fresh.nodes[0])


def test_a_second_restart_right_after_the_first_is_mended_by_the_next_look(fresh: World, alone: Server) -> None:
    node = fresh.nodes[0]
    people(5)
    with transaction() as session:  # it has been up for a while
        session.execute(update(Server).values(started_at=Server.started_at - timedelta(minutes=5)))
    node.crash()
    revive(node)
    assert health.watch().servers == {alone.id}
    converge_all()
    node.crash()
    revive(node)
    assert here(alone) == set()
    seen = health.watch()
    for server_id in seen.doubtful:
        access.audit.run(server_id)
    converge_all()
    assert len(here(alone)) == 5
    assert health.watch() == health.Watched()


def test_an_api_without_our_service_is_as_good_as_down(fresh: World, alone: Server) -> None:
    listener = grpc.server(futures.ThreadPoolExecutor(2))
    port = listener.add_insecure_port("127.0.0.1:0")
    listener.start()
    try:
        template = fresh.nodes[0].vless_url_template
        wrong = servers.add(
            name="Wrong", host="127.0.0.1", grpc_port=port, max_users=9, inbound_tag=None, vless_url_template=template
        )
        assert wrong.is_up is False
        assert {cabinet.of_user(user.id).server_name for user in people(3)} == {alone.name}
    finally:
        listener.stop(0)


def test_who_is_refused_again_and_again_is_served_elsewhere(
    fleet: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says it is up, and takes nobody: its inbound speaks another protocol, say."""
    users = [new_user() for _ in range(4)]
    for user in users:
        give(user)
    monkeypatch.setattr(
        provisioning,
        "_send",
        lambda server, claims, send=provisioning._send: (
            [XrayError("UNKNOWN: failed to add")] * len(claims) if server.id == fleet[0].id else send(server, claims)
        ),
    )
    wanted = settings.get().model_copy(update={"admin_telegram_ids": (77,)})
    monkeypatch.setattr(settings, "get", lambda: wanted)
    for _ in range(placement.REFUSALS):
        free_leases()
        access.place.run()
        converge_all()
    access.warn.run()
    with transaction() as session:
        told = session.scalars(select(Notice).where(Notice.kind == "people_refused")).one()
    assert told.data == {"people": 2, "servers": fleet[0].name, "error": "UNKNOWN: failed to add"}
    access.place.run()
    converge_all()
    assert {cabinet.of_user(user.id).state for user in users} == {"active"}
    assert {cabinet.of_user(user.id).server_name for user in users} == {fleet[1].name}


def test_who_ran_out_while_the_server_was_away_for_a_day_is_cut_off_when_it_is_back(
    alone: Server, user: User, page: str, tmp_path: Path
) -> None:
    give(user)
    converge_all()
    url = cabinet.of_user(user.id).vless_url
    assert url
    with vpn(url, tmp_path, mux=True) as client:
        assert client.fetch(page)
        subscriptions.revoke(user.telegram_id)
        with transaction() as session:  # the API could not be reached, the VPN's own port went on
            session.execute(update(Seat).values(removed_at=clock.now() - cutoff.KEPT - timedelta(hours=1)))
        converge_all()
        assert dirty() == 0
        assert client.fetch(page) is None
    with transaction() as session:
        session.execute(update(Seat).values(gone_at=clock.now() - cutoff.KEPT - timedelta(hours=1)))
    xray = provisioning.client(alone)
    assert cutoff.rewrite(alone.id, xray) is None
    assert xray.rules() == [], "and a day later there is nobody left to cut off"


def test_a_new_key_costs_nobody_the_place_on_a_server_that_is_closed(alone: Server, user: User) -> None:
    give(user)
    converge_all()
    in_use(alone, yes=False)
    old = cabinet.of_user(user.id).vless_url
    subscriptions.rotate_key(user.telegram_id)
    converge_all()
    seen = cabinet.of_user(user.id)
    assert seen.state == "active"
    assert seen.vless_url != old


def test_a_second_new_key_does_not_readmit_who_was_cut_off_by_the_first(
    fleet: list[Server], third_node: XrayNode, user: User, page: str, tmp_path: Path
) -> None:
    add_server(third_node)
    assert fleet
    give(user)
    converge_all()
    url = cabinet.of_user(user.id).vless_url
    assert url
    with vpn(url, tmp_path, mux=True) as thief:
        assert thief.fetch(page)
        for _ in range(2):
            subscriptions.rotate_key(user.telegram_id)
            converge_all()
            assert thief.fetch(page) is None
    assert cabinet.of_user(user.id).state == "active"


@contextmanager
def holding(which: object) -> Iterator[None]:
    """Somebody stands still in the middle of a transaction with this row."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction() as session:
            session.execute(which)  # type: ignore[call-overload]
            held.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_one_row_that_somebody_holds_hides_no_other_server(fresh: World, fleet: list[Server]) -> None:
    people(4)
    with transaction() as session:
        restarted = update(Server).where(Server.id == fleet[0].id)
        session.execute(restarted.values(started_at=Server.started_at - timedelta(days=1)))
    fresh.nodes[1].process.signal(signal.SIGSTOP)
    try:
        with holding(select(Seat.id).where(Seat.server_id == fleet[0].id).limit(1).with_for_update()):
            assert health.watch().changed
        assert [server.is_up for server in servers.everyone()] == [True, False]
        assert health.watch().servers == {fleet[0].id}, "and what could not be noted is seen again"
    finally:
        fresh.nodes[1].process.signal(signal.SIGCONT)


def test_a_move_that_stands_still_stops_only_its_two_servers(fleet: list[Server], third_node: XrayNode) -> None:
    people(1)
    held, over = threading.Event(), threading.Event()

    def stands_still() -> None:
        with transaction() as session:
            subscription = session.scalars(select(Subscription).with_for_update()).one()
            assert placement.move(session, subscription, clock.now())
            held.set()
            over.wait(30)

    thread = threading.Thread(target=stands_still)
    thread.start()
    held.wait(10)
    try:
        third = add_server(third_node)
        with transaction() as session:
            free = session.scalars(select(Server.id).order_by(Server.id).with_for_update(skip_locked=True)).all()
        assert free == [third.id]
        assert fleet
    finally:
        over.set()
        thread.join()


def test_workers_that_come_back_after_an_hour_believe_no_old_outage(
    fleet: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    people(4)
    patient = settings.get().model_copy(update={"evacuate_after_seconds": 600})
    monkeypatch.setattr(settings, "get", lambda: patient)
    long_ago = clock.now() - timedelta(hours=1)
    down = update(Server).where(Server.id == fleet[0].id)
    with transaction() as session:
        session.execute(down.values(is_up=False, state_since=long_ago, checked_at=long_ago))
    assert moving.step().people == 0
    with transaction() as session:
        session.execute(down.values(checked_at=clock.now()))
    assert moving.step().people == 2


def test_an_undo_that_was_cut_short_can_be_finished(fleet: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    people(10)
    moving.evacuate(fleet[0].name)
    assert moving.step().people == 5
    move, calls = moving._move, [0]

    def dies_soon(*args: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return move(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_move", dies_soon)
        with pytest.raises(KeyboardInterrupt):
            moving.undo(fleet[0].name)
    assert moving.undo(fleet[0].name).people == 3
    assert [server.active_users for server in servers.everyone()] == [5, 5]


def test_one_wrong_counter_holds_up_nobody_elses_end(fleet: list[Server]) -> None:
    users = people(6)
    for user in users:
        subscriptions.set_expiry(user.telegram_id, clock.now() - timedelta(minutes=1))
    with transaction() as session:  # by hand, or out of a backup
        session.execute(update(Server).where(Server.id == fleet[0].id).values(active_users=1))
    assert subscriptions.expire_due()[0] == 4
    with transaction() as session:
        assert sorted(session.scalars(select(Subscription.status))) == ["active"] * 2 + ["expired"] * 4
        session.execute(update(Server).where(Server.id == fleet[0].id).values(active_users=2))
    assert subscriptions.expire_due()[0] == 2


def test_nobody_new_overtakes_who_waits(fresh: World) -> None:
    add_server(fresh.nodes[0], max_users=1)
    first, waits, new = (new_user() for _ in range(3))
    for user in (first, waits):
        give(user)
    subscriptions.revoke(first.telegram_id)
    give(new)
    access.place.run()
    converge_all()
    assert cabinet.of_user(waits.id).state == "active"
    assert cabinet.of_user(new.id).state == "provisioning"


def test_a_server_that_comes_back_and_somebody_who_leaves_do_not_lock_each_other_out(
    alone: Server, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(user)
    converge_all()
    with transaction() as session:
        session.execute(update(Server).values(is_up=False))
        session.execute(update(Seat).values(paused_until=clock.now() + timedelta(minutes=5)))
    reached, go_on, locked = threading.Event(), threading.Event(), health._locked

    def waits_for_the_other(*args: object) -> object:
        reached.set()
        go_on.wait(2)  # long enough for the other one to have its first lock
        return locked(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(health, "_locked", waits_for_the_other)
    with futures.ThreadPoolExecutor(2) as pool:
        looks = pool.submit(health.watch)
        reached.wait(10)
        leaves = pool.submit(subscriptions.revoke, user.telegram_id)
        assert leaves.result(10)
        go_on.set()
        assert looks.result(10).servers == {alone.id}


def test_admins_hear_of_each_time_that_people_wait(
    fresh: World, monkeypatch: pytest.MonkeyPatch, pass_time: Callable[[timedelta], None]
) -> None:
    wanted = settings.get().model_copy(update={"admin_telegram_ids": (77,)})
    monkeypatch.setattr(settings, "get", lambda: wanted)
    add_server(fresh.nodes[0], max_users=1)
    first, second = new_user(), new_user()
    for number in range(1, 3):
        for user in (first, second):
            give(user)
        alarms.look()
        alarms.look()
        with transaction() as session:
            kinds = session.scalars(select(Notice.kind)).all()
        assert kinds.count("people_wait") == number
        for user in (first, second):
            subscriptions.revoke(user.telegram_id)
        alarms.look()
        pass_time(alarms.PEOPLE_REST)
