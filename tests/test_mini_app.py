"""The Mini App in a real browser, at phone size: bought, paid at the checkout, and a key to copy."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from sandbox.person import Person
from sandbox.service import Service
from sandbox.world import World
from tests.chromium import executable

PHONE = {"width": 390, "height": 844}
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run"]
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=executable(playwright), args=options)
        yield made
        made.close()


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A phone's screen; any error in the page fails the test."""
    context = browser.new_context(
        viewport=PHONE, color_scheme=request.param, locale="ru-RU", permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "telegram.org" not in message.location.get("url", ""):
            errors.append(message.text)

    def no_telegram(route: Route) -> None:
        route.abort()  # the page has to work where Telegram's script does not load

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    context.route("https://telegram.org/**", no_telegram)
    yield page
    context.close()
    assert errors == []


def open_app(page: Page, world: World, person: Person) -> None:
    """Opens the Mini App as Telegram does."""
    login = f"tgWebAppData={quote(person.init_data(), safe='')}&tgWebAppVersion=8.0&tgWebAppPlatform=android"
    page.goto(f"{world.mini_app_url}#{login}")


def state(page: Page, name: str) -> None:
    """Waits until the screen shows this state."""
    expect(page.locator(f'[data-testid="state"][data-state="{name}"]')).to_be_visible(timeout=20_000)


def fits(page: Page) -> None:
    """Nothing sticks out of a phone's screen sideways."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


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
    if page.get_by_role("button", name="Подтвердить").count():
        page.get_by_role("button", name="Подтвердить").first.click()
    page.wait_for_url(f"{own_world.mini_app_url}**", timeout=20_000)

    state(page, "active")
    expect(page.get_by_test_id("days-left")).to_contain_text("90")
    expect(page.get_by_test_id("vless-url")).to_contain_text("vless://")
    fits(page)
    page.get_by_test_id("copy-vless").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == person.me()["subscription"]["vless_url"]

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
