"""The admins' commands: what they say, what they change, how they fail; and no key on anybody's screen."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from click.testing import Result
from flask import Flask
from sqlalchemy import func, select, update

from krotray_core import billing, clock, health, provisioning, servers, settings, subscriptions, users
from krotray_core.db import transaction
from krotray_core.models import Payment, Seat, Server, Subscription, User
from krotray_core.xray.client import Add, Remove
from sandbox.process import free_port
from sandbox.world import World
from tests.conftest import at_checkout, buy, converge_all, flask, new_user, run_flask

FIRST = {
    "XRAY_SERVER_NAME": "Main",
    "XRAY_SERVER_HOST": "127.0.0.66",
    "XRAY_GRPC_PORT": "8080",
    "XRAY_MAX_USERS": "100",
}
ADDED = "Добавлен сервер: Main 127.0.0.66:8080 (max_users=100)\n"
SERVER_COLUMNS = {
    *("name", "host", "grpc_port", "inbound_tag", "active_users", "max_users", "enabled", "up"),
    *("checked_at", "last_error"),
}
DAY = timedelta(days=1)
BIGINT = 2**63


class Admin:
    """Types commands, in this process."""

    def __init__(self, app: Flask) -> None:
        self._runner = app.test_cli_runner()

    def run(self, *arguments: object) -> Result:
        """However it ends, but never with a traceback."""
        result = self._runner.invoke(args=[str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    def __call__(self, *arguments: object) -> str:
        """One that succeeds, and what it prints."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, *arguments: object) -> Any:
        """What it says to programs."""
        return json.loads(self(*arguments, "--json"))

    def fails(self, *arguments: object) -> str:
        """One that ends with 1: a line on stderr, nothing on stdout. Returns the line."""
        result = self.run(*arguments)
        assert result.exit_code == 1, (result.exit_code, result.output)
        assert result.stdout == ""
        return one_line(result.stderr)

    def misused(self, *arguments: object) -> str:
        """One that ends with 2, the way click tells wrong usage."""
        result = self.run(*arguments)
        assert result.exit_code == 2, (result.exit_code, result.output)
        assert result.stdout == ""
        assert "Error: " in result.stderr
        return result.stderr


def one_line(stderr: str) -> str:
    """The only line of an error."""
    assert re.fullmatch(r"Error: [^\n]+\n", stderr), stderr
    return stderr


@pytest.fixture
def admin(app: Flask, fresh: World) -> Admin:
    """Somebody at the keyboard, before an empty database."""
    assert fresh
    return Admin(app)


def add(admin: Admin, name: str = "Main", host: str = "127.0.0.1", port: object = 8080, most: object = 10) -> str:
    """Adds a server that need not be there."""
    return admin("servers", "add", f"--name={name}", "--host", host, "--grpc-port", port, "--max-users", most)


def seats() -> int:
    """How many seats are taken."""
    with transaction() as session:
        return session.scalar(select(func.count()).where(Seat.wanted)) or 0


# servers


@pytest.mark.usefixtures("fresh")
def test_the_first_server_comes_from_the_settings_once() -> None:
    """Through the real command, as a deployment calls it, twice."""
    assert flask("servers", "add", "--from-env", **FIRST).stdout == ADDED
    before = flask("servers", "list", "--json").stdout
    (row,) = json.loads(before)
    assert (row["name"], row["host"], row["grpc_port"]) == ("Main", "127.0.0.66", 8080)
    assert (row["max_users"], row["active_users"], row["enabled"], row["inbound_tag"]) == (100, 0, True, "vless-in")
    again = flask("servers", "add", "--from-env", **FIRST | {"XRAY_MAX_USERS": "200"}).stdout
    assert again.startswith("Сервер уже есть, ничего не изменено: Main")
    assert flask("servers", "list", "--json").stdout == before


@pytest.mark.usefixtures("fresh")
def test_a_name_with_spaces_around_it_is_the_same_name_the_second_time() -> None:
    for _ in range(2):
        flask("servers", "add", "--from-env", **FIRST | {"XRAY_SERVER_NAME": " Main "})
    assert [server.name for server in servers.everyone()] == ["Main"]


@pytest.mark.usefixtures("fresh")
def test_half_of_the_first_server_is_none() -> None:
    answer = run_flask("servers", "add", "--from-env", **FIRST | {"XRAY_GRPC_PORT": "", "XRAY_SERVER_HOST": ""})
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "XRAY_SERVER_HOST, XRAY_GRPC_PORT" in one_line(answer.stderr)
    assert servers.everyone() == []


