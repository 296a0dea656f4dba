"""The checkout page as a payer without a script engine uses it."""

from __future__ import annotations

import pytest
import requests
from sandbox_yookassa_kit import GONE, RETURN_URL, Browser, Till, order, running


def opened(till: Till, **changes: object) -> tuple[str, Browser]:
    made = till.make(**changes)
    return made["id"], till.browser().open(made["confirmation"]["confirmation_url"])


def test_the_page_says_what_it_is_and_what_is_to_pay(till: Till) -> None:
    _, browser = opened(till)
    for words in (
        "Тестовая касса",
        "деньги не списываются",
        "KrotRay, 3 месяца",
        "250\N{NO-BREAK SPACE}₽",
        "Карта",
        "СБП",
    ):
        assert words in browser.page
    english = browser.follow("lang=en")
    assert "Sandbox checkout" in english.page
    assert "lang=ru" in english.page


def test_the_shop_may_send_its_payer_to_the_english_page(till: Till) -> None:
    confirmation = {"type": "redirect", "return_url": RETURN_URL, "locale": "en_US"}
    assert "Sandbox checkout" in opened(till, confirmation=confirmation)[1].page


def test_a_card_pays_and_the_payer_goes_back(till: Till) -> None:
    payment_id, browser = opened(till)
    browser.press("/card")
    assert "Оплачено" in browser.page
    assert RETURN_URL in browser.links()
    assert f'content="5;url={RETURN_URL}"' in browser.page
    assert till.get(payment_id)["payment_method"]["card"]["last4"] == "4444"
    later = till.browser().open(f"/checkout/{payment_id}")
    assert "Оплачено" in later.page
    assert "http-equiv" not in later.page


def test_a_card_with_3d_secure_asks_first(till: Till) -> None:
    payment_id, browser = opened(till)
    browser.follow("card=4477").press("/card")
    assert "Подтвердите оплату" in browser.page
    assert till.get(payment_id)["status"] == "pending"
    browser.press("/3ds", "confirm")
    assert "Оплачено" in browser.page
    assert till.get(payment_id)["authorization_details"]["three_d_secure"] == {"applied": True}


def test_a_refused_confirmation_can_be_tried_again(till: Till) -> None:
    payment_id, browser = opened(till)
    browser.follow("card=4477").press("/card").press("/3ds", "reject")
    assert 'data-reason="3d_secure_failed"' in browser.page
    assert till.get(payment_id)["status"] == "pending"
    assert "Оплачено" in browser.press("/card").page


@pytest.mark.parametrize(
    ("last4", "reason"),
    [
        ("4600", "insufficient_funds"),
        ("4543", "card_expired"),
        ("4592", "3d_secure_failed"),
        ("4501", "issuer_unavailable"),
    ],
)
def test_a_declined_card_leaves_the_payment_payable(till: Till, last4: str, reason: str) -> None:
    payment_id, browser = opened(till)
    browser.follow(f"card={last4}").press("/card")
    assert f'data-reason="{reason}"' in browser.page
    assert "Деньги не списаны" in browser.page
    assert till.get(payment_id)["status"] == "pending"
    browser.follow("card=4444").press("/card")
    assert till.get(payment_id)["status"] == "succeeded"


def test_sbp_pays_with_one_button(till: Till) -> None:
    payment_id, browser = opened(till)
    browser.follow("method=sbp").press("/sbp", "reject")
    assert 'data-reason="general_decline"' in browser.page
    browser.press("/sbp", "confirm")
    assert "Оплачено" in browser.page
    assert till.get(payment_id)["payment_method"]["type"] == "sbp"


