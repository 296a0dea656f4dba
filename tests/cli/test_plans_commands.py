"""`flask plans`: an owner changes prices without touching code."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from krotray_core import billing
from sandbox.person import Person
from tests.cli.kit import Admin
from tests.conftest import buy, flask, new_user
from tests.http_kit import create, problem


def prices(client: FlaskClient) -> dict[str, str]:
    """What the Mini App shows."""
    return {plan["code"]: plan["amount"] for plan in client.get("/api/plans").get_json()["plans"]}


def test_the_list(admin: Admin) -> None:
    month = {"code": "1m", "months": 1, "days": 30, "amount": "100.00", "currency": "RUB", "on_sale": True}
    quarter = {"code": "3m", "months": 3, "days": 90, "amount": "250.00", "currency": "RUB", "on_sale": True}
    assert admin.json("plans", "list") == [month, quarter]
    admin("plans", "withdraw", "1m")
    assert admin.json("plans", "list") == [month | {"on_sale": False}, quarter]
    shown = admin("plans", "list")
    assert len(shown.splitlines()) == 3
    assert "нет" in shown
    assert "250.00" in shown


def test_a_new_price_holds_from_now_on(admin: Admin, client: FlaskClient) -> None:
    old = buy(new_user())
    assert admin("plans", "set", "1m", "--price", "150") == "Тариф 1m: 30 дней, 100 ₽ → 150 ₽\n"
    assert prices(client) == {"1m": "150.00", "3m": "250.00"}
    new = buy(new_user())
    assert [(p.amount_kopecks, p.days) for p in (billing.find(old.id), new)] == [(100_00, 30), (150_00, 30)]
    assert admin.json("payments", "show", old.id)["amount"] == "100.00"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--price=150.00", "Тариф 1m: 30 дней, 100 ₽ → 150 ₽"),
        ("--price 99.90", "Тариф 1m: 30 дней, 100 ₽ → 99,90 ₽"),
        ("--price 100", "Тариф 1m: 30 дней, 100 ₽ (ничего не изменено)"),
        ("--price 110 --days 31", "Тариф 1m: 30 дней → 31 день, 100 ₽ → 110 ₽"),
        ("--days 28", "Тариф 1m: 30 дней → 28 дней, 100 ₽"),
        ("--months 2 --days 62 --price 180", "Тариф 1m: 1 месяц → 2 месяца, 30 дней → 62 дня, 100 ₽ → 180 ₽"),
    ],
)
def test_it_says_what_was_and_what_is(admin: Admin, options: str, said: str) -> None:
    assert admin("plans", "set", "1m", *options.split()) == f"{said}\n"


def test_a_new_tariff(admin: Admin, client: FlaskClient, person: Person) -> None:
    said = admin("plans", "set", "6m", "--months", 6, "--days", 180, "--price", "450")
    assert said == "Новый тариф 6m: 6 месяцев, 180 дней, 450 ₽\n"
    assert prices(client) == {"1m": "100.00", "3m": "250.00", "6m": "450.00"}
    assert create(client, person, {"tariff": "6m", "method": "sbp"}).status_code == 201


def test_a_length_that_people_would_misread_is_pointed_out(admin: Admin) -> None:
    result = admin.run("plans", "set", "week", "--months", 1, "--days", 7, "--price", 40)
    assert result.stdout == "Новый тариф week: 1 месяц, 7 дней, 40 ₽\n"
    assert "«1 месяц», а получает 7 дней" in result.stderr
    assert "Внимание" not in admin.run("plans", "set", "year", "--months=12", "--days=365", "--price=900").stderr


def test_withdrawn_and_offered_again(admin: Admin, client: FlaskClient, person: Person) -> None:
    result = admin.run("plans", "withdraw", "1m")
    assert result.stdout == "Тариф снят с продажи: 1m\n"
    assert "Внимание" not in result.stderr
    problem(create(client, person), 422, "unknown_tariff")
    assert prices(client) == {"3m": "250.00"}
    assert admin("plans", "set", "1m", "--price", "120") == "Тариф 1m: 30 дней, 100 ₽ → 120 ₽ (снят с продажи)\n"
    assert prices(client) == {"3m": "250.00"}
    assert admin("plans", "offer", "1m") == "Тариф продаётся: 1m, 30 дней, 120 ₽\n"
    assert prices(client) == {"1m": "120.00", "3m": "250.00"}


def test_the_last_one_goes_with_a_warning(admin: Admin, client: FlaskClient) -> None:
    admin("plans", "withdraw", "1m")
    result = admin.run("plans", "withdraw", "3m")
    assert (result.exit_code, result.stdout) == (0, "Тариф снят с продажи: 3m\n")
    assert "больше ничего не продаётся" in result.stderr
    assert prices(client) == {}


@pytest.mark.parametrize(
    "price", ["", "x", "150,00", "150.5", "-150", "1e2", "0150", " 150", "1 000", "NaN", "0", "0.99", "1000000.01"]
)
def test_what_is_no_price(admin: Admin, price: str) -> None:
    assert "price" in admin.fails("plans", "set", "1m", "--price", price)
    assert "price" in admin.fails("plans", "set", "6m", "--months=6", "--days=180", f"--price={price}")
    assert [row["amount"] for row in admin.json("plans", "list")] == ["100.00", "250.00"]


@pytest.mark.parametrize("code", ["", "1M", "месяц", "a b", "a" * 17, "1m\n", "\udcff"], ids=ascii)
def test_what_is_no_code(admin: Admin, code: str) -> None:
    admin.fails("plans", "set", code, "--price=150", "--days=30", "--months=1")
    admin.fails("plans", "withdraw", code)
    admin.fails("plans", "offer", code)
    assert len(admin.json("plans", "list")) == 2


def test_tariffs_that_are_not_there_and_numbers_that_are_none(admin: Admin) -> None:
    admin.fails("plans", "withdraw", "9m")
    admin.fails("plans", "offer", "9m")
    assert "a new one needs" in admin.fails("plans", "set", "9m", "--price", "900")
    admin.misused("plans", "set", "1m")
    admin.misused("plans", "set", "--price", "150")
    for number in ("x", "1.5", ""):
        admin.misused("plans", "set", "1m", f"--days={number}")
        admin.misused("plans", "set", "1m", f"--months={number}")
    for number in ("0", "-1", "3651", "9" * 30):
        admin.fails("plans", "set", "1m", f"--days={number}")
        admin.fails("plans", "set", "1m", f"--months={number}")
    assert [(row["days"], row["months"]) for row in admin.json("plans", "list")] == [(30, 1), (90, 3)]


@pytest.mark.usefixtures("fresh")
def test_the_real_command_and_its_line_in_the_log() -> None:
    answer = flask("plans", "set", "1m", "--price", "150")
    assert answer.stdout == "Тариф 1m: 30 дней, 100 ₽ → 150 ₽\n"
    assert "tariff 1m: 1 months, 30 days, 100.00 RUB -> 1 months, 30 days, 150.00 RUB" in answer.stderr
    assert json.loads(flask("plans", "list", "--json").stdout)[0]["amount"] == "150.00"
