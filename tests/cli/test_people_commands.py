"""`flask users` and `flask subscriptions`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from krotray_core import clock, servers, users
from krotray_core.db import transaction
from krotray_core.models import Server, Subscription, User
from tests.cli.kit import BIGINT, DAY, Admin, seats
from tests.conftest import converge_all


def test_a_person_and_their_subscription(admin: Admin, fleet: list[Server]) -> None:
    assert fleet
    users.greet(users.Person(1001, username="krot", first_name="Крот [bold] :rat:"))
    row = admin.json("users", "show", 1001)
    assert (row["telegram_id"], row["username"], row["first_name"]) == (1001, "krot", "Крот [bold] :rat:")
    assert (row["state"], row["status"], row["expires_at"], row["days_left"]) == ("no_subscription", None, None, 0)
    admin("subscriptions", "grant", 1001, "--days", 30)
    converge_all()
    row = admin.json("users", "show", 1001)
    assert (row["state"], row["status"], row["days_left"]) == ("active", "active", 30)
    assert row["server"] in {server.name for server in fleet}
    assert datetime.fromisoformat(row["expires_at"]).utcoffset() == timedelta(0)
    assert row["email"] == f"user_{row['id']}"
    shown = admin("users", "show", 1001)
    assert "Крот [bold] :rat:" in shown
    assert len(shown.splitlines()) == len(row)


NUMBERS_OF_NOBODY = [0, -5, BIGINT - 1, BIGINT, -BIGINT - 1, 10**40]


@pytest.mark.parametrize("telegram_id", NUMBERS_OF_NOBODY)
def test_a_number_that_nobody_has(admin: Admin, telegram_id: int) -> None:
    soon = (clock.now() + DAY).isoformat()
    admin.fails("users", "show", "--", telegram_id)
    admin.fails("subscriptions", "set-expiry", "--", telegram_id, soon)
    admin.fails("subscriptions", "revoke", "--", telegram_id)
    admin.fails("subscriptions", "rotate-key", "--", telegram_id)


@pytest.mark.parametrize("telegram_id", [0, -5, -1001234567890, BIGINT, -BIGINT - 1, 10**40])
def test_a_number_that_nobody_can_have_gets_no_present(admin: Admin, telegram_id: int) -> None:
    result = admin.run("subscriptions", "grant", "--days", 30, "--", telegram_id)
    assert result.exit_code in (1, 2)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(User)) == 0


@pytest.mark.parametrize("telegram_id", ["", "x", "1.5", "1e5", "0x10", "@krot", "-5", "1 2", "9" * 5000])
def test_what_is_no_number(admin: Admin, telegram_id: str) -> None:
    admin.misused("users", "show", telegram_id)
    admin.misused("subscriptions", "revoke", telegram_id)


def test_days_for_somebody_who_never_wrote_to_us(admin: Admin) -> None:
    said = admin("subscriptions", "grant", 7123456789, "--days", 30)
    assert said.startswith("Дни добавлены: active, до ")
    assert admin.json("users", "show", 7123456789)["first_name"] is None
    assert "ждёт места на сервере" in said, "there is no server at all"


def test_days_add_up(admin: Admin, fleet: list[Server]) -> None:
    assert fleet
    for _ in range(2):
        admin("subscriptions", "grant", 1001, "--days", 30)
    assert admin.json("users", "show", 1001)["days_left"] == 60
    assert seats() == 1


@pytest.mark.parametrize(("days", "code"), [("0", 2), ("-1", 2), ("x", 2), ("1.5", 2), ("3651", 1), ("9" * 40, 1)])
def test_presents_of_an_odd_size(admin: Admin, days: str, code: int) -> None:
    assert admin.run("subscriptions", "grant", 1001, f"--days={days}").exit_code == code
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Subscription)) == 0
    admin.misused("subscriptions", "grant", 1001)


def subscription(telegram_id: int = 1001) -> Subscription:
    """As the database has it."""
    with transaction() as session:
        return session.scalars(select(Subscription).join(User).where(User.telegram_id == telegram_id)).one()


@pytest.mark.usefixtures("fleet")
def test_the_end_can_be_moved(admin: Admin) -> None:
    admin("subscriptions", "grant", 1001, "--days", 30)
    end = (datetime.now(UTC) + 5 * DAY).replace(microsecond=0)
    there = end.astimezone().isoformat()
    said = admin("subscriptions", "set-expiry", 1001, there)
    assert said == f"Срок изменён: active, до {end.isoformat()}\n"
    assert subscription().expires_at == end
    admin("subscriptions", "set-expiry", 1001, "2020-01-01T03:00:00+03:00")
    assert subscription().expires_at == datetime(2020, 1, 1, tzinfo=UTC)
    assert admin("subscriptions", "expire-due") == "Закончилось подписок: 1\n"
    assert subscription().status == "expired"
    assert seats() == 0
    assert admin("subscriptions", "expire-due") == "Закончилось подписок: 0\n"
    key = subscription().uuid
    admin("subscriptions", "set-expiry", 1001, end.isoformat())
    assert (subscription().status, subscription().uuid, seats()) == ("active", key, 1)


@pytest.mark.parametrize(
    "moment",
    [
        *("", " ", "tomorrow", "1735689600", "31.12.2026", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z"),
        *("2026-12-31", "2026-12-31T23:59:59", "2026-12-31T25:00:00Z", "2026-12-31T23:59:59+25:00"),
        *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "99999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"),
        *("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+00:01", "2026-12-31T23:59:59Z\n", "x" * 5000),
    ],
)
def test_a_moment_that_cannot_be(admin: Admin, moment: str) -> None:
    admin("subscriptions", "grant", 1001, "--days", 30)
    before = subscription().expires_at
    admin.fails("subscriptions", "set-expiry", 1001, moment)
    assert subscription().expires_at == before


@pytest.mark.usefixtures("fleet")
def test_access_is_taken_and_given_again(admin: Admin) -> None:
    admin("subscriptions", "grant", 1001, "--days", 30)
    assert admin("subscriptions", "revoke", 1001).startswith("Доступ отозван: revoked, до ")
    assert (subscription().status, seats()) == ("revoked", 0)
    assert admin.json("users", "show", 1001)["days_left"] == 0
    admin("subscriptions", "grant", 1001, "--days", 1)
    assert (subscription().status, seats()) == ("active", 1)


@pytest.mark.usefixtures("fleet")
def test_a_rotated_key_is_another_one_and_on_nobodys_screen(admin: Admin) -> None:
    admin("subscriptions", "grant", 1001, "--days", 30)
    converge_all()
    before = subscription()
    said = admin("subscriptions", "rotate-key", 1001)
    after = subscription()
    assert before.uuid != after.uuid
    assert before.token != after.token
    assert before.expires_at == after.expires_at
    converge_all()
    said += admin("users", "show", 1001) + admin("users", "show", 1001, "--json")
    said += admin("servers", "list") + admin("servers", "list", "--json")
    said += admin("subscriptions", "grant", 1001, "--days", 1)
    said += admin("subscriptions", "set-expiry", 1001, (clock.now() + DAY).isoformat())
    for name in [server.name for server in servers.everyone()]:
        said += admin("servers", "check", name) + admin("servers", "audit", name, "--json")
    said += admin("subscriptions", "revoke", 1001)
    for one in (before, after):
        assert str(one.uuid) not in said
        assert one.token not in said
    assert "vless://" not in said
