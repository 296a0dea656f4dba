"""A whole purchase where a receipt is due, in the Mini App and in the chat: the address is asked for once and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from sandbox.person import Person
from sandbox.service import Service
from sandbox.world import World
from tests import bot_kit
from tests.browser.app_kit import fits, open_app, phone, reached_checkout, state
from tests.test_receipts_screens import CONSENT, modes

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose YooKassa takes no payment without a receipt."""
    made = World(tmp_path_factory.mktemp("receipts"))
    modes(made, receipt_required=True)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(own_world: World) -> Iterator[Service]:
    """The running service."""
    codes = {"RECEIPT_VAT_CODE": "1", "RECEIPT_CONSENT": CONSENT}
    made = Service(own_world, processes=("web", "worker", "beat", "bot"), settings=codes)
    made.add_servers(own_world)
    yield made
    made.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone's screen."""
    with phone(browser) as made:
        yield made


def test_the_mini_app_asks_for_the_address_and_keeps_it(page: Page, own_world: World, service: Service) -> None:
    person = Person(own_world)
    open_app(page, own_world, person)
    state(page, "no_subscription")
    field, wrong = page.get_by_label("E-mail для чека"), page.get_by_test_id("email-wrong")
    expect(page.get_by_test_id("consent")).to_have_text(CONSENT)
    link = page.get_by_test_id("consent").get_by_role("link")
    assert link.get_attribute("href") == "https://krotray.example/privacy"
    fits(page)

    page.get_by_test_id("plan-3m").click()
    page.get_by_test_id("pay").click()
    expect(wrong).to_contain_text("Укажите e-mail")
    expect(field).to_be_focused()
    field.fill("anna@localhost")
    expect(wrong).to_be_hidden()
    field.press("Enter")
    expect(wrong).to_contain_text("Не похоже на e-mail")
    expect(field).to_have_attribute("aria-invalid", "true")
    fits(page)
    assert person.me()["state"] == "no_subscription"

    field.fill(" Anna@Example.com ")
    page.get_by_test_id("pay").click()
    external_id = reached_checkout(page, own_world)
    person.pay(page.url)
    me = person.wait_for("active")
    assert me["user"]["receipt_email"] == "Anna@example.com"
    assert me["subscription"]["tariff_months"] == 3
    page.goto(own_world.mini_app_url)
    page.get_by_test_id("renew").click()
    expect(field).to_have_value("Anna@example.com")
    history = json.loads(service.flask("payments", "list", "--json"))
    assert external_id
    assert [row["status"] for row in history] == ["succeeded"]


def test_in_the_chat_a_whole_purchase_with_a_receipt(own_world: World, service: Service) -> None:
    maria = bot_kit.Person(own_world.telegram_url, 700_100_200, "ru")
    maria.write("/buy")
    maria.hears("На сколько", seconds=30)
    maria.press("plan:1m:1-30-10000")
    maria.hears("Как вам удобнее")
    maria.press("pay:1m:1-30-10000:sbp")
    maria.hears("На какой e-mail прислать чек?")
    maria.write("мария@")
    maria.hears("Не похоже на e-mail")
    maria.write("maria@example.com")
    maria.hears("Чек пришлём на maria@example.com")
    maria.press("pay:1m:1-30-10000:sbp")
    offer = maria.hears("Чек придёт на maria@example.com")
    url = next(b["opens"] for row in offer["buttons"] for b in row if "opens" in b)
    requests.post(f"{own_world.yookassa_url}/sandbox/payments/{url.rpartition('/')[2]}/pay", timeout=10)
    Person(own_world, maria.id).wait_for("active")
    maria.press("Проверить оплату", offer)
    maria.sees("Оплата прошла, спасибо.")
    said = service.process.log.read_text()
    assert "maria@" not in said
    assert "мария@" not in said
    assert str(maria.id) not in said
