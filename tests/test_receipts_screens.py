"""Where the receipt goes, and why a payment came to nothing: what the payer is asked and told, in the Mini App and in the chat."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from flask.testing import FlaskClient

from krotray_bot import screens, words
from krotray_core import billing, checkout, plans, reasons, settings, users
from krotray_core.cabinet import Cabinet
from krotray_core.errors import EmailInvalid
from krotray_core.models import Payment, Plan, User
from sandbox.person import Person
from sandbox.world import ROOT, World
from sandbox.yookassa.cards import REASONS
from tests.chat_kit import Buyer, does, labels
from tests.conftest import at_checkout, buy
from tests.http_kit import create, get, problem, user_of

CONSENT = "Нажимая «Оплатить», вы соглашаетесь с политикой: https://krotray.example/privacy."
Set = Callable[..., None]


@pytest.fixture
def receipts_on(fresh: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shop that has to give receipts, here and at YooKassa."""
    on = settings.get().model_copy(update={"receipt_vat_code": 1, "receipt_consent": CONSENT})
    monkeypatch.setattr(settings, "get", lambda: on)
    modes(fresh, receipt_required=True)
    yield
    modes(fresh, receipt_required=False)


def modes(world: World, **switches: bool) -> None:
    """What kind of shop YooKassa takes us for."""
    requests.post(f"{world.yookassa_url}/sandbox/modes", json=switches, timeout=5).raise_for_status()


def asked(world: World) -> int:
    """How often YooKassa was asked for a payment."""
    return requests.get(f"{world.yookassa_url}/sandbox/requests", timeout=5).json().get("POST /v3/payments", 0)


class TestReasons:
    """The words for a payment that came to nothing."""

    @pytest.mark.parametrize(("language", "ours"), [("ru", reasons.RU), ("en", reasons.EN)])
    def test_the_mini_app_and_the_bot_say_the_same(self, language: str, ours: dict[str, str]) -> None:
        script = (ROOT / f"krotray_api/miniapp/static/words/reasons-{language}.js").read_text()
        block = re.search(r"^export const reasons = {\n(.*?)^};", script, re.MULTILINE | re.DOTALL)
        assert block
        lines = re.findall(r'^  "?(\w+)"?: (".*"),$', block[1], re.MULTILINE)
        assert len(lines) == block[1].count("\n")
        assert {reason: json.loads(text) for reason, text in lines} == ours

    def test_both_languages_know_every_reason_that_yookassa_and_we_have(self) -> None:
        assert set(reasons.RU) == set(reasons.EN) >= {*REASONS, "not_created", "returned"}

    @pytest.mark.parametrize("text", [*reasons.RU.values(), *reasons.EN.values()])
    def test_each_speaks_of_the_money_and_of_what_to_do(self, text: str) -> None:
        assert re.search("деньги|списано|удержал|money|none was taken", text.lower())
        assert len(re.split(r"[.:] ", text)) > 1
        assert "!" not in text
        assert len(text) <= 200

    @pytest.mark.parametrize("reason", ["insufficient_funds", "unknown", "a_reason_of_tomorrow", None])
    def test_a_canceled_payment_in_the_chat(self, reason: str | None) -> None:
        screen = screens.checked(words.RU, payment(status="canceled", cancel_reason=reason), Cabinet("expired"), NOW)
        assert screen.text == reasons.RU.get(reason or "", words.RU.canceled)
        assert "деньги" in screen.text or "денег" in screen.text
        assert does(screen) == ["pay:1m:1-30-10000:card", "pay:1m:1-30-10000:sbp", "go:buy", "go:home"]

    def test_money_that_went_back_in_the_chat(self) -> None:
        back = payment(status="refunded", refunded_kopecks=100_00)
        assert "100 ₽ вернутся" in screens.checked(words.RU, back, Cabinet("expired"), NOW).text.replace("\xa0", " ")
        part = payment(status="succeeded", refunded_kopecks=40_50)
        seen = Cabinet("provisioning")
        assert "40,50 ₽ вернулись" in screens.checked(words.RU, part, seen, NOW).text.replace("\xa0", " ")
        whole = payment(status="succeeded", refunded_kopecks=0)
        assert "верну" not in screens.checked(words.RU, whole, seen, NOW).text


NOW = datetime(2026, 12, 1, tzinfo=UTC)


