"""The Mini App in a real browser, at phone size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from sandbox.person import Person
from sandbox.world import World
from tests.chromium import executable

PHONE = {"width": 390, "height": 844}
REFUSABLE = "/api/payments/create"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser."""
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run"]
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=executable(playwright), args=options)
        yield made
        made.close()


@contextmanager
def phone(browser: Browser, *, scheme: str = "light") -> Iterator[Page]:
    """A phone's screen; any error in the page fails the test, but for a payment that is refused."""
    context = browser.new_context(
        viewport=PHONE, color_scheme=scheme, locale="ru-RU", permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        url = message.location.get("url", "")
        if message.type == "error" and "telegram.org" not in url and not url.endswith(REFUSABLE):
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


def reached_checkout(page: Page, world: World) -> str:
    """Waits for the checkout's page, and returns YooKassa's id of the payment."""
    page.wait_for_url(f"{world.yookassa_url}/checkout/*", timeout=20_000)
    return page.url.rpartition("/")[2]
