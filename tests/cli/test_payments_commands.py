"""`flask payments`, and every command while the rest of the house is away."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import requests
from sqlalchemy import select

from krotray_core import billing, provisioning, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Payment, Server
from sandbox.process import free_port
from sandbox.world import World
from tests.cli.kit import Admin, one_line, seats
from tests.conftest import at_checkout, buy, flask, new_user, run_flask


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
    assert shown.keys() == row.keys() | {"cancel_reason", "days", "refunds", "history"}
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
