"""Every screen of the Mini App, in both languages and themes, on a small and a usual phone: it fits and can be used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from krotray_core import billing, invites, plans, subscriptions
from sandbox.world import World
from tests.browser.app_kit import Visit, chromium, comes_back, fits, hurries, phone, state, usable
from tests.conftest import at_checkout, converge_all

pytestmark = [pytest.mark.usefixtures("site", "fleet"), pytest.mark.timeout(120)]

SIZES = ({"width": 360, "height": 640}, {"width": 390, "height": 844})
# And what the button offers while it is spoken.
LANGUAGES = {"ru": "English", "en": "Русский"}
# Where pictures of all screens are put, if anywhere.
SHOTS = os.environ.get("SHOTS")


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """A phone, the same for all screens: like people's, it remembers the app's files."""
    with chromium() as browser, phone(browser, refusable=("/api/me",), reduced_motion="reduce") as page:
        yield page.context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A window of it that remembers nothing else."""
    made = context.new_page()
    yield made
    made.evaluate("localStorage.clear()")
    made.close()


Scene = Callable[[Visit], None]
SCENES: dict[str, Scene] = {}


def scene(make: Scene) -> Scene:
    """One of the screens to be looked at."""
    SCENES[make.__name__] = make
    return make


@scene
def shop(visit: Visit) -> None:
    """Nothing bought yet."""
    visit.opens("no_subscription")


@scene
def nothing_on_sale(visit: Visit) -> None:
    """And nothing to buy."""
    for plan in plans.on_sale():
        plans.withdraw(plan.code)
    visit.opens("nothing_on_sale")


@scene
def waiting(visit: Visit) -> None:
    """A bill that is not paid yet."""
    visit.person.buy()
    visit.opens("payment_pending")


@scene
def canceled(visit: Visit) -> None:
    """It came to nothing."""
    bought = visit.person.buy()
    visit.opens("payment_pending")
    payment = billing.find(UUID(bought["payment_id"]))
    at_checkout(visit.world, payment, "cancel", reason="insufficient_funds")
    billing.settle(payment.id)
    hurries(visit.page, "check-payment")
    state(visit.page, "payment_canceled")


@scene
def provisioning(visit: Visit) -> None:
    """Paid, and the key is being made."""
    subscriptions.grant(visit.person.telegram_id, 30)
    visit.opens("provisioning")


@scene
def paid(visit: Visit) -> None:
    """The mole is out."""
    bought = visit.person.buy()
    visit.opens("payment_pending")
    payment = billing.find(UUID(bought["payment_id"]))
    at_checkout(visit.world, payment)
    billing.settle(payment.id)
    converge_all()
    hurries(visit.page, "check-payment")
    state(visit.page, "active")
    expect(visit.page.locator(".celebrates")).to_be_visible()


@scene
def home(visit: Visit) -> None:
    """Weeks are left."""
    invites.remember_bot(1, "krotray_bot")
    visit.has_days(12)
    visit.opens("active")
    expect(visit.page.get_by_test_id("to-invite")).to_be_visible()


@scene
def home_with_all(visit: Visit) -> None:
    """A bill that waits, what was used, and a bot that may not write."""

    def with_traffic(route: Route) -> None:
        answer = route.fetch()
        me = answer.json()
        me["subscription"]["traffic"] = {"used_bytes": 12_400_000_000, "since": "2026-11-01T00:00:00Z"}
        route.fulfill(response=answer, json=me)

    invites.remember_bot(1, "krotray_bot")
    visit.has_days(12)
    bill = visit.person.buy()
    visit.page.route("**/api/me", with_traffic)
    visit.opens("active")
    at_checkout(visit.world, billing.find(UUID(bill["payment_id"])))
    visit.person.buy("3m")
    billing.settle(UUID(bill["payment_id"]))
    converge_all()
    expect(visit.page.get_by_test_id("silent")).to_be_visible()
    comes_back(visit.page)
    expect(visit.page.get_by_test_id("unpaid")).to_be_visible()


@scene
def home_few_days(visit: Visit) -> None:
    """It ends soon."""
    visit.has_days(2)
    visit.opens("active")


@scene
def renew(visit: Visit) -> None:
    """More days."""
    visit.has_days(12)
    visit.opens("active", "renew")


@scene
def expired(visit: Visit) -> None:
    """No days left."""
    visit.has_days(2)
    subscriptions.revoke(visit.person.telegram_id)
    visit.opens("expired")


