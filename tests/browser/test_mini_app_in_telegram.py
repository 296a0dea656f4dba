"""What Telegram draws around the Mini App: its buttons, its colours, its windows, and who may show it in a frame."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Route, expect

from krotray_core import invites, subscriptions, users
from sandbox.person import Person
from sandbox.world import World
from tests.browser.app_kit import TELEGRAM_SCRIPT, Visit, asked, copied, fits, state, usable, wait
from tests.conftest import converge_all

pytestmark = [pytest.mark.usefixtures("site", "fleet"), pytest.mark.timeout(120)]


@pytest.fixture
def refusable() -> tuple[str, ...]:
    """Calls that these tests let fail."""
    return ("/api/me",)


def test_its_buttons_do_what_the_pages_own_would(in_telegram: Visit) -> None:
    visit, page = in_telegram, in_telegram.page
    visit.has_days(12)
    visit.opens("active")
    app = "window.Telegram.WebApp"
    wait(page, f"{app}.MainButton.isVisible && {app}.MainButton.text === 'Подключить'")
    expect(page.get_by_test_id("connect")).to_be_hidden()
    expect(page.get_by_test_id("renew")).to_be_in_viewport()
    assert not page.evaluate(f"{app}.BackButton.isVisible"), "home leads nowhere back"
    assert page.locator(".top").bounding_box()["y"] == 46, "below Telegram's own buttons"  # type: ignore[index]

    page.evaluate(f"{app}.MainButton.press()")
    wait(page, f"{app}.MainButton.text === 'Добавить в Happ' && {app}.BackButton.isVisible")
    expect(page.get_by_test_id("back")).to_be_hidden()
    usable(page)
    fits(page)
    page.evaluate(f"{app}.MainButton.press()")
    link = visit.person.me()["subscription"]["subscription_url"]
    opened = next(line for line in asked(page) if line.startswith("openLink"))
    base, _, deep = opened.removeprefix("openLink ").partition("#")
    assert base == f"{visit.world.web_url}/open"
    assert unquote(deep) == f"happ://add/{link}"
    page.evaluate(f"{app}.BackButton.press()")
    state(page, "active")
    wait(page, f"!{app}.BackButton.isVisible && {app}.MainButton.text === 'Подключить'")
    assert "haptic impact light" in asked(page)

    page.get_by_test_id("language").click()
    wait(page, f"{app}.MainButton.text === 'Connect'")


def test_a_screen_without_one_thing_to_do_has_no_main_button(in_telegram: Visit) -> None:
    visit, page = in_telegram, in_telegram.page
    visit.has_paid()
    visit.opens("active", "to-payments")
    expect(page.get_by_test_id("payment")).to_be_visible()
    wait(page, "!window.Telegram.WebApp.MainButton.isVisible && window.Telegram.WebApp.BackButton.isVisible")


def test_an_old_telegram_leaves_the_page_its_own_buttons(in_telegram: Visit) -> None:
    visit, page = in_telegram, in_telegram.page
    visit.has_days(12)
    login = f"tgWebAppData={quote(visit.person.init_data(), safe='')}&tgWebAppVersion=6.0&tgWebAppPlatform=ios"
    page.goto(f"{visit.world.mini_app_url}#{login}")
    state(page, "active")
    page.get_by_test_id("connect").click()
    expect(page.get_by_test_id("three")).to_contain_text("iPhone")
    page.get_by_test_id("back").click()
    state(page, "active")
    assert not any("haptic" in line for line in asked(page))


def test_an_old_login_can_only_be_closed(in_telegram: Visit) -> None:
    visit, page = in_telegram, in_telegram.page
    yesterday = quote(visit.person.init_data(auth_date=int(time.time()) - 25 * 3600), safe="")
    held: list[Route] = []
    page.route("**/api/me", lambda route: held.append(route), times=1)  # noqa: PLW0108 Playwright asks a handler how it is declared
    with page.expect_request("**/api/me"):
        page.goto(f"{visit.world.mini_app_url}#tgWebAppData={yesterday}&tgWebAppVersion=8.0&tgWebAppPlatform=ios")
    wait(page, "Boolean(window.Telegram)")
    held[0].continue_()
    state(page, "error")
    expect(page.get_by_role("heading")).to_have_text("Откройте приложение заново")
    wait(page, "window.Telegram.WebApp.MainButton.text === 'Закрыть окно'")
    page.evaluate("window.Telegram.WebApp.MainButton.press()")
    assert "close" in asked(page)


def test_an_invitation_is_shared_in_a_chat(in_telegram: Visit) -> None:
    visit, page = in_telegram, in_telegram.page
    invites.remember_bot(1, "krotray_bot")
    visit.has_days(12)
    visit.opens("active", "to-invite")
    expect(page.get_by_test_id("came")).to_have_text("По ней пока никто не пришёл.")
    url = page.get_by_test_id("invite-url").inner_text()
    assert copied(page, "copy-invite") == url
    page.evaluate("window.Telegram.WebApp.MainButton.press()")
    shared = next(line for line in asked(page) if line.startswith("openTelegramLink"))
    address = urlsplit(shared.removeprefix("openTelegramLink "))
    assert (address.netloc, address.path) == ("t.me", "/share/url")
    assert parse_qs(address.query)["url"] == [url]

    for number in range(2):
        friend = users.greet(users.Person(10**12 + number))
        assert invites.accept(friend.id, parse_qs(urlsplit(url).query)["start"][0])
    page.evaluate("window.Telegram.WebApp.BackButton.press()")
    page.get_by_test_id("to-invite").click()
    expect(page.get_by_test_id("came")).to_have_text(re.compile(r"По ней пришли 2\sчеловека"))


def test_it_takes_telegrams_colours(in_telegram: Visit) -> None:
    visit, page = in_telegram, in_telegram.page
    visit.has_days(2)
    night = {
        "bg_color": "#17212b",
        "secondary_bg_color": "#232e3c",
        "text_color": "#f5f5f5",
        "hint_color": "#708499",
    }
    night |= {"section_bg_color": "#17212b", "destructive_text_color": "#ec3942", "button_color": "javascript:1"}
    login = f"tgWebAppData={quote(visit.person.init_data(), safe='')}&tgWebAppVersion=8.0&tgWebAppPlatform=ios"
    page.goto(f"{visit.world.mini_app_url}#{login}&tgWebAppThemeParams={quote(json.dumps(night))}")
    state(page, "active")
    assert page.locator("html").get_attribute("data-scheme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(35, 46, 60)"
    usable(page)
    page.get_by_test_id("to-key").click()
    page.get_by_test_id("rotate").click()
    state(page, "rotate")
    usable(page)


@pytest.mark.parametrize(("host", "shown"), [("web.telegram.org", True), ("evil.example", False)])
def test_only_telegram_web_may_show_it_in_a_frame(browser: Browser, fresh: World, host: str, shown: bool) -> None:
    context = browser.new_context()
    page = context.new_page()
    person = Person(fresh)
    subscriptions.grant(person.telegram_id, 12)
    converge_all()
    login = f"tgWebAppData={quote(person.init_data(), safe='')}&tgWebAppVersion=8.0&tgWebAppPlatform=weba"
    frame = f'<iframe src="{fresh.mini_app_url}#{login}" width="400" height="700"></iframe>'
    context.route(f"https://{host}/", lambda route: route.fulfill(body=frame, content_type="text/html"))
    context.route(
        "https://telegram.org/**", lambda route: route.fulfill(body=TELEGRAM_SCRIPT, content_type="text/javascript")
    )
    page.goto(f"https://{host}/")
    inside = page.frame_locator("iframe")
    if shown:
        expect(inside.locator('[data-state="active"]')).to_be_visible(timeout=20_000)
        expect(inside.get_by_test_id("connect")).to_be_hidden()
    else:
        expect(inside.locator("main")).to_have_count(0)
    context.close()