def test_the_line_that_operators_know(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letter by letter, with an address that is somebody's: this test must not knock there."""
    first = {
        "xray_server_name": "Main",
        "xray_server_host": "103.137.251.165",
        "xray_grpc_port": 8080,
        "xray_max_users": 100,
    }
    theirs = settings.get().model_copy(update=first)
    monkeypatch.setattr(settings, "get", lambda: theirs)
    monkeypatch.setattr(health, "look", lambda _: None)
    assert admin("servers", "add", "--from-env") == "Добавлен сервер: Main 103.137.251.165:8080 (max_users=100)\n"


def test_adding_and_listing(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "look", lambda _: None)
    assert admin.json("servers", "list") == []
    assert "Серверов нет" in admin("servers", "list")
    assert add(admin) == "Добавлен сервер: Main 127.0.0.1:8080 (max_users=10)\n"
    said = add(admin, "Six", "2001:DB8:0::1")
    assert said == "Добавлен сервер: Six [2001:db8::1]:8080 (max_users=10)\n"
    rows = admin.json("servers", "list")
    assert [row["name"] for row in rows] == ["Main", "Six"]
    assert rows[0].keys() == SERVER_COLUMNS
    assert rows[1]["host"] == "2001:db8::1"
    table = admin("servers", "list")
    assert "Main" in table
    assert "2001:db8::1" in table
    assert len(table.splitlines()) == 3


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"--name": ""}, 2),
        ({"--name": " "}, 1),
        ({"--name": "x" * 65}, 1),
        ({"--host": "10.0.0.1:8080"}, 1),
        ({"--host": "http://h"}, 1),
        ({"--host": "a b"}, 1),
        ({"--host": "-h"}, 1),
        ({"--host": ""}, 2),
        ({"--grpc-port": "0"}, 2),
        ({"--grpc-port": "65536"}, 2),
        ({"--grpc-port": "-1"}, 2),
        ({"--grpc-port": "http"}, 2),
        ({"--grpc-port": "9" * 50}, 2),
        ({"--max-users": "0"}, 2),
        ({"--max-users": "-3"}, 2),
        ({"--max-users": "1.5"}, 2),
        ({"--max-users": str(BIGINT)}, 1),
        ({"--max-users": "9" * 50}, 1),
        ({"--max-users": "9" * 5000}, 2),
        ({"--vless-url-template": "vless://{uuid}@h"}, 1),
        ({"--vless-url-template": "https://h"}, 1),
        ({"--from-env": None}, 2),
        ({"--colour": "red"}, 2),
    ],
)
def test_what_cannot_be_added(admin: Admin, change: dict[str, str | None], code: int) -> None:
    wanted = {"--name": "Main", "--host": "h.example", "--grpc-port": "8080", "--max-users": "10"} | change
    arguments = [name if value is None else f"{name}={value}" for name, value in wanted.items()]
    (admin.fails if code == 1 else admin.misused)("servers", "add", *arguments)
    assert servers.everyone() == []


def test_a_name_is_given_once(admin: Admin) -> None:
    add(admin)
    said = admin.fails("servers", "add", "--name=Main", "--host=h", "--grpc-port=1", "--max-users=1")
    assert "Main" in said
    assert len(servers.everyone()) == 1


def test_a_server_that_does_not_answer_is_added_and_named(admin: Admin) -> None:
    port = free_port()
    result = admin.run("servers", "add", "--name=Main", "--host=127.0.0.1", "--grpc-port", port, "--max-users=1")
    assert (result.exit_code, result.stdout) == (0, f"Добавлен сервер: Main 127.0.0.1:{port} (max_users=1)\n")
    assert "Сервер не отвечает" in result.stderr


ODD_NAMES = {
    "cyrillic": "Амстердам",
    "emoji": "🐀",
    "space": "New York",
    "quotes": "a'b\"c`d",
    "percent": "100%s{x}",
    "an option": "--json",
    "a path": "../etc/passwd",
    "colon": ":rat:",
    "markup": "[bold]Main[/bold]",
    "closing markup": "Main[/red]",
    "an address": "[fd00::1]",
    "long": "x" * 64,
}


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_a_server_may_be_called_anything(admin: Admin, name: str) -> None:
    assert f" {name} " in add(admin, name, port=free_port())
    assert [row["name"] for row in admin.json("servers", "list")] == [name]
    assert name in admin("servers", "list")
    assert name in admin("servers", "disable", "--", name)
    assert admin.json("servers", "list")[0]["enabled"] is False
    assert name in admin("servers", "enable", "--", name)
    assert name in admin.run("servers", "check", "--", name).stdout
    assert name in admin("servers", "remove", "--", name)
    assert name in admin.fails("servers", "remove", "--", name)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\tb", "\x7f", "a\u202eb"])
def test_a_name_that_a_terminal_would_not_show_is_refused(admin: Admin, name: str) -> None:
    admin.fails("servers", "add", f"--name={name}", "--host=h", "--grpc-port=1", "--max-users=1")


