"""Moving in with real Xrays: whoever was let in yesterday is let in tomorrow, whatever happens to the move."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from krotray_core import billing, health, provisioning
from krotray_core.db import transaction
from krotray_core.legacy import take_over
from krotray_core.legacy.report import Report
from krotray_core.models import User
from krotray_core.xray.client import XrayClient
from krotray_core.xray.operations import Add
from sandbox.parts import XrayNode, vpn
from sandbox.process import wait_until
from sandbox.world import ROOT, World
from tests import legacy_kit, pages
from tests.conftest import buy, converge_all, new_user
from tests.legacy_kit import Old, Row, by_telegram, everything, our_servers, said, server_row
from tests.seats_kit import dirty, held


@pytest.fixture
def node(fresh: World) -> Iterator[XrayNode]:
    """An Xray of the old service's own."""
    made = fresh.nodes[0]
    yield made
    made.crash()  # it forgets whom the old service let in
    made.start()


@pytest.fixture
def old(tmp_path: Path, node: XrayNode) -> Iterator[Old]:
    """The old database with that server in it."""
    with legacy_kit.sqlite(tmp_path) as made:
        made.make().add("servers", [server_row(node)])
        yield made


def let_in(node: XrayNode, *rows: Row) -> None:
    """As the old service did."""
    client = XrayClient(f"127.0.0.1:{node.grpc_port}", "vless-in")
    assert client.apply([Add(f"user_{row['user_id']}", UUID(row["uuid"])) for row in rows]) == [None] * len(rows)


def link(node: XrayNode, row: Row) -> str:
    """What somebody has in their program."""
    return node.vless_url_template.replace("{uuid}", row["uuid"])


def moved_in(old: Old) -> Report:
    """The takeover, and what the workers do after it."""
    report = take_over(old.url)
    converge_all()
    assert dirty() == 0
    return report


def test_nobody_notices(old: Old, node: XrayNode, page: str, tmp_path: Path) -> None:
    here, over = old.person(server_id=1), old.person(server_id=1, status="expired", runs=-legacy_kit.DAY)
    let_in(node, here, over)
    with vpn(link(node, here), tmp_path, mux=True) as connected:
        assert connected.fetch(page) == pages.TEXT
        moved_in(old)
        assert connected.fetch(page) == pages.TEXT, "the connection from before goes on"
    (server,) = our_servers()
    assert held(server)[f"user_{here['user_id']}"].key == UUID(here["uuid"])
    found = health.audit(server.id)
    assert (found.missing, found.wrong_key) == ([], [])
    assert f"user_{over['user_id']}" in found.left_over, "the old service had forgotten to take them out"
    with vpn(link(node, here), tmp_path) as anew:
        assert anew.fetch(page) == pages.TEXT


def test_who_has_only_said_hello_here_gets_the_old_id(old: Old, node: XrayNode, page: str, tmp_path: Path) -> None:
    """Their ids here are in each other's way, and somebody came by an invitation."""
    first, second, stranger = new_user(), new_user(), new_user()
    with transaction() as session:
        session.get_one(User, stranger.id).invited_by_id = first.id
    rows = [
        old.person(user=second.id, telegram_id=first.telegram_id, server_id=1),
        old.person(user=stranger.id, telegram_id=second.telegram_id, server_id=1),
    ]
    let_in(node, *rows)
    assert moved_in(old).remarks == []
    for user, row in zip((first, second), rows, strict=True):
        found, subscription, seat = by_telegram(user.telegram_id)
        assert subscription
        assert seat
        assert (found.id, seat.email) == (row["user_id"], f"user_{row['user_id']}")
        assert str(subscription.uuid) == row["uuid"]
    away = by_telegram(stranger.telegram_id)[0]
    assert away.id > max(row["user_id"] for row in rows)
    assert away.invited_by_id == rows[0]["user_id"]
    with vpn(link(node, rows[0]), tmp_path) as client:
        assert client.fetch(page) == pages.TEXT
    legacy_kit.again(old)


def test_who_has_a_history_here_keeps_the_key_under_another_name(
    old: Old, node: XrayNode, page: str, tmp_path: Path
) -> None:
    """The ledger names their id, so it stays; Xray must forget the old name first, for it would take the key along."""
    user = new_user()
    billing.cancel(buy(user).id, "not_created")
    row = old.person(telegram_id=user.telegram_id, server_id=1)
    let_in(node, row)
    report = moved_in(old)
    assert len(said(report, "users")) == 1
    (server,) = our_servers()
    assert {email: one.key for email, one in held(server).items() if email.endswith(f"_{user.id}")} == {
        f"user_{user.id}": UUID(row["uuid"])
    }
    assert health.audit(server.id).clean
    with vpn(link(node, row), tmp_path) as client:
        assert client.fetch(page) == pages.TEXT
    legacy_kit.again(old)


def test_whose_id_is_taken_for_good_gets_a_new_key(old: Old, node: XrayNode) -> None:
    taken = new_user()
    billing.cancel(buy(taken).id, "not_created")
    row = old.person(user=taken.id, server_id=1)
    let_in(node, row)
    report = moved_in(old)
    assert any("gets a new key" in reason for reason in said(report, "subscriptions"))
    user, subscription, seat = by_telegram(row["telegram_id"])
    assert subscription
    assert seat
    assert user.id > taken.id
    assert str(subscription.uuid) != row["uuid"]
    assert held(our_servers()[0])[f"user_{user.id}"].key == subscription.uuid
    legacy_kit.again(old)


def test_a_death_in_the_middle_leaves_nothing(world: World, fresh: World) -> None:
    with legacy_kit.postgres(world) as old:
        old.make().add("servers", [server_row(fresh.nodes[0])])
        rows = [old.person(server_id=1) for _ in range(3)]
        before = everything()
        old.connection.cursor().execute("LOCK TABLE payments")  # by then all the rest is written, and not committed
        command = [str(Path(sys.executable).parent / "flask"), "import", "legacy", "--from", old.url]
        victim = subprocess.Popen(command, cwd=ROOT, env=os.environ.copy())  # noqa: S603 - our own command
        wait_until(lambda: _waits(old), seconds=20, what="the import to come to the payments")
        victim.kill()
        victim.wait(10)
        old.connection.rollback()
        after = everything()
        assert {name: after[name] for name in after if name != "sequences"} == {
            name: before[name] for name in before if name != "sequences"
        }
        assert take_over(old.url).counts["users"]["added"] == len(rows)


def _waits(old: Old) -> Any:
    cursor = old.connection.cursor()
    cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
    return cursor.fetchone()


def test_a_server_whose_links_we_cannot_read_stops_it(old: Old, node: XrayNode) -> None:
    """With another flow than before, every key on it would stop opening."""
    old.person(server_id=1)
    old.run("UPDATE servers SET vless_url_template = 'vless://{uuid}@{host}:{port}?flow=xtls-rprx-vision'")
    before = everything()
    report = take_over(old.url)
    assert report.stops
    assert "port" in report.stops[0]
    assert everything() == before
    assert provisioning.dirty_servers() == []
    assert node.process.running
