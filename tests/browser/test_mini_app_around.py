"""Around the Mini App: connection, login, language, keyboard, motion, weight."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from sandbox.world import World
from tests.browser.app_kit import Visit, open_app, phone, state, wait

pytestmark = [pytest.mark.usefixtures("site", "fleet"), pytest.mark.timeout(120)]

FIRST_VIEW = 60_000


@pytest.fixture
def refusable() -> tuple[str, ...]:
    """Calls that these tests let fail."""
    return ("/api/payments", "/api/me", "/app/app.js")


def test_without_a_connection(visit: Visit) -> None:
    page = visit.page
    visit.has_paid()
    visit.opens("active")
    expect(page.locator("#offline")).to_be_hidden()
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_have_text("Нет связи")
    page.get_by_test_id("to-payments").click()
    state(page, "error")
    expect(page.locator("main")).to_contain_text("Нет связи с интернетом. С вашими деньгами и ключом ничего не")
    page.get_by_test_id("back").click()
    state(page, "active")
    page.get_by_test_id("to-payments").click()
    state(page, "error")
    page.context.set_offline(False)
    state(page, "payments")  # by itself
    expect(page.get_by_test_id("payment")).to_have_attribute("data-status", "succeeded")
    expect(page.locator("#offline")).to_be_hidden()


def test_a_login_that_runs_out_meanwhile(visit: Visit) -> None:
    page = visit.page
    visit.has_days(12)
    visit.opens("active")
    page.route("**/api/payments", lambda route: route.fulfill(status=401, json={"code": "init_data_expired"}))
    page.get_by_test_id("to-payments").click()
    state(page, "error")
    expect(page.get_by_role("heading")).to_have_text("Откройте приложение заново")
    expect(page.get_by_test_id("open-telegram")).to_have_attribute("href", "tg://")
    expect(page.get_by_test_id("back")).to_have_count(0)


def test_the_other_language_is_fetched_when_it_is_wanted_and_remembered(visit: Visit) -> None:
    page = visit.page
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(urlsplit(request.url).path))
    visit.opens("no_subscription")
    page.get_by_test_id("plan-3m").click()
    page.get_by_test_id("method-card").click()
    assert "/app/words/en.js" not in fetched
    page.get_by_test_id("language").click()
    expect(page.get_by_test_id("pay")).to_have_text(re.compile(r"Pay 250\s₽"))
    expect(page.get_by_test_id("method-card").get_by_role("radio")).to_be_checked()
    expect(page.get_by_test_id("language")).to_have_text("Русский")
    fetched.clear()
    page.reload()
    state(page, "no_subscription")
    expect(page.get_by_role("heading")).to_have_text("The mole is asleep")
    assert "/app/words/ru.js" not in fetched


def test_a_bill_in_the_list_can_be_paid(visit: Visit) -> None:
    page = visit.page
    visit.has_days(12)
    visit.person.buy("3m")
    visit.opens("active", "to-payments", "pay-bill")
    state(page, "payment_pending")
    expect(page.get_by_test_id("order")).to_contain_text("250")
    page.get_by_test_id("home").click()
    state(page, "active")
    expect(page.get_by_test_id("resume")).to_be_visible()


def test_by_keyboard(visit: Visit) -> None:
    page = visit.page
    visit.has_days(12)
    visit.opens("active")
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_test_id("to-key")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ваш ключ")


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_motion_is_short_or_none(browser: Browser, fresh: World, motion: str) -> None:
    with phone(browser, reduced_motion=motion) as page:
        page.add_init_script(
            "addEventListener('animationstart', (event) =>"
            " (window.moved ??= {})[event.animationName] = 1000 * parseFloat(getComputedStyle(event.target).animationDuration))"
        )
        visit = Visit(page, fresh)
        visit.has_days(12)
        visit.opens("active")
        if motion == "reduce":
            assert page.evaluate("document.querySelector('.ring-left').getAnimations().length") == 0
        else:
            wait(page, "window.moved?.fill")
            assert 150 <= page.evaluate("window.moved.fill") <= 200
        share = page.evaluate("document.querySelector('.ring-left').style.strokeDasharray")
        assert share.startswith("40"), "12 of 30 days"


def test_when_the_app_does_not_come(visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    page.route("**/app/app.js", lambda route: route.abort())
    open_app(page, visit.world, visit.person)
    page.wait_for_load_state()
    expect(page.locator("#stuck")).to_be_hidden()
    page.clock.fast_forward(9000)
    expect(page.locator("#stuck")).to_be_visible()
    expect(page.locator("#stuck")).to_contain_text("С деньгами и ключом ничего не случилось")
    page.unroute("**/app/app.js")
    page.locator("#reload").click()
    state(page, "no_subscription")


@pytest.mark.parametrize("home", ["active", "no_subscription"])
def test_the_first_view_is_light(visit: Visit, home: str) -> None:
    page = visit.page
    loaded = weigh(page)
    if home == "active":
        visit.has_days(12)
    visit.opens(home)
    page.wait_for_load_state("networkidle")
    sizes = loaded()
    assert {"/app/", "/app/app.js", "/app/theme.css", "/app/words/ru.js"} <= sizes.keys()
    assert sum(sizes.values()) < FIRST_VIEW, sizes


def test_also_for_who_cannot_unpack(world: World) -> None:
    url = world.mini_app_url + "app.js"
    plain = requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=5)
    packed = requests.get(url, timeout=5)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.content == packed.content
    assert plain.headers["ETag"] != packed.headers["ETag"]
    again = requests.get(url, headers={"If-None-Match": packed.headers["ETag"]}, timeout=5)
    assert (again.status_code, again.content) == (304, b"")
    assert requests.get(world.mini_app_url + "nothing.js", timeout=5).status_code == 404


def weigh(page: Page) -> Callable[[], dict[str, Any]]:
    """From now on counts what is transferred for the app's own files; the call says how many bytes each took."""
    client = page.context.new_cdp_session(page)
    client.send("Network.enable")
    paths: dict[str, str] = {}
    sizes: dict[str, Any] = {}
    client.on("Network.responseReceived", lambda e: paths.update({e["requestId"]: urlsplit(e["response"]["url"]).path}))

    def finished(event: dict[str, Any]) -> None:
        path = paths.get(event["requestId"], "")
        if path.startswith("/app/"):
            sizes[path] = event["encodedDataLength"]

    client.on("Network.loadingFinished", finished)
    return lambda: sizes