@pytest.mark.parametrize(("fixed", "other"), [("sbp", "card"), ("bank_card", "sbp")])
def test_the_method_that_the_shop_fixed_is_the_only_one(till: Till, fixed: str, other: str) -> None:
    payment_id, browser = opened(till, payment_method_data={"type": fixed})
    browser.open(f"/checkout/{payment_id}?method={other}")
    assert f"/{other}" not in browser.page
    # A form that was made up by hand has no more success than the page has buttons for it.
    typed = {"number": "5555555555554444", "expiry": "12/99", "cvc": "123", "answer": "confirm"}
    requests.post(f"{till.url}/checkout/{payment_id}/{other}", typed, timeout=10)
    assert till.get(payment_id)["status"] == "pending"


def test_a_typing_error_is_explained_beside_its_field(till: Till) -> None:
    payment_id, browser = opened(till)
    browser.press("/card", number="4111 1111 1111 1111", expiry="13/30", cvc="12")
    assert browser.status == 422
    for name in ("number", "expiry", "cvc"):
        assert f'aria-describedby="{name}-error"' in browser.page
    browser.press("/card", number="5555-5555-5555-4444", expiry="01/20", cvc="123")
    assert 'aria-describedby="expiry-error"' in browser.page
    browser.press("/card", expiry="12 / 99")
    assert till.get(payment_id)["status"] == "succeeded"


def test_leaving_pays_nothing(till: Till) -> None:
    payment_id, browser = opened(till)
    assert RETURN_URL in browser.links()
    assert till.get(payment_id)["status"] == "pending"


def test_the_box_for_testing_cancels_with_a_chosen_reason(till: Till) -> None:
    payment_id, browser = opened(till)
    browser.press("/cancel", reason="fraud_suspected")
    assert "Платёж отменён" in browser.page
    details = {"party": "yoo_money", "reason": "fraud_suspected"}
    assert till.get(payment_id)["cancellation_details"] == details


def test_without_capture_the_page_tells_of_a_reserve(till: Till) -> None:
    _, browser = opened(till, capture=False)
    assert "Деньги зарезервированы" in browser.press("/card").page


def test_a_click_after_the_hour_does_not_pay(till: Till) -> None:
    payment_id, browser = opened(till)
    till.control("/clock", advance_seconds=3600)
    browser.press("/card")
    assert "Время на оплату вышло" in browser.page
    assert till.get(payment_id)["status"] == "canceled"


def test_two_open_pages_pay_once(till: Till) -> None:
    payment_id, first = opened(till)
    second = till.browser().open(first.url)
    first.press("/card")
    paid = till.get(payment_id)
    assert "Оплачено" in second.press("/card").page
    assert till.get(payment_id) == paid


def test_a_refund_is_shown(till: Till) -> None:
    payment_id, browser = opened(till)
    browser.press("/card")
    refund = {"payment_id": payment_id, "amount": {"value": "50.50", "currency": "RUB"}}
    till.api("POST", "/refunds", json=refund)
    assert "Возвращено 50,50\N{NO-BREAK SPACE}₽" in browser.open(browser.url).page


def test_what_the_shop_wrote_cannot_become_markup(till: Till) -> None:
    _, browser = opened(till, description="<script>alert(1)</script>")
    assert "<script" not in browser.page


def test_an_unknown_payment_has_a_page_too(till: Till) -> None:
    browser = till.browser().open(f"/checkout/{GONE}")
    assert browser.status == 404
    assert "Платёж не найден" in browser.page


def test_the_page_needs_nothing_from_elsewhere(till: Till) -> None:
    made = till.make()
    answer = requests.get(made["confirmation"]["confirmation_url"], timeout=10)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    assert requests.get(f"{till.url}/assets/sandbox.css", timeout=10).status_code == 200


def test_the_shop_is_named_when_it_has_a_name() -> None:
    with running(shop_name="Крот и луч") as till:
        assert "Крот и луч" in opened(till)[1].page


def test_large_sums_and_kopecks_are_readable(till: Till) -> None:
    _, browser = opened(till, amount={"value": "1250.50", "currency": "RUB"})
    space = "\N{NO-BREAK SPACE}"
    assert f"1{space}250,50{space}₽" in browser.page
    assert order()["amount"]["value"] not in browser.page
