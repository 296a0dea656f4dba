"""Moving in: whoever had a key has it still, what was paid is known, and nothing is done twice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from krotray_core import clock, ledger, ledger_audit, users
from krotray_core.errors import Invalid
from krotray_core.legacy import take_over
from krotray_core.legacy.values import LAST_END
from sandbox.world import World
from tests import legacy_kit
from tests.legacy_kit import (
    DAY,
    Old,
    again,
    aware,
    by_telegram,
    everything,
    naive,
    our_payments,
    our_servers,
    server_row,
)

pytestmark = pytest.mark.usefixtures("fresh")


@pytest.fixture(params=["sqlite", "postgres"])
def old(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Old]:
    """An old database of either kind, without rows."""
    with legacy_kit.sqlite(tmp_path) if request.param == "sqlite" else legacy_kit.postgres(world) as made:
        yield made.make()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Old]:
    """One in SQLite."""
    with legacy_kit.sqlite(tmp_path) as made:
        yield made.make()


def test_keys_ends_ids_and_places_are_kept(old: Old, fresh: World) -> None:
    old.add("servers", [server_row(fresh.nodes[0], max_users=1), server_row(fresh.nodes[1], id=2, enabled=False)])
    running = [old.person(server_id=1), old.person(server_id=1), old.person(server_id=2, uuid=uuid.uuid4().hex.upper())]
    over = old.person(runs=-DAY, server_id=1)
    report = take_over(old.url)
    assert report.remarks == []
    for row in [*running, over]:
        user, subscription, seat = by_telegram(row["telegram_id"])
        assert subscription
        assert (user.id, subscription.uuid, subscription.expires_at) == (
            row["user_id"],
            UUID(row["uuid"]),
            aware(row["expires_at"]),
        )
        assert subscription.status == ("expired" if row is over else "active")
        assert (seat and (seat.email, seat.uuid, seat.dirty)) == (
            None if row is over else (f"user_{row['user_id']}", subscription.uuid, True)
        )
    first, second = our_servers()
    assert (first.active_users, first.max_users, first.enabled) == (2, 2, True), "nobody is thrown out"
    assert (second.active_users, second.max_users, second.enabled) == (1, 50, False)
    assert first.vless_url_template == fresh.nodes[0].vless_url_template.replace("KrotRay", "{name}")
    assert any("raised from 1 to 2" in note for note in report.notes)
    newcomer = users.greet(users.Person(12345))
    assert newcomer.id > max(row["user_id"] for row in running)
    again(old)


def test_a_trial_says_the_same_and_writes_nothing(old: Old, fresh: World) -> None:
    old.add("servers", [server_row(fresh.nodes[0])])
    row = old.person(server_id=1)
    old.person(server_id=1, uuid="none")
    old.add("payments", [{"id": 1, "user_id": row["user_id"], "amount": "100.00", "status": "completed"}])
    users.greet(users.Person(row["telegram_id"]))
    before = everything()
    trial = take_over(old.url, dry_run=True)
    assert everything() == before
    real = take_over(old.url)
    assert trial.as_dict() | {"dry_run": False, "written": real.news} == real.as_dict()
    assert everything() != before


def test_payments_are_history_and_count_only_once(old: Old) -> None:
    row = old.person()
    payment = {"user_id": row["user_id"], "currency": "RUB", "tariff_months": 3, "payment_method": "sbp"}
    made = naive(clock.now() - 40 * DAY)
    given = [
        {"amount": "250.50", "status": "completed", "external_id": "2c-1", "created_at": made},
        {"amount": "100", "status": "failed", "external_id": "2c-2", "created_at": made},
        {"amount": "100", "status": "canceled", "external_id": None, "created_at": None},
        {"amount": "100", "status": "pending", "external_id": "2c-4", "created_at": naive(clock.now())},
        {"amount": "100", "status": "pending", "external_id": "2c-5", "created_at": made},
        {"amount": "100", "status": "pending", "external_id": None, "created_at": naive(clock.now())},
    ]
    old.add("payments", [payment | one for one in given])
    refused = [
        {"amount": "5", "status": "pending", "external_id": "2c-1"},  # once more
        {"amount": "5", "status": "completed", "currency": "USD"},
        {"amount": "0", "status": "completed"},
        {"amount": None, "status": "completed"},
        {"amount": "5", "status": "on the moon"},
        {"amount": "5", "status": "completed", "user_id": 999},
    ]
    old.add("payments", [payment | one for one in refused])
    report = take_over(old.url)
    assert report.counts["payments"] == {"read": 12, "added": 6, "refused": 6}
    ours = {payment.external_id: payment for payment in our_payments() if payment.external_id}
    paid = ours["2c-1"]
    assert (paid.status, paid.amount_kopecks, paid.plan_code, paid.days, paid.method) == (
        "succeeded",
        250_50,
        "3m",
        90,
        "sbp",
    )
    assert paid.paid_at == paid.created_at == aware(made)
    assert {one: ours[one].status for one in ours} == {
        "2c-1": "succeeded",
        "2c-2": "canceled",
        "2c-4": "pending",
        "2c-5": "canceled",
    }
    _, subscription, _ = by_telegram(row["telegram_id"])
    assert subscription
    assert subscription.expires_at == aware(row["expires_at"]), "its days are in the end already"
    assert {line.actor for line in ledger.of_user(row["user_id"])} == {"import"}
    assert ledger_audit.verify().faults == ()
    again(old)


def test_what_the_old_service_has_sold_since_is_added(old: Old, fresh: World) -> None:
    old.add("servers", [server_row(fresh.nodes[0])])
    renewed, gone = old.person(server_id=1), old.person(server_id=1, runs=-DAY)
    same = old.person(server_id=1)
    old.add(
        "payments",
        [
            {
                "id": 1,
                "user_id": renewed["user_id"],
                "amount": 100,
                "status": "pending",
                "external_id": "x-1",
                "tariff_months": 1,
            }
        ],
    )
    take_over(old.url)
    later = naive(clock.now() + 50 * DAY)
    old.change("subscriptions", [renewed, gone], expires_at=later)
    old.run("UPDATE subscriptions SET status = 'active'")
    old.run("UPDATE payments SET status = 'completed'")
    new = old.person(server_id=1)
    report = take_over(old.url)
    assert report.remarks == []
    assert report.counts["subscriptions"] == {"read": 4, "added": 1, "changed": 2, "same": 1}
    assert report.counts["payments"] == {"read": 1, "changed": 1}
    for row in (renewed, gone, same, new):
        _, subscription, seat = by_telegram(row["telegram_id"])
        assert subscription
        assert seat
        assert (subscription.status, subscription.uuid) == ("active", UUID(row["uuid"]))
        end = later if row in (renewed, gone) else row["expires_at"]
        assert subscription.expires_at == aware(end)
    assert our_servers()[0].active_users == 4
    assert [payment.status for payment in our_payments()] == ["succeeded"]
    again(old)


def test_a_key_changed_there_is_changed_here(file: Old, fresh: World) -> None:
    file.add("servers", [server_row(fresh.nodes[0])])
    row, key = file.person(server_id=1), uuid.uuid4()
    take_over(file.url)
    file.change("subscriptions", [row], uuid=str(key))
    assert take_over(file.url).counts["subscriptions"]["changed"] == 1
    _, subscription, seat = by_telegram(row["telegram_id"])
    assert subscription
    assert seat
    assert subscription.uuid == seat.uuid == key
    again(file)


@pytest.mark.parametrize(
    "end", ["infinity", "+infinity", 32_503_680_000_000.0, 999_999_999_999_999], ids=["infinity", "plus", "ms", "far"]
)
def test_an_end_that_never_comes_is_the_latest_that_we_allow(file: Old, end: object) -> None:
    row = file.person(expires_at=end)
    assert take_over(file.url).stops == []
    _, subscription, _ = by_telegram(row["telegram_id"])
    assert subscription
    assert (subscription.status, subscription.expires_at) == ("active", LAST_END)
    again(file)


def test_postgresql_s_own_infinity(world: World) -> None:
    with legacy_kit.postgres(world) as old:
        row, over = old.make().person(expires_at="infinity"), old.person(expires_at="-infinity")
        assert take_over(old.url).counts["subscriptions"]["refused"] == 0
        assert [by_telegram(one["telegram_id"])[1].status for one in (row, over)] == ["active", "expired"]  # type: ignore[union-attr]


@pytest.mark.parametrize("times", [1, 1000])
@pytest.mark.parametrize("kind", [int, float, str])
def test_a_number_as_the_end_is_seconds_or_milliseconds(file: Old, times: int, kind: type) -> None:
    end = (clock.now() + 9 * DAY).replace(microsecond=0)
    row = file.person(expires_at=kind(int(end.timestamp()) * times))
    assert take_over(file.url).counts["subscriptions"]["refused"] == 0
    _, subscription, _ = by_telegram(row["telegram_id"])
    assert subscription
    assert subscription.expires_at == end


@pytest.mark.parametrize(
    ("fault", "stops"),
    [
        ({"expires_at": None}, True),
        ({"expires_at": 20_415}, True),  # days since 1970, perhaps
        ({"user_id": "nobody"}, True),
        ({"user_id": 999}, True),
        ({"user_id": 999, "runs": -DAY}, False),
        ({"user_id": "nobody", "runs": -DAY}, False),
        ({"expires_at": None, "uuid": "none"}, False),
        ({"expires_at": None, "status": "expired"}, False),
    ],
)
def test_a_refused_row_of_somebody_who_is_let_in_stops_it(file: Old, fault: dict[str, Any], stops: bool) -> None:
    """Otherwise the first audit would end their key, for we would not know of it."""
    good = file.person()
    file.run("CREATE TABLE copy AS SELECT * FROM subscriptions")  # without types, so that anything fits in
    file.run("DROP TABLE subscriptions")
    file.run("ALTER TABLE copy RENAME TO subscriptions")
    bad = file.person(**fault)
    before = everything()
    trial = take_over(file.url, dry_run=True)
    report = take_over(file.url)
    assert [bool(one.stops) for one in (trial, report)] == [stops, stops]
    if stops:
        assert str(bad["id"]) in report.stops[0]
        assert report.needs_a_look
        assert everything() == before
        assert take_over(file.url, without_refused=True).stops == []
    assert by_telegram(good["telegram_id"])[1]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("DROP TABLE users", "has no table users"),
        ("ALTER TABLE subscriptions DROP COLUMN uuid", "subscriptions has no column uuid"),
    ],
)
def test_what_is_not_the_old_database_is_one_line(app: Flask, old: Old, spoil: str, complaint: str) -> None:
    old.run(spoil)
    answer = app.test_cli_runner().invoke(args=["import", "legacy", "--from", old.url])
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert complaint in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "mysql://x@y/z",
        "nonsense",
        "sqlite://",
        "sqlite:////nowhere/at.all",
        "postgresql://u:hidden@127.0.0.1:1/x",
        "sqlite:////etc/passwd",
    ],
)
def test_an_address_that_leads_nowhere(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        take_over(url)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_old_database_is_only_read(old: Old) -> None:
    """Also where it would rather not be: a view of its own that writes."""
    from krotray_core.legacy import source

    old.person()
    with source.opened(old.url) as opened, pytest.raises(Exception, match=r"(?i)read-?only"):
        opened._connection.exec_driver_sql("DELETE FROM users")


def test_tables_and_columns_may_be_missing_and_others_there(file: Old) -> None:
    row = file.person()
    file.run("DROP TABLE payments")
    file.run("ALTER TABLE servers RENAME TO machines")
    file.run("ALTER TABLE users DROP COLUMN username")
    file.run("ALTER TABLE users ADD COLUMN balance TEXT DEFAULT 'much'")
    report = take_over(file.url)
    assert sorted(report.notes) == [f"the old database has no table {name}" for name in ("payments", "servers")]
    _, subscription, _ = by_telegram(row["telegram_id"])
    assert subscription
    assert subscription.waiting_since, "paid, and there is no server: the days stand still"
    again(file)


def test_the_command_reports(app: Flask, file: Old, fresh: World) -> None:
    file.add("servers", [server_row(fresh.nodes[0])])
    row = file.person(server_id=1)
    command, runner = ["import", "legacy", "--from", file.url], app.test_cli_runner()
    trial = runner.invoke(args=["import", "legacy", "--dry-run"], env={"LEGACY_DATABASE_URL": file.url})
    assert (trial.exit_code, trial.stderr) == (0, "")
    assert "ничего не записано" in trial.stdout
    bad = file.person(server_id=1, expires_at="soon")
    before = everything()
    stopped = runner.invoke(args=command)
    assert stopped.exit_code == 1
    assert f"1 active subscriptions with a key are refused: {bad['id']}." in stopped.stderr
    assert "Ничего не записано" in stopped.stdout
    assert everything() == before
    command.append("--without-refused")
    real = runner.invoke(args=[*command, "--json"])
    assert real.exit_code == 1
    said = json.loads(real.stdout)
    assert [(one["level"], one["table"], one["id"]) for one in said["rows"]] == [
        ("refused", "subscriptions", str(bad["id"]))
    ]
    assert row["uuid"] not in real.stdout
    assert "Ничего нового" in runner.invoke(args=command).stdout
