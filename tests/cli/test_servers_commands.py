"""`flask servers`."""

from __future__ import annotations

import json
import re
from uuid import uuid4

import pytest
from sqlalchemy import update

from krotray_core import health, provisioning, servers, settings, users
from krotray_core.db import transaction
from krotray_core.models import Server
from krotray_core.xray.operations import Add, Remove
from sandbox.process import free_port
from tests.cli.kit import ADDED, BIGINT, FIRST, SERVER_COLUMNS, Admin, add, one_line, seats
from tests.conftest import converge_all, flask, run_flask


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
    assert [row["level"] for row in json.loads(result.stdout)] == ["ok", "ok", "failed"]
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


def test_emptying_a_server_shows_how_far_it_is_and_can_be_undone(admin: Admin, fleet: list[Server]) -> None:
    for telegram_id in range(1001, 1007):
        admin("subscriptions", "grant", telegram_id, "--days", 30)
    converge_all()
    away, stays = (server.name for server in fleet)
    assert "на нём пользователей: 3" in admin("servers", "drain", away)
    admin("subscriptions", "grant", 1007, "--days", 30)
    assert "перенесено 3 из 3" in admin("servers", "evacuate", away)
    taken = {row["name"]: row["active_users"] for row in admin.json("servers", "list")}
    assert taken == {away: 0, stays: 7}
    assert "вернулись: 3" in admin("servers", "evacuate", away, "--undo")
    assert "not being evacuated" in admin.fails("servers", "evacuate", away, "--undo")
    admin("servers", "change", stays, "--max-users", 5)
    assert "остались: 2" in admin.run("servers", "evacuate", away).stderr
    assert "снова принимает" in admin("servers", "drain", away, "--off")


def test_changing_a_server(admin: Admin, fleet: list[Server]) -> None:
    name = fleet[0].name
    admin("subscriptions", "grant", 1001, "--days", 30)
    converge_all()
    assert "max_users=7" in admin("servers", "change", name, "--max-users", 7)
    result = admin.run("servers", "change", name, "--grpc-port", free_port())
    assert result.exit_code == 0
    assert "не отвечает" in result.stderr
    row = next(row for row in admin.json("servers", "list") if row["name"] == name)
    assert (row["up"], row["max_users"]) == (False, 7)
    assert "another server is at that address" in admin.fails(
        "servers", "change", name, "--grpc-port", fleet[1].grpc_port
    )
    for wrong in ((), ("--plain", "--tls-ca", "ca.pem"), ("--tls-cert", "cert.pem"), ("--max-users", 0)):
        admin.misused("servers", "change", name, *wrong)
    assert "no server named" in admin.fails("servers", "change", "Nowhere", "--max-users", 7)
