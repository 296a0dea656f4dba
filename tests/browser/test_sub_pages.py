"""The install page in a real browser, on every device, in both languages and themes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from krotray_core import apps, invites, servers, subscriptions
from krotray_core.models import Server, User
from tests.browser.screen_kit import DESKTOP, PHONE, SMALL, looks_right, screen
from tests.conftest import converge_all
from tests.sub_kit import granted, sub_path

BOT = "https://t.me/krotray_bot"


@pytest.fixture
def path(fleet: list[Server], user: User) -> str:
    """The link of somebody whose key works."""
    assert fleet
    made = granted(user)
    converge_all()
    invites.remember_bot(1, "krotray_bot")
    return made


def panel(page: Page, platform: str) -> None:
    """The page shows the steps for this device and no other one."""
    shown = page.locator("[data-panel]:visible")
    expect(shown).to_have_count(1)
    expect(shown).to_have_attribute("data-panel", platform)
    expect(page.locator(".picker [aria-current]")).to_have_attribute("data-platform", platform)


LOOKS = [
    (SMALL, "light", "ru"),
    (SMALL, "dark", "en"),
    (PHONE, "light", "en"),
    (PHONE, "dark", "ru"),
    (DESKTOP, "light", "ru"),
    (DESKTOP, "dark", "en"),
]


def test_three_steps_on_every_screen(browser: Browser, site: str, path: str) -> None:
    for size, scheme, lang in LOOKS:
        device = {SMALL: "ios", PHONE: "android", DESKTOP: "windows"}[size]
        with screen(browser, device=device, size=size, scheme=scheme, locale=f"{lang}-{lang.upper()}") as page:
            page.goto(site + path)
            expect(page.locator("html")).to_have_attribute("lang", lang)
            expect(page.locator("h1")).to_have_text("Подключение" if lang == "ru" else "Get connected")
            expect(page.locator(".lead")).to_contain_text("осталось 30 дней" if lang == "ru" else "30 days left")
            panel(page, device)
            expect(page.locator("[data-panel]:visible ol.steps > li")).to_have_count(3)
            expect(page.locator("[data-panel]:visible img.qr")).to_be_visible(visible=size == DESKTOP)
            looks_right(page, f"install-{size[0]}-{scheme}-{lang}", axe=size == SMALL)


def test_a_device_is_picked_by_hand_and_the_language_too(browser: Browser, site: str, path: str) -> None:
    with screen(browser, device="windows", size=DESKTOP) as page:
        page.goto(site + path)
        panel(page, "windows")
        page.locator(".picker").get_by_role("link", name="iPhone").click()
        panel(page, "ios")
        page.reload()
        panel(page, "ios")
        page.get_by_role("link", name="English").click()
        expect(page.locator("h1")).to_have_text("Get connected")
        panel(page, "ios")
        assert path in page.url
        page.locator(".picker").get_by_role("link", name="Linux").press("Enter")
        panel(page, "linux")
        page.get_by_role("link", name="Русский").click()
        expect(page.locator("h1")).to_have_text("Подключение")
        panel(page, "linux")


def test_an_ipad_is_no_mac(browser: Browser, site: str, path: str) -> None:
    with screen(browser, device="macos", has_touch=True) as page:
        page.add_init_script("Object.defineProperty(navigator, 'maxTouchPoints', {value: 5})")
        page.goto(site + path)
        panel(page, "ios")
        page.locator(".picker").get_by_role("link", name="Mac").click()
        page.reload()
        panel(page, "macos")


def test_one_press_adds_the_subscription_and_help_comes_when_nothing_opens(
    browser: Browser, site: str, path: str
) -> None:
    with screen(browser) as page:
        page.goto(site + path)
        page.get_by_test_id("add").locator("visible=true").click()
        assert page.evaluate("pressed") == [f"happ://add/{site}{path}"]
        expect(page.locator("[data-panel]:visible [data-hint]")).to_contain_text("Ничего не открылось?")
        looks_right(page, "install-nothing-opened", axe=False)
        page.get_by_text("Другие программы").locator("visible=true").click()
        page.get_by_role("link", name="Добавить Hiddify").click()
        assert page.evaluate("pressed.at(-1)") == f"hiddify://import/{site}{path}#KrotRay"
        expect(page.locator("[data-panel]:visible [data-hint]")).to_contain_text("Ничего не открылось?")
        page.get_by_text("Другое устройство").locator("visible=true").click()
        expect(page.locator("img.qr").locator("visible=true")).to_have_js_property("complete", True)
        assert page.locator("img.qr").locator("visible=true").evaluate("image => image.naturalWidth") > 0
        page.get_by_text("Добавить вручную").click()
        looks_right(page, "install-all-open")


def test_no_help_for_whom_the_program_opened(browser: Browser, site: str, path: str) -> None:
    with screen(browser) as page:
        page.clock.install()
        page.goto(site + path)
        page.get_by_test_id("add").locator("visible=true").click()
        page.evaluate(
            "Object.defineProperty(document, 'visibilityState', {value: 'hidden'});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        page.clock.run_for(10_000)
        expect(page.locator("[data-panel]:visible [data-hint]")).to_be_empty()


@pytest.mark.parametrize("allowed", [True, False])
def test_the_link_is_copied(browser: Browser, site: str, path: str, allowed: bool) -> None:
    with screen(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        if not allowed:
            page.add_init_script("delete Navigator.prototype.clipboard")
        page.goto(site + path)
        page.evaluate("document.addEventListener('copy', () => { window.old = String(getSelection()) || 'area' })")
        page.get_by_role("button", name="Скопировать ссылку").click()
        expect(page.locator("#copy")).to_have_text("Скопировано")
        if allowed:
            assert page.evaluate("navigator.clipboard.readText()") == site + path
        else:
            assert page.evaluate("window.old")
        expect(page.locator("#copy")).to_have_text("Скопировать ссылку")


def test_everything_is_there_without_scripts(browser: Browser, site: str, path: str) -> None:
    with screen(browser, java_script_enabled=False) as page:
        page.goto(site + path)
        shown = page.locator("[data-panel=android]")
        expect(shown.get_by_test_id("add")).to_have_attribute("href", f"happ://add/{site}{path}")
        page.locator(".picker").get_by_role("link", name="Mac").click()
        expect(page.locator("[data-panel=macos]")).to_be_visible()
        expect(page.locator("[data-panel=android]")).to_be_hidden()
        expect(page.get_by_test_id("link")).to_have_text(site + path)


def test_the_page_goes_by_the_keyboard_alone(browser: Browser, site: str, path: str) -> None:
    with screen(browser) as page:
        page.goto(site + path)
        seen = []
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("(document.activeElement.innerText || '').trim()"))
            if seen[-1].startswith("Продлить"):
                break
        assert seen[0] == "English"
        order = ["Android", "Открыть Google Play", "Добавить в Happ", "Другие программы", "Скопировать ссылку"]
        assert [text for text in seen if text in order] == order


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("look", [(SMALL, "light", "ru-RU"), (PHONE, "dark", "en-US")])
def test_an_expired_subscription_says_so_and_leads_to_the_bot(
    browser: Browser, site: str, user: User, look: tuple[tuple[int, int], str, str]
) -> None:
    size, scheme, locale = look
    subscriptions.revoke(user.telegram_id)
    with screen(browser, size=size, scheme=scheme, locale=locale) as page:
        page.goto(site + sub_path(user))
        expect(page.get_by_test_id("state")).to_have_attribute("data-state", "expired")
        expect(page.locator("h1")).to_have_text(
            "Подписка закончилась" if locale == "ru-RU" else "Your subscription has ended"
        )
        expect(page.get_by_test_id("renew")).to_have_attribute("href", BOT)
        expect(page.get_by_test_id("renew")).to_be_in_viewport()
        assert "vless://" not in page.content()
        looks_right(page, f"expired-{size[0]}-{scheme}")


def test_a_day_that_is_over_but_not_swept_yet_counts_as_expired(
    browser: Browser, site: str, path: str, pass_time: Callable[[timedelta], None]
) -> None:
    pass_time(timedelta(days=31))
    with screen(browser) as page:
        page.goto(site + path)
        expect(page.get_by_test_id("state")).to_have_attribute("data-state", "expired")


def test_who_waits_for_a_place_can_get_ready(browser: Browser, site: str, user: User) -> None:
    path = granted(user)  # there is no server at all
    assert servers.everyone() == []
    with screen(browser, size=SMALL, scheme="dark") as page:
        page.goto(site + path)
        expect(page.get_by_test_id("state")).to_have_attribute("data-state", "waiting")
        expect(page.locator(".lead")).to_contain_text("Дни не тратятся")
        expect(page.get_by_test_id("add").locator("visible=true")).to_have_text("Добавить в Happ")
        looks_right(page, "waiting")


def test_a_link_that_was_replaced_says_so_in_human_words(browser: Browser, site: str, path: str, user: User) -> None:
    subscriptions.rotate_key(user.telegram_id)
    with screen(browser, size=SMALL) as page:
        answer = page.goto(site + path)
        assert answer
        assert answer.status == 404
        expect(page.locator("h1")).to_have_text("Эта ссылка больше не работает")
        expect(page.get_by_role("link", name="Открыть бота")).to_have_attribute("href", BOT)
        looks_right(page, "gone")
        page.goto(site + sub_path(user))
        expect(page.locator("h1")).to_have_text("Подключение")


def test_every_program_of_every_device_gets_this_subscription(browser: Browser, site: str, path: str) -> None:
    with screen(browser) as page:
        page.goto(site + path)
        for platform in apps.for_subscription(site + path, apps.TITLE):
            box = page.locator(f"[data-panel={platform.id}]")
            links = box.locator("a[data-add]").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
            assert links == [apps.deep_link(app.id, site + path, apps.TITLE) for app in platform.apps]
            stores = box.locator("a[target=_blank]").evaluate_all("links => links.map((link) => link.href)")
            assert stores == [app.store_url for app in platform.apps]
