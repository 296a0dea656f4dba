"""The Mini App in a real browser, at phone size: bought, paid at the checkout, and a key to copy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from krotray_core import reasons
from sandbox.person import Person
from sandbox.service import Service
from sandbox.world import World
from tests.browser.app_kit import copied, fits, open_app, phone, reached_checkout, state

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of this module's own."""
    made = World(tmp_path_factory.mktemp("miniapp"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(own_world: World) -> Iterator[Service]:
    """The running service."""
    made = Service(own_world, processes=("web", "worker", "beat"))
    made.add_servers(own_world)
    yield made
    made.stop()


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A phone's screen by day and by night."""
    with phone(browser, scheme=request.param) as made:
        yield made


@pytest.fixture
def by_day(browser: Browser) -> Iterator[Page]:
    """A phone's screen."""
    with phone(browser) as made:
        yield made


@pytest.fixture
def prices(service: Service) -> Iterator[Service]:
    """The service, whose tariffs are the first ones again after the test."""
    yield service
    sql(service, "UPDATE plans SET amount_kopecks = 10000, days = 30, on_sale = true WHERE code = '1m'")
    sql(service, "UPDATE plans SET amount_kopecks = 25000, days = 90, on_sale = true WHERE code = '3m'")


def test_from_nothing_to_a_key(page: Page, own_world: World, service: Service) -> None:
    person = Person(own_world)
    open_app(page, own_world, person)
    state(page, "no_subscription")
    assert "tgWebAppData" not in page.url, "the login does not stay in the address"
    assert page.locator("html").get_attribute("lang") == "ru"
    expect(page.get_by_test_id("plan-3m")).to_contain_text("250")
    fits(page)
    page.get_by_test_id("plan-3m").click()
    page.get_by_test_id("method-card").click()
    page.get_by_test_id("pay").click()

    page.wait_for_url(f"{own_world.yookassa_url}/checkout/*")
    expect(page.locator("body")).to_contain_text("250")
    fits(page)
    page.get_by_role("button", name="Оплатить").first.click()
    page.wait_for_url(f"{own_world.mini_app_url}**", timeout=20_000)

    state(page, "active")
    expect(page.get_by_test_id("days-left")).to_contain_text("90")
    fits(page)
    page.get_by_test_id("to-key").click()
    expect(page.get_by_test_id("vless-url")).to_contain_text("vless://")
    fits(page)
    assert copied(page, "copy-vless") == person.me()["subscription"]["vless_url"]

    service.flask("subscriptions", "revoke", str(person.telegram_id))
    page.reload()
    state(page, "expired")
    fits(page)


def test_begun_on_another_device_it_can_be_paid_here(page: Page, own_world: World, service: Service) -> None:
    assert service
    person = Person(own_world)
    payment = person.buy()
    open_app(page, own_world, person)
    state(page, "payment_pending")
    page.get_by_test_id("go-pay").click()
    page.wait_for_url(payment["confirmation_url"])


def test_without_telegram_and_with_an_old_login_there_is_a_way_on(
    page: Page, own_world: World, service: Service
) -> None:
    assert service
    page.goto(own_world.mini_app_url)
    state(page, "outside")
    expect(page.locator("body")).to_contain_text("Telegram")
    fits(page)


# --- when it does not come to a payment ---


def at_yookassa(world: World, external_id: str, action: str, **body: object) -> None:
    """Something happens to a payment."""
    url = f"{world.yookassa_url}/sandbox/payments/{external_id}/{action}"
    requests.post(url, json=body, timeout=10).raise_for_status()


def bills(service: Service, person: Person) -> list[str]:
    """The states of this person's payments, the newest first."""
    statement = (
        "SELECT p.status FROM payments p JOIN users u ON u.id = p.user_id WHERE u.telegram_id = %s"
        " ORDER BY p.created_at DESC"
    )
    return [status for (status,) in sql(service, statement, person.telegram_id)]


def sql(service: Service, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """A statement in the service's database: quicker than a command."""
    connecting = contextlib.closing(psycopg2.connect(service.environment["DATABASE_URL"]))
    with connecting as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def test_a_canceled_payment_says_why_and_can_be_tried_again(by_day: Page, own_world: World, service: Service) -> None:
    page, person = by_day, Person(own_world)
    bought = person.buy("3m", "card")
    open_app(page, own_world, person)
    state(page, "payment_pending")
    at_yookassa(own_world, bought["confirmation_url"].rpartition("/")[2], "cancel", reason="insufficient_funds")
    state(page, "payment_canceled")  # by itself
    expect(page.get_by_test_id("why")).to_have_text(reasons.RU["insufficient_funds"])
    expect(page.get_by_test_id("order")).to_contain_text("3 месяца, 250 ₽")
    fits(page)
    assert person.me()["state"] == "no_subscription", "nobody waits for it any more"
    assert page.evaluate("Object.keys(localStorage)") == []

    page.get_by_test_id("again-sbp").click()
    external_id = reached_checkout(page, own_world)
    assert bills(service, person) == ["pending", "canceled"]
    at_yookassa(own_world, external_id, "cancel", reason="a_reason_of_tomorrow")
    page.goto(own_world.mini_app_url)
    state(page, "payment_canceled")
    expect(page.get_by_test_id("why")).to_contain_text("деньги не списаны")
    page.get_by_test_id("other").click()
    state(page, "no_subscription")
    expect(page.get_by_test_id("plan-3m").get_by_role("radio")).to_be_checked()
    expect(page.get_by_test_id("method-sbp").get_by_role("radio")).to_be_checked()


def test_nothing_is_bought_at_a_price_that_was_not_seen(by_day: Page, own_world: World, prices: Service) -> None:
    page, person = by_day, Person(own_world)
    open_app(page, own_world, person)
    page.get_by_test_id("plan-1m").click()
    page.get_by_test_id("method-card").click()
    for change in ("amount_kopecks = 15000", "days = 29"):
        sql(prices, f"UPDATE plans SET {change} WHERE code = '1m'")  # noqa: S608
        page.get_by_test_id("pay").click()
        notice = page.locator(".notice")
        expect(notice).to_contain_text("Тарифы изменились, деньги не списаны")
        expect(notice).to_be_in_viewport()
        page.reload()
        page.get_by_test_id("method-card").click()
    assert bills(prices, person) == []

    sql(prices, "UPDATE plans SET amount_kopecks = 16000 WHERE code = '1m'")
    page.get_by_test_id("pay").click()
    expect(page.get_by_test_id("plan-1m")).to_contain_text("160")
    expect(page.get_by_test_id("method-card").get_by_role("radio")).to_be_checked()
    page.get_by_test_id("pay").click()
    reached_checkout(page, own_world)
    expect(page.locator("body")).to_contain_text("160")
    assert bills(prices, person) == ["pending"]


def test_a_canceled_payment_is_not_tried_again_at_another_price(
    by_day: Page, own_world: World, prices: Service
) -> None:
    page, person = by_day, Person(own_world)
    bought = person.buy("1m", "card")
    sql(prices, "UPDATE plans SET amount_kopecks = 15000 WHERE code = '1m'")
    open_app(page, own_world, person)
    state(page, "payment_pending")
    at_yookassa(own_world, bought["confirmation_url"].rpartition("/")[2], "cancel", reason="card_expired")
    state(page, "payment_canceled")
    expect(page.get_by_test_id("order")).to_contain_text("100 ₽")
    page.get_by_test_id("again").click()
    expect(page.locator(".notice")).to_contain_text("Тарифы изменились")
    assert bills(prices, person) == ["canceled"]


def test_an_empty_shop_is_no_dead_end(by_day: Page, own_world: World, prices: Service) -> None:
    page, person = by_day, Person(own_world)
    open_app(page, own_world, person)
    state(page, "no_subscription")
    sql(prices, "UPDATE plans SET on_sale = false")
    page.get_by_test_id("pay").click()
    state(page, "nothing_on_sale")
    page.reload()
    state(page, "nothing_on_sale")
    prices.flask("subscriptions", "grant", str(person.telegram_id), "--days", "3")
    person.wait_for("active")
    page.reload()
    state(page, "active")
    page.get_by_test_id("renew").click()
    state(page, "nothing_on_sale")
    fits(page)
    page.get_by_test_id("refresh").click()
    expect(page.get_by_test_id("refresh")).to_be_enabled()
    page.get_by_test_id("back").click()
    state(page, "active")
    page.get_by_test_id("renew").click()
    sql(prices, "UPDATE plans SET on_sale = true WHERE code = '3m'")
    page.get_by_test_id("refresh").click()
    state(page, "buy")
    expect(page.get_by_test_id("pay")).to_contain_text("250")


def test_too_many_open_bills_lead_to_one_of_them(by_day: Page, own_world: World, prices: Service) -> None:
    page, person = by_day, Person(own_world)
    open_app(page, own_world, person)
    state(page, "no_subscription")
    opened = [person.buy(code, method) for code in ("1m", "3m") for method in ("sbp", "card")]
    sql(prices, "UPDATE plans SET amount_kopecks = 10100 WHERE code = '1m'")
    opened.append(person.buy("1m", "sbp"))
    sql(prices, "UPDATE plans SET amount_kopecks = 25100 WHERE code = '3m'")
    page.reload()
    page.get_by_test_id("other").click()
    page.get_by_test_id("plan-3m").click()
    page.get_by_test_id("pay").click()
    expect(page.get_by_test_id("fault")).to_contain_text("несколько неоплаченных счетов")
    fits(page)
    assert len(bills(prices, person)) == 5
    page.get_by_test_id("bill").click()
    state(page, "payment_pending")
    expect(page.get_by_test_id("order")).to_contain_text("101")
    page.get_by_test_id("go-pay").click()
    page.wait_for_url(opened[-1]["confirmation_url"])


def test_who_asks_too_often_is_told_when_to_come_back(by_day: Page, own_world: World, service: Service) -> None:
    assert service
    page, person = by_day, Person(own_world)
    open_app(page, own_world, person)
    state(page, "no_subscription")
    for _ in range(20):
        person.buy("1m", "card")
    page.get_by_test_id("pay").click()
    fault = page.get_by_test_id("fault")
    expect(fault).to_contain_text("Слишком много попыток подряд. Деньги не списаны: попробуйте ещё раз через")
    expect(fault).to_contain_text("секунд")
    fits(page)


def test_money_that_went_back_is_said_when_it_is_seen(by_day: Page, own_world: World, service: Service) -> None:
    page, person = by_day, Person(own_world)
    open_app(page, own_world, person)
    page.get_by_test_id("pay").click()
    external_id = reached_checkout(page, own_world)
    at_yookassa(own_world, external_id, "pay")
    person.wait_for("active")
    ((payment_id,),) = sql(service, "SELECT id::text FROM payments WHERE external_id = %s", external_id)
    service.flask("payments", "refund", payment_id, "--amount", "40")
    assert person.payment(payment_id)["refunded_amount"] == "40.00"
    open_app(page, own_world, person)
    state(page, "active")
    expect(page.locator(".notice")).to_contain_text("Из этой оплаты 40 ₽ вернулись вам")