def test_what_is_stored_with_brackets_is_shown_with_brackets(admin: Admin) -> None:
    add(admin)
    said = "failed to connect to all addresses [/etc]: [grpc] gone"
    with transaction() as session:
        session.execute(update(Server).values(is_up=False, last_error=said))
    assert said in admin("servers", "list")
    assert admin.json("servers", "list")[0]["last_error"] == said


@pytest.mark.parametrize("name", ["Nowhere", "\udcff"])
@pytest.mark.parametrize("command", ["enable", "disable", "remove", "check", "audit"])
def test_a_server_that_is_not_there(admin: Admin, command: str, name: str) -> None:
    """Also one whose name is no text at all: what a terminal in another encoding sends."""
    admin.fails("servers", command, name)


def test_a_switched_off_server_takes_nobody_and_a_switched_on_one_those_who_wait(
    admin: Admin, fleet: list[Server]
) -> None:
    admin("servers", "remove", fleet[1].name)
    name = fleet[0].name
    assert f"Сервер выключен: {name}" in admin("servers", "disable", name)
    assert "ждёт места" in admin("subscriptions", "grant", 1001, "--days", 30)
    assert seats() == 0
    assert f"Сервер включён: {name}" in admin("servers", "enable", name)
    assert seats() == 1
    assert "остаётся пользователей: 1" in admin("servers", "disable", name)
    assert "1 people still have a seat" in admin.fails("servers", "remove", name)


def test_a_server_is_removed_only_when_it_knows_that_the_last_one_is_gone(admin: Admin, fleet: list[Server]) -> None:
    admin("servers", "remove", fleet[1].name)
    admin("subscriptions", "grant", 1001, "--days", 30)
    converge_all()
    admin("subscriptions", "revoke", 1001)
    assert "not confirmed" in admin.fails("servers", "remove", fleet[0].name)
    converge_all()
    assert admin("servers", "remove", fleet[0].name) == f"Сервер удалён: {fleet[0].name}\n"
    assert admin.json("servers", "list") == []