@scene
def connect(visit: Visit) -> None:
    """Three steps, on a phone."""
    visit.has_days(12)
    visit.opens("active", "connect")
    expect(visit.page.get_by_test_id("add")).to_be_visible()


def unfold(page: Page) -> None:
    """All that connecting can show."""
    for name in ("other-device", "manual"):
        page.get_by_test_id(name).locator("summary").click()
    expect(page.get_by_test_id("qr")).to_be_visible()


@scene
def connect_desktop(visit: Visit) -> None:
    """A computer shows the code for the phone first."""
    visit.has_days(12)
    visit.platform = "macos"
    visit.opens("active", "connect")
    expect(visit.page.get_by_test_id("qr")).to_be_in_viewport()


@scene
def key(visit: Visit) -> None:
    """The link and the key."""
    visit.has_days(12)
    visit.opens("active", "to-key")
    expect(visit.page.get_by_test_id("vless-url")).to_be_visible()


def turn(page: Page) -> None:
    """The card's other side."""
    page.get_by_test_id("turn").click()
    expect(page.get_by_test_id("qr")).to_be_visible()


@scene
def rotate(visit: Visit) -> None:
    """Asked twice."""
    key(visit)
    visit.page.get_by_test_id("rotate").click()
    state(visit.page, "rotate")


@scene
def rotated(visit: Visit) -> None:
    """Another key."""
    rotate(visit)
    visit.page.get_by_test_id("rotate-confirm").click()
    state(visit.page, "rotated")


@scene
def payments(visit: Visit) -> None:
    """All that was paid, and was not."""
    from krotray_core import refunds

    whole, part = visit.has_paid("1m"), visit.has_paid("3m")
    refunds.start(UUID(whole), 100_00)
    refunds.start(UUID(part), 40_00)
    canceled_one = billing.find(UUID(visit.person.buy("1m", "card")["payment_id"]))
    at_checkout(visit.world, canceled_one, "cancel", reason="card_expired")
    billing.settle(canceled_one.id)
    visit.person.buy("3m", "sbp")
    converge_all()
    visit.opens("active", "to-payments")
    expect(visit.page.get_by_test_id("payment")).to_have_count(4)


@scene
def no_payments(visit: Visit) -> None:
    """Nothing yet."""
    visit.opens("no_subscription", "to-payments")
    expect(visit.page.get_by_test_id("shop")).to_be_visible()


@scene
def invite(visit: Visit) -> None:
    """For a friend."""
    home(visit)
    visit.page.get_by_test_id("to-invite").click()
    expect(visit.page.get_by_test_id("share")).to_be_visible()


@scene
def old_login(visit: Visit) -> None:
    """Opened yesterday."""
    visit.page.route("**/api/me", lambda route: route.fulfill(status=401, json={"code": "init_data_expired"}))
    visit.opens("error")


@scene
def broken(visit: Visit) -> None:
    """Our side has fallen over."""
    visit.page.route("**/api/me", lambda route: route.fulfill(status=500, json={"code": "internal_error"}))
    visit.opens("error")


@scene
def outside(visit: Visit) -> None:
    """A plain browser."""
    visit.page.goto(visit.world.mini_app_url)
    state(visit.page, "outside")


# Its one thing to do lies at the bottom, in reach of a thumb, without scrolling.
WITHOUT = {"payments"}
# What can be unfolded on a screen is looked at too.
FURTHER = {"connect": unfold, "key": turn}


@pytest.mark.parametrize("name", SCENES)
def test_a_screen(name: str, page: Page, fresh: World) -> None:
    SCENES[name](Visit(page, fresh))
    for language, other in LANGUAGES.items():
        expect(page.locator("html")).to_have_attribute("lang", language)
        look(page, name, language)
        if name in FURTHER:
            FURTHER[name](page)
            look(page, f"{name}-further", language)
        page.get_by_test_id("language").click()
        expect(page.get_by_test_id("language")).not_to_have_text(other)


def look(page: Page, name: str, language: str) -> None:
    """The screen by day and by night, on both phones."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for size in SIZES:
            page.set_viewport_size(size)  # type: ignore[arg-type]
            fits(page)
            if name not in WITHOUT:
                expect(page.locator(".bar .primary")).to_be_in_viewport(ratio=1)
            if SHOTS:
                page.screenshot(path=Path(SHOTS) / f"{name}-{language}-{scheme}-{size['width']}.png")
        usable(page)
