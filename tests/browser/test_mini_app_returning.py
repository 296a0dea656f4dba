"""The Mini App when life went on elsewhere: another device, another payment, a bot that may not write, another clock."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

import pytest
from playwright.sync_api import Route, expect

from krotray_core import billing, plans, subscriptions
from sandbox.process import wait_until
from tests.browser.app_kit import BACK, Visit, comes_back, hurries, state
from tests.conftest import at_checkout, converge_all

pytestmark = [pytest.mark.usefixtures("site", "fleet"), pytest.mark.timeout(120)]


def cancel(visit: Visit, payment_id: str, reason: str) -> None:
    """The bill comes to nothing at YooKassa, and we know."""
    payment = billing.find(UUID(payment_id))
    at_checkout(visit.world, payment, "cancel", reason=reason)
    billing.settle(payment.id)


class TestComingBack:
    """What changed elsewhere is there; what was begun is kept."""

    def test_a_key_changed_on_another_device(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active", "to-key", "turn")
        expect(page.get_by_test_id("qr")).to_be_visible()
        subscriptions.rotate_key(visit.person.telegram_id)
        converge_all()
        comes_back(page)
        now = visit.person.me()["subscription"]
        expect(page.get_by_test_id("vless-url")).to_contain_text(now["key"])
        path = urlsplit(now["subscription_url"]).path
        expect(page.get_by_test_id("qr")).to_have_attribute("src", f"{path}/qr.svg")

    def test_connecting_hands_over_the_new_link_and_keeps_what_was_picked(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active", "connect")
        page.get_by_test_id("other-device").locator("summary").click()
        page.get_by_test_id("device-ios").click()
        page.get_by_test_id("app-streisand").click()
        page.get_by_test_id("manual").locator("summary").click()
        subscriptions.rotate_key(visit.person.telegram_id)
        comes_back(page)
        expect(page.get_by_test_id("subscription-url")).to_have_text(
            visit.person.me()["subscription"]["subscription_url"]
        )
        expect(page.get_by_test_id("add")).to_have_text("Добавить в Streisand")
        expect(page.get_by_test_id("device-ios").get_by_role("radio")).to_be_checked()

    def test_what_has_not_changed_is_left_alone(self, visit: Visit) -> None:
        page = visit.page
        visit.has_paid()
        visit.opens("active")
        for room in ("to-key", "to-payments"):
            page.get_by_test_id(room).click()
            expect(page.locator('[data-testid="state"]:not([aria-busy])')).to_be_visible()
            page.evaluate("document.querySelector('#view .screen').dataset.mine = 'yes'")
            comes_back(page)
            expect(page.locator("[data-mine=yes]")).to_be_visible()
            page.get_by_test_id("back").click()

    def test_payments_and_home_after_a_purchase_elsewhere(self, visit: Visit) -> None:
        page = visit.page
        visit.has_paid("1m")
        visit.opens("active", "to-payments")
        expect(page.get_by_test_id("payment")).to_have_count(1)
        visit.has_paid("3m")
        comes_back(page)
        expect(page.get_by_test_id("payment")).to_have_count(2)
        page.get_by_test_id("back").click()
        expect(page.get_by_test_id("days-left")).to_contain_text("120")

    def test_a_confirm_that_is_open_stays_open(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active", "to-key", "rotate")
        state(page, "rotate")
        page.evaluate(BACK)
        page.evaluate("new Promise((done) => setTimeout(done, 300))")
        state(page, "rotate")

    def test_days_bought_elsewhere_lead_from_the_shop_home(self, visit: Visit) -> None:
        page = visit.page
        visit.opens("no_subscription")
        visit.has_days(12)
        comes_back(page)
        state(page, "active")

    @pytest.mark.parametrize("email", [None, "anna@example.org"])
    def test_new_prices_are_shown_and_the_choice_is_kept(self, visit: Visit, email: str | None) -> None:
        page = visit.page
        if email:  # a shop that gives receipts

            def with_receipt(route: Route) -> None:
                answer = route.fetch()
                receipt = {"email_required": True, "consent": None}
                route.fulfill(response=answer, json=answer.json() | {"receipt": receipt})

            page.route("**/api/plans", with_receipt)
        visit.has_days(12)
        visit.opens("active", "renew", "plan-3m", "method-card")
        if email:
            page.get_by_test_id("email").fill(email)
        plans.put("1m", months=1, days=30, amount_kopecks=150_00)
        comes_back(page)
        expect(page.get_by_test_id("plan-1m")).to_contain_text("150")
        expect(page.get_by_test_id("plan-3m").get_by_role("radio")).to_be_checked()
        expect(page.get_by_test_id("method-card").get_by_role("radio")).to_be_checked()
        if email:
            expect(page.get_by_test_id("email")).to_have_value(email)

    def test_a_mini_app_that_was_only_small_looks_too(self, in_telegram: Visit) -> None:
        visit, page = in_telegram, in_telegram.page
        visit.opens("no_subscription")
        visit.has_days(12)
        wait_until(lambda: page.evaluate("Boolean(window.heard?.activated)"), seconds=10, what="the script", pause=0.03)
        page.evaluate(BACK.replace('document.dispatchEvent(new Event("visibilitychange"))', "window.heard.activated()"))
        state(page, "active")


class TestUnpaidBills:
    """For who has days, an unpaid bill is a card and no more."""

    def test_a_bill_from_before_is_a_card_that_can_be_forgotten(self, visit: Visit) -> None:
        page = visit.page
        visit.opens("no_subscription")
        page.get_by_test_id("pay").click()
        page.wait_for_url("**/checkout/*")
        visit.has_days(12)  # an admin's, or bought on another device
        visit.opens("active")
        expect(page.get_by_test_id("unpaid")).to_contain_text("100 ₽")
        page.get_by_test_id("resume").click()
        state(page, "payment_pending")
        page.get_by_test_id("home").click()
        page.get_by_test_id("forget").click()
        expect(page.get_by_test_id("unpaid")).to_have_count(0)
        page.reload()
        state(page, "active")
        expect(page.get_by_test_id("to-key")).to_be_visible()
        expect(page.get_by_test_id("unpaid")).to_have_count(0)

    def test_the_card_says_by_itself_that_it_was_paid(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        bill = visit.person.buy("3m")["payment_id"]
        visit.opens("active")
        expect(page.get_by_test_id("unpaid")).to_be_visible()
        at_checkout(visit.world, billing.find(UUID(bill)))
        billing.settle(UUID(bill))
        converge_all()
        expect(page.locator(".notice")).to_contain_text("Оплата прошла")
        expect(page.get_by_test_id("unpaid")).to_have_count(0)

    def test_a_bill_that_another_payment_overtook_ends_in_silence(self, visit: Visit) -> None:
        page = visit.page
        visit.opens("no_subscription")
        page.get_by_test_id("method-card").click()
        page.get_by_test_id("pay").click()
        page.wait_for_url("**/checkout/*")
        old = visit.person.me()["payment_id"]
        visit.has_paid("3m")
        cancel(visit, old, "insufficient_funds")
        visit.opens("active")
        expect(page.locator("[data-state=payment_canceled]")).to_have_count(0)

    def test_waiting_ends_at_home_when_days_came_otherwise(self, visit: Visit) -> None:
        page = visit.page
        visit.person.buy("1m")
        visit.opens("payment_pending")
        visit.has_days(12)
        comes_back(page)
        state(page, "active")
        expect(page.get_by_test_id("unpaid")).to_be_visible()

    def test_who_renews_and_is_back_from_the_checkout_still_waits(self, visit: Visit) -> None:
        page = visit.page
        visit.has_days(12)
        visit.opens("active", "renew", "method-card", "pay")
        page.wait_for_url("**/checkout/*")
        page.goto(visit.world.mini_app_url)
        state(page, "payment_pending")
        cancel(visit, visit.person.me()["payment_id"], "insufficient_funds")
        state(page, "payment_canceled")  # this one they want to know about


class TestAServerThatHasToHearAgain:
    """No key at this moment is not a payment of this moment."""

    def test_nobody_is_told_of_a_payment_that_was_none(self, visit: Visit) -> None:
        subscriptions.grant(visit.person.telegram_id, 30)
        visit.opens("provisioning")
        screen = visit.page.locator("main")
        expect(screen).to_contain_text("Настраиваем доступ")
        expect(screen).not_to_contain_text("Оплата")
        converge_all()
        hurries(visit.page, "refresh")
        state(visit.page, "active")
        expect(screen).not_to_contain_text("Оплата")
        expect(visit.page.locator(".celebrates")).to_have_count(0)

    def test_who_has_just_paid_is_told_so(self, visit: Visit) -> None:
        bought = visit.person.buy()
        visit.opens("payment_pending")
        payment = billing.find(UUID(bought["payment_id"]))
        at_checkout(visit.world, payment)
        billing.settle(payment.id)
        hurries(visit.page, "check-payment")
        state(visit.page, "provisioning")
        expect(visit.page.locator("main")).to_contain_text("Оплата прошла, ключ готовим")
        converge_all()
        hurries(visit.page, "refresh")
        state(visit.page, "active")
        expect(visit.page.locator(".celebrates")).to_be_visible()
