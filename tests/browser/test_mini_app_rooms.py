"""The Mini App's rooms: connecting a device, the key and another one."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Route, expect

from krotray_core import subscriptions
from tests.browser.app_kit import Visit, copied, fits, state, wait
from tests.conftest import converge_all

pytestmark = [pytest.mark.usefixtures("site", "fleet"), pytest.mark.timeout(120)]


@pytest.fixture
def refusable() -> tuple[str, ...]:
    """Calls that these tests let fail."""
    return ("/api/key", "/api/key/rotate")


class TestConnect:
    """Three steps on any device."""

    def test_another_device_and_another_program(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active", "connect")
        expect(page.get_by_test_id("three")).to_have_text("Три шага для Android")
        page.get_by_test_id("other-device").locator("summary").click()
        page.get_by_test_id("device-ios").click()
        expect(page.get_by_test_id("three")).to_have_text("Три шага для iPhone и iPad")
        page.get_by_test_id("app-streisand").click()
        expect(page.get_by_test_id("add")).to_have_text("Добавить в Streisand")
        page.context.route("https://apps.apple.com/**", lambda route: route.fulfill(body="store"))
        with page.expect_popup() as opened:
            page.get_by_test_id("store").click()
        assert opened.value.url.startswith("https://apps.apple.com/app/id")
        with page.expect_popup() as opened:
            page.get_by_test_id("add").click()
        assert f"{visit.world.web_url}/open#streisand" in opened.value.url
        expect(page.get_by_test_id("gone")).to_contain_text("скопируйте ссылку")
        assert copied(page, "copy-subscription") == visit.person.me()["subscription"]["subscription_url"]
        expect(page.get_by_test_id("qr")).to_be_visible()
        wait(page, "document.querySelector('.qr').naturalWidth > 0")

        page.get_by_test_id("back").click()
        page.get_by_test_id("connect").click()
        expect(page.get_by_test_id("three")).to_have_text("Три шага для iPhone и iPad")

    def test_without_days_it_leads_to_the_shop(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active")
        subscriptions.revoke(visit.person.telegram_id)
        page.get_by_test_id("connect").click()
        expect(page.get_by_role("heading")).to_have_text("Подключать пока нечего")
        page.get_by_test_id("shop").click()
        state(page, "buy")

    def test_while_it_loads_nothing_jumps(self, visit: Visit) -> None:
        page = visit.page
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/api/connect", hold)
        visit.has_days(12)
        with page.expect_request("**/api/connect"):
            visit.opens("active", "connect")
        skeleton = page.locator('[data-state="connect"][aria-busy]')
        expect(skeleton).to_be_visible()
        places = [page.locator(what).bounding_box() for what in ("h1", ".bar > :last-child")]
        wait(page, "document.activeElement.tagName === 'H1'")
        held[0].continue_()
        expect(page.get_by_test_id("add")).to_be_visible()
        assert [page.locator(what).bounding_box() for what in ("h1", ".bar > :last-child")] == places
        wait(page, "document.activeElement.tagName === 'H1'")


class TestKey:
    """The key, and another one."""

    def test_a_new_key_after_a_second_thought(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        before = visit.person.me()["subscription"]
        visit.opens("active", "to-key", "rotate", "rotate-keep")
        state(page, "key")
        assert visit.person.me()["subscription"] == before
        page.get_by_test_id("rotate").click()
        expect(page.get_by_role("heading")).to_have_text("Сменить ключ?")
        page.get_by_test_id("rotate-confirm").click()
        state(page, "rotated")
        expect(page.locator("main")).to_contain_text("Старые ключ и ссылка больше не работают")
        expect(page.locator("main")).to_contain_text("Добавьте новую ссылку")
        after = visit.person.me()
        assert after["subscription"]["key"] != before["key"]
        assert requests.get(before["subscription_url"], timeout=5).status_code == 404

        page.get_by_test_id("show-key").click()
        expect(page.get_by_test_id("subscription-url")).to_have_text(after["subscription"]["subscription_url"])
        expect(page.locator(".key-raw")).to_contain_text("Новый ключ готовим")
        converge_all()
        expect(page.get_by_test_id("vless-url")).to_contain_text(after["subscription"]["key"], timeout=10_000)
        page.get_by_test_id("back").click()
        expect(page.locator("main")).not_to_contain_text("Оплата прошла")
        state(page, "active")

    def test_an_answer_that_is_lost_is_asked_about(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active", "to-key", "rotate")

        def lose(route: Route) -> None:
            route.fetch()
            route.abort()

        page.route("**/api/key/rotate", lose)
        page.get_by_test_id("rotate-confirm").click()
        state(page, "rotated")

    def test_a_key_that_stays_is_said_to_stay(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active", "to-key", "rotate")
        page.route("**/api/key/rotate", lambda route: route.abort())
        page.get_by_test_id("rotate-confirm").click()
        fault = page.get_by_test_id("fault")
        expect(fault).to_contain_text("Ключ остался прежним")
        page.route("**/api/key", lambda route: route.fulfill(status=503, json={"code": "database_unavailable"}))
        page.get_by_test_id("rotate-confirm").click()
        expect(fault).to_contain_text("пока не видно")
        page.unroute("**/api/key")
        page.unroute("**/api/key/rotate")
        login = {"X-Telegram-Init-Data": visit.person.init_data()}
        rotate = f"{visit.world.web_url}/api/key/rotate"
        answers = [requests.post(rotate, headers=login, timeout=5).status_code for _ in range(6)]
        assert answers == [200] * 5 + [429]
        page.get_by_test_id("rotate-confirm").click()
        expect(fault).to_contain_text(re.compile(r"Ключ остался прежним: попробуйте ещё раз через \d+\sминут"))
        fits(page)

    def test_copied_also_where_the_clipboard_is_closed(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        page.add_init_script("navigator.clipboard.writeText = () => Promise.reject(new Error('not in a frame'))")
        visit.opens("active", "to-key", "copy-vless")
        expect(page.get_by_test_id("copy-vless")).to_have_text("Скопировано")
        assert page.evaluate("navigator.clipboard.readText()") == visit.person.me()["subscription"]["vless_url"]
        expect(page.get_by_test_id("copy-vless")).to_be_focused()
        page.evaluate("document.execCommand = () => false")
        page.get_by_test_id("copy-subscription").click()
        expect(page.get_by_test_id("copy-subscription")).to_have_text("Выделите текст и скопируйте")
        selected = page.evaluate("getSelection().toString()")
        assert selected == page.get_by_test_id("subscription-url").inner_text()

    def test_turned_over_and_back(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active", "to-key", "turn")
        wait(page, "document.querySelector('.qr').naturalWidth > 0")
        page.get_by_test_id("turn").click()
        expect(page.get_by_test_id("subscription-url")).to_be_visible()
        page.get_by_test_id("turn").click()
        assert copied(page, "copy-subscription").endswith(
            urlsplit(visit.person.me()["subscription"]["subscription_url"]).path
        )
