"""The Mini App in a real browser, at phone size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote
from uuid import UUID

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from krotray_core import billing, subscriptions
from sandbox.person import Person
from sandbox.process import wait_until
from sandbox.world import ROOT, World
from tests.browser.chromium import executable
from tests.conftest import at_checkout, converge_all

expect.set_options(timeout=10_000)

# What Telegram puts around the page, for which a test looks at window.asked.
TELEGRAM_SCRIPT = (ROOT / "tests/browser/telegram_script.js").read_text()
PHONE = {"width": 390, "height": 844}
SERIOUS = """axe.run({resultTypes: ["violations"]}).then(({violations}) => violations
    .filter(({impact}) => impact === "serious" || impact === "critical")
    .map(({id, nodes}) => [id, nodes.map(({html}) => html)]))"""
# Somebody comes back after a minute: the page's clock has moved, and it is in view again.
BACK = """() => {
  const real = Date.now;
  Date.now = () => real() + 60_000;
  document.dispatchEvent(new Event("visibilitychange"));
  Date.now = real;
}"""
TARGETS = "button, a.button, summary, label, input:not(.for-ears)"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser."""
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run"]
    options.append("--disable-features=LocalNetworkAccessChecks")  # frames from elsewhere, on loopback
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=executable(playwright), args=options)
        yield made
        made.close()


@contextmanager
def phone(
    browser: Browser,
    *,
    scheme: str = "light",
    refusable: tuple[str, ...] = ("/api/payments/create",),
    script: str | None = None,
    **options: Any,
) -> Iterator[Page]:
    """A phone's screen; any error in the page fails the test, but for a call to one of these addresses that is refused.

    `script` is what comes in place of Telegram's own; by default none does.
    """
    usual: dict[str, Any] = {"viewport": PHONE, "color_scheme": scheme, "locale": "ru-RU"}
    usual["permissions"] = ["clipboard-read", "clipboard-write"]
    context = browser.new_context(**usual | options)
    page = context.new_page()
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        url = message.location.get("url", "")
        excused = "telegram.org" in url or url.endswith(refusable) or "ERR_INTERNET_DISCONNECTED" in message.text
        if message.type == "error" and not excused:
            errors.append(f"{message.text} {url}")

    def telegram(route: Route) -> None:
        if script:
            route.fulfill(body=script, content_type="text/javascript")
        else:
            route.abort()  # the page has to work where Telegram's script does not load

    context.on("console", note)
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.route("https://telegram.org/**", telegram)
    yield page
    context.close()
    assert not errors, errors


def open_app(page: Page, world: World, person: Person, platform: str = "android", **about: Any) -> None:
    """Opens the Mini App as Telegram does; `about` says more of the person."""
    login = f"tgWebAppData={quote(person.init_data(**about), safe='')}&tgWebAppVersion=8.0&tgWebAppPlatform={platform}"
    page.goto(f"{world.mini_app_url}#{login}")


def state(page: Page, name: str) -> None:
    """Waits until the screen shows this state."""
    expect(page.locator(f'[data-testid="state"][data-state="{name}"]')).to_be_visible(timeout=20_000)


def hurries(page: Page, test_id: str) -> None:
    """Presses what looks how things are, unless the page has looked by itself already and gone on."""
    page.evaluate("(id) => document.querySelector(`[data-testid=${id}]`)?.click()", test_id)


def copied(page: Page, test_id: str) -> str:
    """What a press on this button has copied."""
    page.get_by_test_id(test_id).click()
    expect(page.get_by_test_id(test_id)).to_have_text("Скопировано")
    return str(page.evaluate("navigator.clipboard.readText()"))


def asked(page: Page) -> list[str]:
    """What the page has asked of Telegram."""
    return page.evaluate("window.asked")


def wait(page: Page, condition: str) -> None:
    """Until this is true in the page, whose own policy lets Playwright's way of waiting look only once."""
    wait_until(lambda: bool(page.evaluate(condition)), seconds=10, what=condition, pause=0.03)


def fits(page: Page) -> None:
    """Nothing sticks out of a phone's screen sideways."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def usable(page: Page) -> None:
    """Everything that is pressed is large enough, and axe finds nothing serious."""
    small = page.evaluate(
        """(targets) => [...document.querySelectorAll(targets)].filter((one) => one.checkVisibility())
        .filter((one) => !(one.matches("input") && one.closest("label")))
        .map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])
        .filter(([, box]) => box.width < 44 || box.height < 44).map(([what, box]) => `${what} ${box.width}x${box.height}`)""",
        TARGETS,
    )
    assert small == []
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    assert page.evaluate(SERIOUS) == []


def comes_back(page: Page) -> None:
    """They come back, and the app has looked how things are."""
    with page.expect_response("**/api/me"):
        page.evaluate(BACK)
    page.evaluate("new Promise((done) => setTimeout(done, 100))")


def reached_checkout(page: Page, world: World) -> str:
    """Waits for the checkout's page, and returns YooKassa's id of the payment."""
    page.wait_for_url(f"{world.yookassa_url}/checkout/*", timeout=20_000)
    return page.url.rpartition("/")[2]


class Visit:
    """Somebody with their phone."""

    def __init__(self, page: Page, world: World) -> None:
        self.page, self.world, self.person, self.platform = page, world, Person(world), "android"

    def has_days(self, days: int) -> None:
        """An admin gives them days, and their key works."""
        subscriptions.grant(self.person.telegram_id, days)
        converge_all()

    def has_paid(self, plan: str = "1m") -> str:
        """They buy and pay."""
        payment_id = self.person.buy(plan)["payment_id"]
        payment = billing.find(UUID(payment_id))
        at_checkout(self.world, payment)
        billing.settle(payment.id)
        converge_all()
        return payment_id

    def opens(self, name: str, *presses: str) -> None:
        """The app shows the screen `name` first; then one thing after another is pressed."""
        open_app(self.page, self.world, self.person, self.platform)
        state(self.page, name)
        for press in presses:
            self.page.get_by_test_id(press).click()
