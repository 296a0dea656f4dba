"""The Mini App and who holds the phone: language, clock, what was used, and whether the bot may write to them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from krotray_core import billing, clock, invites, speech, subscriptions, users
from sandbox.process import wait_until
from sandbox.world import ROOT, World
from tests.browser.app_kit import Visit, fits, open_app, phone, state, usable
from tests.conftest import at_checkout, converge_all

pytestmark = [pytest.mark.usefixtures("site", "fleet"), pytest.mark.timeout(120)]

TEXTS = ROOT / "krotray_api/miniapp/static/texts.js"


def test_russian_is_for_the_same_languages_as_in_the_bot() -> None:
    (listed,) = re.findall(r"READ_RUSSIAN = \[(.*)\]", TEXTS.read_text())
    assert set(re.findall(r'"(\w+)"', listed)) == speech._READ_RUSSIAN


@pytest.mark.parametrize(("code", "spoken"), [("uk", "ru"), ("kk-KZ", "ru"), ("BE", "ru"), ("de", "en"), ("rum", "en")])
def test_it_speaks_what_the_person_reads(visit: Visit, code: str, spoken: str) -> None:
    assert speech.reads_russian(code) == (spoken == "ru")
    open_app(visit.page, visit.world, visit.person, language_code=code)
    state(visit.page, "no_subscription")
    expect(visit.page.locator("html")).to_have_attribute("lang", spoken)


@pytest.mark.parametrize("zone", ["Pacific/Honolulu", "Asia/Vladivostok"])
def test_a_day_is_moscows_wherever_the_phone_is(browser: Browser, fresh: World, zone: str) -> None:
    now = clock.now()
    midnight = datetime(now.year, now.month, now.day, tzinfo=speech.MOSCOW) + timedelta(days=12)
    for end in (midnight - timedelta(minutes=1), midnight + timedelta(minutes=1)):
        with phone(browser, timezone_id=zone) as page:
            visit = Visit(page, fresh)
            subscriptions.grant(visit.person.telegram_id, 12)
            subscriptions.set_expiry(visit.person.telegram_id, end.astimezone(UTC))
            converge_all()
            visit.opens("active")
            expect(page.get_by_test_id("until")).to_have_text(f"до {speech.date_ru(end, now)}")
            page.get_by_test_id("language").click()
            expect(page.get_by_test_id("until")).to_have_text(f"until {speech.date_en(end, now)}")


TRAFFIC = [
    ({"used_bytes": 12_400_000_000, "since": "2026-11-01T00:00:00Z"}, "12,4 ГБ", "12.4 GB"),
    ({"used_bytes": 0, "since": "2026-11-01T00:00:00Z"}, "0 МБ", "0 MB"),
    ({"used_bytes": 999_960_000, "since": "2026-11-01T00:00:00Z"}, "1 ГБ", "1 GB"),
    ({"used_bytes": 2_340_000_000_000, "since": "2026-11-01T00:00:00Z"}, "2,3 ТБ", "2.3 TB"),
    (None, None, None),
    ({"used_bytes": None}, None, None),
    ({"used_bytes": "5"}, None, None),
]


def test_how_much_was_used_is_said_where_it_is_known(visit: Visit) -> None:
    page = visit.page
    visit.has_days(12)
    told: list[object] = [None]

    def with_traffic(route: Route) -> None:
        answer = route.fetch()
        me = answer.json()
        me["subscription"]["traffic"] = told[0]
        route.fulfill(response=answer, json=me)

    page.route("**/api/me", with_traffic)
    visit.opens("active")
    line = page.get_by_test_id("traffic")
    for traffic, russian, english in TRAFFIC:
        told[0] = traffic
        page.reload()
        state(page, "active")
        if russian is None:
            expect(line).to_have_count(0)
            continue
        expect(line).to_have_text(f"За этот срок: {russian}")
        page.get_by_test_id("language").click()
        expect(line).to_have_text(f"This period: {english}")
        page.get_by_test_id("language").click()
        fits(page)
    page.unroute_all()
    usable(page)


class TestMayTheBotWrite:
    """Asked once, after a purchase, where it makes sense."""

    @pytest.fixture
    def buyer(self, in_telegram: Visit) -> Visit:
        """Somebody in Telegram who has come into the app without ever talking to the bot."""
        invites.remember_bot(1, "krotray_bot")
        return in_telegram

    def asked(self, page: Page, what: str = "requestWriteAccess") -> list[str]:
        """How often Telegram was asked for this."""
        return [line for line in page.evaluate("window.asked") if line.startswith(what)]

    def bought(self, visit: Visit, first: str = "payment_pending", **about: object) -> None:
        """They have paid, and see so."""
        bill = visit.person.buy()
        open_app(visit.page, visit.world, visit.person, **about)  # type: ignore[arg-type]
        state(visit.page, first)
        at_checkout(visit.world, billing.find(UUID(bill["payment_id"])))
        billing.settle(UUID(bill["payment_id"]))
        converge_all()
        expect(visit.page.locator(".celebrates")).to_be_visible()

    def test_allowed(self, buyer: Visit) -> None:
        page = buyer.page
        buyer.person.me()
        users.lost(buyer.person.telegram_id)  # an earlier notice was refused
        self.bought(buyer)
        wait_until(lambda: len(self.asked(page)) == 1, seconds=10, what="the question", pause=0.03)

        def reachable() -> bool:
            return users.find(buyer.person.telegram_id).unreachable_since is None

        wait_until(reachable, seconds=10, what="the service to know", pause=0.03)
        expect(page.get_by_test_id("silent")).to_have_count(0)
        page.goto("about:blank")
        self.bought(buyer, "active")
        expect(page.get_by_test_id("to-invite")).to_be_visible()
        assert self.asked(page) == [], "once"

    def test_refused_there_is_the_bots_chat(self, buyer: Visit) -> None:
        page = buyer.page
        page.add_init_script("window.letsWrite = false")
        self.bought(buyer)
        expect(page.get_by_test_id("silent")).to_contain_text("нажать «Начать»")
        fits(page)
        page.get_by_test_id("language").click()
        expect(page.get_by_test_id("silent")).to_contain_text("press Start")
        page.get_by_test_id("open-bot").click()
        assert self.asked(page, "openTelegramLink") == ["openTelegramLink https://t.me/krotray_bot"]
        expect(page.get_by_test_id("silent")).to_have_count(0)
        page.reload()
        state(page, "active")
        expect(page.get_by_test_id("to-invite")).to_be_visible()
        expect(page.get_by_test_id("silent")).to_have_count(0)

    def test_who_has_talked_to_the_bot_is_not_asked(self, buyer: Visit) -> None:
        self.bought(buyer, allows_write_to_pm=True)
        expect(buyer.page.get_by_test_id("to-invite")).to_be_visible()
        assert self.asked(buyer.page) == []
        expect(buyer.page.get_by_test_id("silent")).to_have_count(0)

    def test_without_a_purchase_nobody_is_asked(self, buyer: Visit) -> None:
        buyer.has_days(12)
        buyer.opens("active")
        expect(buyer.page.get_by_test_id("to-invite")).to_be_visible()
        assert self.asked(buyer.page) == []

    def test_where_telegram_cannot_ask_there_is_the_bots_chat(self, visit: Visit) -> None:
        invites.remember_bot(1, "krotray_bot")
        self.bought(visit)
        expect(visit.page.get_by_test_id("open-bot")).to_be_visible()
        usable(visit.page)