def payment(**changes: Any) -> Payment:
    """A payment for a month by card."""
    row: dict[str, Any] = {"id": uuid4(), "plan_code": "1m", "months": 1, "days": 30, "amount_kopecks": 100_00}
    return Payment(**row | {"method": "card", "request": {}, "refunded_kopecks": 0} | changes)


class TestOverHttp:
    """What the API asks for and tells."""

    def test_without_receipts_nobody_is_asked(self, client: FlaskClient, person: Person) -> None:
        assert client.get("/api/plans").get_json()["receipt"] == {"email_required": False, "consent": None}
        assert create(client, person).status_code == 201
        assert get(client, "/api/me", person)["user"]["receipt_email"] is None

    @pytest.mark.usefixtures("receipts_on")
    def test_without_an_address_yookassa_is_not_asked_and_with_one_it_gets_the_receipt(
        self, client: FlaskClient, fresh: World, person: Person, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        assert client.get("/api/plans").get_json()["receipt"] == {"email_required": True, "consent": CONSENT}
        wanted = {"tariff": "1m", "method": "card"}
        problem(create(client, person), 422, "email_required")
        for wrong in ("", "anna", "anna@", "anna@localhost", "a b@mail.ru", "x" * 320):
            problem(create(client, person, wanted | {"email": wrong}), 422, "email_invalid")
        problem(create(client, person, wanted | {"email": 7}), 422, "invalid")
        assert asked(fresh) == 0
        assert billing.latest() == []

        made = create(client, person, wanted | {"email": "Anna@Example.COM"})
        assert made.status_code == 201
        assert asked(fresh) == 1, "and it takes no payment without a receipt"
        sent = billing.find(UUID(made.get_json()["payment_id"])).request["receipt"]
        assert sent["customer"] == {"email": "Anna@example.com"}
        assert get(client, "/api/me", person)["user"]["receipt_email"] == "Anna@example.com"
        again = create(client, person, wanted | {"method": "sbp"})
        assert again.status_code == 201, "the address is kept"
        assert get(client, "/api/me", Person(fresh))["user"]["receipt_email"] is None
        assert "nna@" not in caplog.text
        assert str(person.telegram_id) not in caplog.text

    def test_the_description_knows_all_of_it(self, client: FlaskClient) -> None:
        described = client.get("/api/openapi.json").get_json()
        schemas = described["components"]["schemas"]
        assert set(schemas["ReceiptOut"]["properties"]) == {"email_required", "consent"}
        assert "receipt" in schemas["PlansOut"]["required"]
        assert "receipt_email" in schemas["UserOut"]["required"]
        assert "409" in described["paths"]["/api/payments/create"]["post"]["responses"]


MONTH_BY_CARD = "pay:1m:1-30-10000:card"


@pytest.mark.usefixtures("receipts_on")
class TestInTheChat:
    """The bot asks once, remembers no question, and takes another address at any time."""

    def test_asked_once_then_paid_with_one_press(self, fresh: World) -> None:
        buyer = Buyer()
        question = buyer.press(MONTH_BY_CARD)
        assert question.text.startswith("На какой e-mail прислать чек?")
        assert CONSENT in question.text
        assert does(question) == ["go:buy"]
        assert asked(fresh) == 0

        offered = buyer.write(" Anna.K+vpn&co@Example.COM \n")
        assert "Чек пришлём на <b>Anna.K+vpn&amp;co@example.com</b>" in offered.text
        assert "1 месяц — 100 ₽ · Банковская карта" in [label.replace("\xa0", " ") for label in labels(offered)]
        assert MONTH_BY_CARD in does(offered)
        to_pay = buyer.press(MONTH_BY_CARD)
        assert "Чек придёт на Anna.K+vpn&amp;co@example.com" in to_pay.text
        assert does(to_pay)[0].startswith(fresh.yookassa_url)
        assert does(buyer.press(MONTH_BY_CARD)) == does(to_pay), "handled twice, one address"

        buyer.write("other@example.com")
        changed = buyer.press(MONTH_BY_CARD)
        assert "Чек придёт на other@example.com" in changed.text
        assert does(changed)[0] != does(to_pay)[0], "a receipt cannot be redirected once the payment is made"

    @pytest.mark.parametrize("wrong", ["anna@", "@anna", "anna@localhost", "анна@@почта.рф", "a" * 400 + "@mail.ru"])
    def test_a_wrong_address_is_told_kindly(self, wrong: str) -> None:
        buyer = Buyer()
        users.keep_receipt_email(buyer.user.id, "old@example.com")
        screen = buyer.write(wrong)
        assert screen.text == words.RU.email_wrong
        assert does(screen) == ["go:home"]
        assert buyer.kept() == "old@example.com"

    @pytest.mark.parametrize("text", ["здравствуйте", "anna собака mail.ru", None])
    def test_other_words_are_no_address(self, text: str | None) -> None:
        assert Buyer().write(text).text == words.RU.not_understood

    def test_an_address_among_other_words_is_not_guessed(self) -> None:
        buyer = Buyer()
        screen = buyer.write("почему на anna@mail.ru нет чека?")
        assert screen.text == f"{words.RU.email_hint}\n\n{words.RU.not_understood}"
        assert buyer.kept() is None

    def test_with_many_tariffs_or_none_the_list_follows(self) -> None:
        buyer = Buyer()
        for months in (6, 9, 12):
            plans.put(f"{months}m", months=months, days=30 * months, amount_kopecks=months * 80_00)
        offered = buyer.write("anna@example.com")
        assert "anna@example.com" in offered.text
        assert does(offered)[:-1] == [f"plan:{plan.code}:{screens.terms(plan)}" for plan in plans.on_sale()]
        for plan in plans.on_sale():
            plans.withdraw(plan.code)
        empty = buyer.write("anna@example.com")
        assert words.RU.nothing_on_sale in empty.text
        assert does(empty) == ["go:key", "go:home"]

    def test_too_many_open_bills_lead_to_the_latest(self) -> None:
        buyer = Buyer()
        users.keep_receipt_email(buyer.user.id, "anna@example.com")
        opened = []
        for price in range(100_00, 105_00, 100):
            plans.put("1m", amount_kopecks=price)
            opened.append(buy(buyer.user))
        plans.put("1m", amount_kopecks=200_00)
        screen = buyer.press("pay:1m:1-30-20000:card")
        assert screen.text == words.RU.too_many_open
        assert does(screen) == [opened[-1].confirmation_url, f"check:{opened[-1].id}", "go:home"]


@pytest.mark.usefixtures("fresh")
def test_without_receipts_an_address_is_just_words() -> None:
    buyer = Buyer()
    assert buyer.write("anna@example.com").text == words.RU.not_understood
    assert buyer.kept() is None


def test_an_address_is_kept_in_its_normal_form(user: User) -> None:
    assert users.keep_receipt_email(user.id, "Anna@EXAMPLE.com") == "Anna@example.com"
    assert users.find(user.telegram_id).receipt_email == "Anna@example.com"
    with pytest.raises(EmailInvalid) as refused:
        users.keep_receipt_email(user.id, "anna@")
    assert "anna" not in str(refused.value)
    assert users.find(user.telegram_id).receipt_email == "Anna@example.com"


def test_the_longest_buttons_fit() -> None:
    plan = Plan(code="a" * 16, months=120, days=3650, amount_kopecks=1_000_000_00)
    row = payment(plan_code=plan.code, months=120, days=3650, amount_kopecks=1_000_000_00, status="canceled")
    shown = (screens.email_kept(words.RU, "a@b.ru", [plan]), screens.checked(words.RU, row, Cabinet("expired"), NOW))
    for screen in shown:
        assert all(len(data.encode()) <= 64 for data in does(screen))


def test_what_was_paid_shows_its_receipt_where_it_is_checked(receipts_on: None, fresh: World) -> None:
    assert receipts_on is None
    buyer = Buyer()
    begun = checkout.start(buyer.user.id, "1m", "card", "anna@example.com")
    at_checkout(fresh, begun, "cancel", reason="card_expired")
    billing.settle(begun.id)
    screen = buyer.press(f"check:{begun.id}")
    assert screen.text == reasons.RU["card_expired"]
    assert labels(screen)[:2] == ["Оплатить картой", "Оплатить через СБП"]
    again = buyer.press(does(screen)[1])
    assert "Чек придёт на anna@example.com" in again.text
    assert user_of(Person(fresh, buyer.user.telegram_id)).receipt_email == "anna@example.com"
