"""`flask payments refund|show|reconcile`, `flask subscriptions history`, `flask ledger verify`: what an accountant types."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
import requests
from sqlalchemy import text

from krotray_core import billing, clock, subscriptions
from krotray_core.db import transaction
from krotray_core.models import User
from sandbox.world import World
from tests.cli.kit import Admin
from tests.conftest import at_checkout, buy, new_user
from tests.refund_kit import arm, in_the_cabinet, paid

pytestmark = pytest.mark.usefixtures("fleet")


def test_a_refund_from_beginning_to_end(admin: Admin, fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    assert (
        admin("payments", "refund", payment.id, "--amount", "25.50", "--reason", "переплата") == "Возвращено: 25,50 ₽\n"
    )
    assert admin("payments", "refund", payment.id) == "Возвращено: 74,50 ₽\n"
    assert "already" in admin.fails("payments", "refund", payment.id)
    shown = admin.json("payments", "show", payment.id)
    assert (shown["status"], shown["refunded"]) == ("refunded", "100.00")
    assert [(one["status"], one["amount"]) for one in shown["refunds"]] == [
        ("succeeded", "25.50"),
        ("succeeded", "74.50"),
    ]
    assert [line["event"] for line in shown["history"]] == [
        *("created", "succeeded", "paid"),
        *("created", "succeeded", "refunded", "refunded") * 2,
    ]
    assert {line["by"] for line in shown["history"][3:]} == {shown["history"][3]["by"]}
    assert shown["history"][3]["by"].startswith("admin ")
    printed = admin("payments", "show", payment.id)
    for words in ("деньги пришли", "+30 дн.", "−25,50 ₽", "дни сняты за возврат", "переплата"):
        assert words in printed


def test_what_cannot_be_given_back(admin: Admin, fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    for amount in ("0", "-1", "100.01", "1e2", "ten", "1,5", "25.5", "NaN", "99999999999999"):
        admin.fails("payments", "refund", payment.id, f"--amount={amount}")
    admin.fails("payments", "refund", uuid4())
    admin.fails("payments", "refund", buy(new_user()).id)
    assert admin.json("payments", "show", payment.id)["refunds"] == []


def test_a_refund_that_the_bank_or_yookassa_does_not_answer(admin: Admin, fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    arm(fresh, operation="refund", kind="pending")
    assert "банк ещё не ответил" in admin("payments", "refund", payment.id, "--amount", "10")
    assert admin.json("payments", "refund", payment.id, "--amount", "10")["status"] == "succeeded"
    arm(fresh, operation="refund", kind="canceled", reason="insufficient_funds")
    assert "insufficient_funds" in admin.fails("payments", "refund", payment.id, "--amount", "10")
    arm(fresh, operation="POST /v3/refunds", kind="drop", when="after")
    assert "Не повторяйте" in admin.fails("payments", "refund", payment.id, "--amount", "10")


def test_the_history_of_every_day(admin: Admin, fresh: World, user: User) -> None:
    assert admin("subscriptions", "history", user.telegram_id) == "Ничего не было\n"
    admin("subscriptions", "grant", user.telegram_id, "--days", 3)
    payment = paid(fresh, user)
    admin("subscriptions", "revoke", user.telegram_id)
    lines = admin.json("subscriptions", "history", user.telegram_id)
    assert [(line["subject"], line["event"]) for line in lines] == [
        ("subscription", "granted"),
        ("payment", "created"),
        ("payment", "succeeded"),
        ("subscription", "paid"),
        ("subscription", "revoked"),
    ]
    assert (lines[0]["seconds"], lines[3]["seconds"]) == (3 * 86_400, 30 * 86_400)
    assert lines[3]["payment_id"] == str(payment.id)
    printed = admin("subscriptions", "history", user.telegram_id)
    assert "дни подарены" in printed
    assert f"платёж {payment.id}" in printed
    admin.fails("subscriptions", "history", 5)


@pytest.mark.writes_past_the_ledger
def test_the_ledger_is_verified(admin: Admin, user: User) -> None:
    subscriptions.grant(user.telegram_id, 3)
    assert admin("ledger", "verify") == "Книга сходится: строк 1\n"
    assert admin.json("ledger", "verify") == []
    with transaction() as session:
        session.execute(text("UPDATE subscriptions SET expires_at = expires_at + interval '1 year'"))
    result = admin.run("ledger", "verify")
    assert result.exit_code == 1
    assert "Не сходится: 1" in result.stderr
    assert "the ledger says" in result.stdout


def test_reconciliation_by_hand(admin: Admin, fresh: World, user: User) -> None:
    yesterday = (clock.now() - timedelta(days=1)).date().isoformat()
    assert admin("payments", "reconcile", "--since", yesterday).startswith("Расхождений нет")
    payment = paid(fresh, user)
    in_the_cabinet(payment, "100.00")
    tampered = buy(new_user())
    at_checkout(fresh, tampered)
    at_checkout(fresh, tampered, "tamper", amount="1.00")
    requests.post(f"{fresh.yookassa_url}/sandbox/clock", json={"advance_seconds": 0.01}, timeout=5)
    with pytest.MonkeyPatch.context() as patch:
        late = clock.now() + timedelta(minutes=2)  # what is a minute old is compared
        patch.setattr(clock, "now", lambda: late)
        result = admin.run("payments", "reconcile", "--since", yesterday, "--json")
        assert result.exit_code == 1
        again = admin.run("payments", "reconcile", "--since", f"{yesterday}T12:00:00+03:00")
    assert '"repaired": true' in result.stdout
    assert '"what": "amount"' in result.stdout
    assert billing.find(payment.id).status == "refunded"
    assert again.exit_code == 1
    assert "amount" in again.stdout
    for since in ("", "yesterday", "2026-13-01", "2026-01-01T00:00:00", "9" * 400):
        admin.fails("payments", "reconcile", "--since", since)