def test_checking_servers_that_are_well_and_one_that_is_not(admin: Admin, fleet: list[Server]) -> None:
    rows = admin.json("servers", "check")
    assert {row["server"] for row in rows} == {server.name for server in fleet}
    assert {row["level"] for row in rows} == {"ok"}
    assert all(row.keys() == {"server", "level", "finding"} for row in rows)
    add(admin, "Gone", port=free_port())
    assert admin("servers", "check", fleet[0].name)
    result = admin.run("servers", "check", "Gone", "--json")
    assert result.exit_code == 1
    assert [row["level"] for row in json.loads(result.stdout)] == ["ok", "failed"]
    assert admin.run("servers", "check").exit_code == 1
    with transaction() as session:
        session.execute(update(Server).where(Server.id == fleet[0].id).values(active_users=3))
    result = admin.run("servers", "check", fleet[0].name, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[0]["level"] == "failed"


def test_an_audit_names_what_it_sets_right(admin: Admin, fleet: list[Server]) -> None:
    server = fleet[0]
    admin("servers", "disable", fleet[1].name)
    admin("servers", "audit", server.name)  # other tests have left their users there
    for telegram_id in (1001, 1002):
        admin("subscriptions", "grant", telegram_id, "--days", 30)
    converge_all()
    clean = {"server": server.name, "missing": [], "wrong_key": [], "left_over": []}
    assert admin.json("servers", "audit", server.name) == clean
    missing, wrong = (users.email(users.find(telegram_id).id) for telegram_id in (1001, 1002))
    xray = provisioning.client(server)
    xray.apply([Remove(missing), Remove(wrong), Add(wrong, uuid4()), Add("user_0", uuid4()), Add("guest", uuid4())])
    found = admin.json("servers", "audit", server.name)
    assert found == {"server": server.name, "missing": [missing], "wrong_key": [wrong], "left_over": ["user_0"]}
    converge_all()
    table = admin("servers", "audit", server.name)
    assert re.findall(r"[0-9]+$", table, re.MULTILINE) == ["0", "0", "0"]
    assert "guest" in xray.users(), "users that are not ours are left alone"
    xray.apply([Remove("guest")])
    add(admin, "Gone", port=free_port())
    admin.fails("servers", "audit", "Gone")


# users and subscriptions


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


# payments


@pytest.mark.usefixtures("fleet")
def test_payments_are_listed_shown_and_settled(admin: Admin, fresh: World) -> None:
    assert admin.json("payments", "list") == []
    assert admin("payments", "list") == "Платежей нет\n"
    user = new_user()
    old, payment = buy(user), buy(user, "3m")
    rows = admin.json("payments", "list")
    assert [row["id"] for row in rows] == [str(payment.id), str(old.id)], "newest first"
    row = rows[0]
    assert (row["status"], row["amount"], row["currency"]) == ("pending", "250.00", "RUB")
    assert (row["method"], row["plan_code"], row["user_id"]) == ("card", "3m", user.id)
    assert (row["external_id"], row["paid_at"], row["flag_reason"]) == (payment.external_id, None, None)
    assert admin("payments", "settle", payment.id) == f"Платёж {payment.id}: pending\n"
    at_checkout(fresh, payment)
    assert admin("payments", "settle", payment.id) == f"Платёж {payment.id}: succeeded\n"
    assert admin("payments", "settle", payment.id) == f"Платёж {payment.id}: succeeded\n"
    assert seats() == 1
    shown = admin.json("payments", "show", payment.id)
    assert shown.keys() == row.keys() | {"cancel_reason", "days"}
    assert (shown["status"], shown["days"]) == ("succeeded", 90)
    assert datetime.fromisoformat(shown["paid_at"]).utcoffset() == timedelta(0)
    assert str(payment.id) in admin("payments", "show", payment.id)
    assert [row["id"] for row in admin.json("payments", "list", "--status", "pending")] == [str(old.id)]
    assert len(admin.json("payments", "list", "--limit", 1)) == 1
    assert len(admin("payments", "list").splitlines()) == 3


def test_a_payment_that_waits_for_a_person_says_so(admin: Admin, fresh: World) -> None:
    payment = buy(new_user())
    at_checkout(fresh, payment)
    at_checkout(fresh, payment, "tamper", amount="1.00")
    result = admin.run("payments", "settle", payment.id)
    assert result.exit_code == 0
    assert "pending (отложен: amount" in result.stdout
    assert [row["id"] for row in admin.json("payments", "list", "--flagged")] == [str(payment.id)]
    assert "amount" in admin("payments", "list", "--flagged")


def test_payments_that_are_not_there(admin: Admin) -> None:
    for command in ("show", "settle"):
        admin.fails("payments", command, uuid4())
        for text in ("", "x", "1", f"{uuid4()}x", "../me"):
            admin.misused("payments", command, text)
    admin.misused("payments", "list", "--status", "lost")
    for limit in ("0", "-1", "1001", "9" * 40, "x"):
        admin.misused("payments", "list", f"--limit={limit}")


def test_yookassa_refuses_or_is_away(admin: Admin, fresh: World) -> None:
    payment = buy(new_user())
    away = run_flask("payments", "settle", str(payment.id), YOOKASSA_API_URL=f"http://127.0.0.1:{free_port()}/v3")
    assert (away.returncode, away.stdout) == (1, "")
    one_line(away.stderr)
    requests.post(f"{fresh.yookassa_url}/sandbox/reset", timeout=5).raise_for_status()
    admin.fails("payments", "settle", payment.id)
    assert billing.find(payment.id).status == "pending"


# when the rest of the house is away


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "command",
    [
        ("servers", "list"),
        ("users", "show", "1001"),
        ("subscriptions", "grant", "1001", "--days", "30"),
        ("payments", "show", str(UUID(int=1))),
        ("db", "upgrade"),
    ],
    ids=" ".join,
)
def test_without_a_database_it_is_one_line_too(command: tuple[str, ...]) -> None:
    answer = run_flask(*command, DATABASE_URL=f"postgresql://krot:parole@127.0.0.1:{free_port()}/krotray")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "parole" not in answer.stderr
    one_line(answer.stderr)


@pytest.mark.usefixtures("fleet")
def test_without_a_broker_the_work_is_done_all_the_same() -> None:
    answer = flask("subscriptions", "grant", "1001", "--days", "30", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert answer.stdout.startswith("Дни добавлены: active")
    assert "Traceback" not in answer.stderr
    assert seats() == 1
    assert len(provisioning.dirty_servers()) == 1, "a sweep will find it"


@pytest.mark.usefixtures("fresh")
def test_the_real_command_fails_the_same_way() -> None:
    for arguments in (("servers", "enable", "Nowhere"), ("servers", "enable", "\udcff\udcfe"), ("users", "show", "1")):
        answer = run_flask(*arguments)
        assert (answer.returncode, answer.stdout) == (1, "")
        one_line(answer.stderr)
    assert run_flask("servers", "nonsense").returncode == 2


def test_extending_from_the_keyboard_and_by_paying_are_the_same(
    admin: Admin, fleet: list[Server], fresh: World
) -> None:
    assert fleet
    user = new_user()
    payment = buy(user)
    at_checkout(fresh, payment)
    admin("payments", "settle", payment.id)
    admin("subscriptions", "grant", user.telegram_id, "--days", 30)
    assert admin.json("users", "show", user.telegram_id)["days_left"] == 60
    with transaction() as session:
        assert session.scalar(select(Payment.status)) == "succeeded"
    assert subscriptions.expire_due() == (0, set())
