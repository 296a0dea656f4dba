"""What happens in the Mini App's rooms: connecting, the key and another one, payments, inviting; and around them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
import requests
from flask import Flask
from playwright.sync_api import Browser, Page, Route, expect

from krotray_core import invites, subscriptions, users
from sandbox.person import Person
from sandbox.process import wait_until
from sandbox.world import ROOT, World
from tests.app_kit import Visit, chromium, fits, open_app, phone, serving, state, usable
from tests.conftest import converge_all

pytestmark = [pytest.mark.usefixtures("web", "fleet"), pytest.mark.timeout(120)]

REFUSABLE = (
    "/api/payments/create",
    "/api/me",
    "/api/payments",
    "/api/key",
    "/api/key/rotate",
    "/api/connect",
    "/app/app.js",
)
SCRIPT = (ROOT / "tests/telegram_script.js").read_text()
FIRST_VIEW = 60_000


@pytest.fixture(scope="module")
def web(app: Flask, world: World) -> Iterator[None]:
    """The service, answering."""
    with serving(app, world):
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as made:
        yield made


@pytest.fixture
def visit(browser: Browser, fresh: World) -> Iterator[Visit]:
    """Somebody with a phone on which Telegram's script does not load."""
    with phone(browser, refusable=REFUSABLE) as page:
        yield Visit(page, fresh)


@pytest.fixture
def in_telegram(browser: Browser, fresh: World) -> Iterator[Visit]:
    """Somebody in Telegram."""
    with phone(browser, refusable=REFUSABLE, script=SCRIPT) as page:
        yield Visit(page, fresh)


def asked(page: Page) -> list[str]:
    """What the page has asked of Telegram."""
    return page.evaluate("window.asked")


def wait(page: Page, condition: str) -> None:
    """Until this is true in the page, whose own policy lets Playwright's way of waiting look only once."""
    wait_until(lambda: bool(page.evaluate(condition)), seconds=10, what=condition, pause=0.03)


class TestInTelegram:
    """Telegram draws the buttons around the page."""

    def test_its_buttons_do_what_the_pages_own_would(self, in_telegram: Visit) -> None:
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

    def test_a_screen_without_one_thing_to_do_has_no_main_button(self, in_telegram: Visit) -> None:
        visit, page = in_telegram, in_telegram.page
        visit.has_paid()
        visit.opens("active", "to-payments")
        expect(page.get_by_test_id("payment")).to_be_visible()
        wait(page, "!window.Telegram.WebApp.MainButton.isVisible && window.Telegram.WebApp.BackButton.isVisible")

    def test_an_old_telegram_leaves_the_page_its_own_buttons(self, in_telegram: Visit) -> None:
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

    def test_an_old_login_can_only_be_closed(self, in_telegram: Visit) -> None:
        visit, page = in_telegram, in_telegram.page
        yesterday = quote(visit.person.init_data(auth_date=int(time.time()) - 25 * 3600), safe="")
        page.goto(f"{visit.world.mini_app_url}#tgWebAppData={yesterday}&tgWebAppVersion=8.0&tgWebAppPlatform=ios")
        state(page, "error")
        expect(page.get_by_role("heading")).to_have_text("Откройте приложение заново")
        wait(page, "window.Telegram.WebApp.MainButton.text === 'Закрыть окно'")
        page.evaluate("window.Telegram.WebApp.MainButton.press()")
        assert "close" in asked(page)

    def test_an_invitation_is_shared_in_a_chat(self, in_telegram: Visit) -> None:
        visit, page = in_telegram, in_telegram.page
        invites.remember_bot(1, "krotray_bot")
        visit.has_days(12)
        visit.opens("active", "to-invite")
        expect(page.get_by_test_id("came")).to_have_text("По ней пока никто не пришёл.")
        url = page.get_by_test_id("invite-url").inner_text()
        page.get_by_test_id("copy-invite").click()
        assert page.evaluate("navigator.clipboard.readText()") == url
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

    def test_it_takes_telegrams_colours(self, in_telegram: Visit) -> None:
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
    def test_only_telegram_web_may_show_it_in_a_frame(
        self, browser: Browser, fresh: World, host: str, shown: bool
    ) -> None:
        context = browser.new_context()
        page = context.new_page()
        person = Person(fresh)
        subscriptions.grant(person.telegram_id, 12)
        converge_all()
        login = f"tgWebAppData={quote(person.init_data(), safe='')}&tgWebAppVersion=8.0&tgWebAppPlatform=weba"
        frame = f'<iframe src="{fresh.mini_app_url}#{login}" width="400" height="700"></iframe>'
        context.route(f"https://{host}/", lambda route: route.fulfill(body=frame, content_type="text/html"))
        context.route(
            "https://telegram.org/**", lambda route: route.fulfill(body=SCRIPT, content_type="text/javascript")
        )
        page.goto(f"https://{host}/")
        inside = page.frame_locator("iframe")
        if shown:
            expect(inside.locator('[data-state="active"]')).to_be_visible(timeout=20_000)
            expect(inside.get_by_test_id("connect")).to_be_hidden()
        else:
            expect(inside.locator("main")).to_have_count(0)
        context.close()


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
        page.get_by_test_id("copy-subscription").click()
        assert page.evaluate("navigator.clipboard.readText()") == visit.person.me()["subscription"]["subscription_url"]
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
        page.get_by_test_id("copy-subscription").click()
        assert page.evaluate("navigator.clipboard.readText()").endswith(
            urlsplit(visit.person.me()["subscription"]["subscription_url"]).path
        )


class TestAround:
    """Connection, login, language, motion, weight."""

    def test_without_a_connection(self, visit: Visit) -> None:
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

    def test_a_login_that_runs_out_meanwhile(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active")
        page.route("**/api/payments", lambda route: route.fulfill(status=401, json={"code": "init_data_expired"}))
        page.get_by_test_id("to-payments").click()
        state(page, "error")
        expect(page.get_by_role("heading")).to_have_text("Откройте приложение заново")
        expect(page.get_by_test_id("open-telegram")).to_have_attribute("href", "tg://")
        expect(page.get_by_test_id("back")).to_have_count(0)

    def test_the_other_language_is_fetched_when_it_is_wanted_and_remembered(self, visit: Visit) -> None:
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

    def test_a_bill_in_the_list_can_be_paid(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.person.buy("3m")
        visit.opens("active", "to-payments", "pay-bill")
        state(page, "payment_pending")
        expect(page.get_by_test_id("order")).to_contain_text("250")
        page.get_by_test_id("home").click()
        state(page, "active")
        expect(page.get_by_test_id("resume")).to_be_visible()

    def test_by_keyboard(self, visit: Visit) -> None:
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
    def test_motion_is_short_or_none(self, browser: Browser, fresh: World, motion: str) -> None:
        with phone(browser, reduced_motion=motion) as page:
            page.add_init_script(
                "addEventListener('animationstart', (event) =>"
                " (window.moved ??= {})[event.animationName] = event.target.getAnimations()[0]?.effect.getTiming().duration)"
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

    def test_when_the_app_does_not_come(self, visit: Visit) -> None:
        page = visit.page
        page.clock.install()
        page.route("**/app/app.js", lambda route: route.abort())
        open_app(page, visit.world, visit.person)
        page.wait_for_load_state()
        expect(page.locator("#stuck")).to_be_hidden()
        page.clock.fast_forward(9000)
        expect(page.locator("#stuck")).to_contain_text("С деньгами и ключом ничего не случилось")
        page.unroute("**/app/app.js")
        page.locator("#reload").click()
        state(page, "no_subscription")

    @pytest.mark.parametrize("home", ["active", "no_subscription"])
    def test_the_first_view_is_light(self, visit: Visit, home: str) -> None:
        page = visit.page
        loaded = weigh(page)
        if home == "active":
            visit.has_days(12)
        visit.opens(home)
        page.wait_for_load_state("networkidle")
        sizes = loaded()
        assert {"/app/", "/app/app.js", "/app/theme.css", "/app/words/ru.js"} <= sizes.keys()
        assert sum(sizes.values()) < FIRST_VIEW, sizes

    def test_also_for_who_cannot_unpack(self, world: World) -> None:
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
