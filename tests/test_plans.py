"""What is sold, from the table to the buttons: a new price holds from now on, an old payment keeps its own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st

from krotray_bot import screens, words
from krotray_bot.talk import Screen
from krotray_core import billing, money, plans, users
from krotray_core.errors import Invalid, KrotRayError, NotFound, UnknownPlan
from krotray_core.models import Payment, Plan
from sandbox.person import Person
from sandbox.world import World
from tests.chat_kit import Buyer, does, labels
from tests.conftest import at_checkout, at_once, buy, new_user
from tests.http_kit import create, get, problem

NO_CODES = ["", "1M", "1м", "a b", "a:b", "1m\n", "1m\x00", "a" * 17, "\udcff", "..", "1m'--"]


def codes() -> list[str]:
    """What is on sale."""
    return [plan.code for plan in plans.on_sale()]


class TestTheTable:
    """The verbs."""

    @pytest.mark.usefixtures("fresh")
    def test_a_new_tariff_takes_its_place_by_length(self) -> None:
        plan, new = plans.put("2m", months=2, days=60, amount_kopecks=180_00)
        assert new
        assert plan.on_sale
        assert codes() == ["1m", "2m", "3m"]
        plans.put("2m-b", months=2, days=60, amount_kopecks=170_00)
        assert codes() == ["1m", "2m", "2m-b", "3m"]
        assert plans.find("2m").amount_kopecks == 180_00

    @pytest.mark.usefixtures("fresh")
    def test_only_what_is_given_changes(self) -> None:
        plan, new = plans.put("1m", amount_kopecks=150_00)
        assert (new, plan.months, plan.days, plan.amount_kopecks) == (False, 1, 30, 150_00)
        plan, _ = plans.put("1m", days=31)
        assert (plan.months, plan.days, plan.amount_kopecks) == (1, 31, 150_00)
        plan, _ = plans.put("1m", months=2)
        assert (plan.months, plan.days, plan.amount_kopecks) == (2, 31, 150_00)
        assert plans.find("1m").amount_kopecks == 150_00
        assert plans.find("3m").amount_kopecks == 250_00

    @pytest.mark.usefixtures("fresh")
    def test_withdrawn_and_offered_again_each_any_number_of_times(self) -> None:
        for _ in range(2):
            plans.withdraw("1m")
            assert codes() == ["3m"]
            assert [plan.code for plan in plans.everything()] == ["1m", "3m"]
            with pytest.raises(UnknownPlan, match=r"there are 3m$"):
                plans.find("1m")
        plans.put("1m", amount_kopecks=150_00)
        assert codes() == ["3m"], "a new price does not put it on sale"
        for _ in range(2):
            plans.offer("1m")
            assert plans.find("1m").amount_kopecks == 150_00

    @pytest.mark.usefixtures("fresh")
    def test_nothing_on_sale_at_all(self) -> None:
        for code in codes():
            plans.withdraw(code)
        assert codes() == []
        with pytest.raises(UnknownPlan, match="none on sale"):
            plans.find("1m")

    @pytest.mark.usefixtures("fresh")
    @pytest.mark.parametrize("code", NO_CODES, ids=ascii)
    def test_what_is_no_code(self, code: str) -> None:
        with pytest.raises(Invalid, match="code"):
            plans.put(code, months=1, days=30, amount_kopecks=100_00)
        with pytest.raises(UnknownPlan):
            plans.find(code)
        for verb in (plans.withdraw, plans.offer):
            with pytest.raises(NotFound):
                verb(code)
        assert codes() == ["1m", "3m"]

    @pytest.mark.usefixtures("fresh")
    @pytest.mark.parametrize(
        "wrong",
        [
            *({"months": months} for months in (0, -1, 121, 2**63)),
            *({"days": days} for days in (0, -1, 3651, 2**63)),
            *({"amount_kopecks": kopecks} for kopecks in (0, -100, 99, 1_000_000_01, 2**63)),
        ],
        ids=str,
    )
    def test_what_cannot_be_sold_changes_nothing(self, wrong: dict[str, int]) -> None:
        with pytest.raises(Invalid):
            plans.put("1m", **wrong)
        with pytest.raises(Invalid):
            plans.put("new", **({"months": 1, "days": 30, "amount_kopecks": 100_00} | wrong))
        assert codes() == ["1m", "3m"]
        assert plans.find("1m").days == 30

    @pytest.mark.usefixtures("fresh")
    def test_the_ends_of_what_can_be_sold(self) -> None:
        plans.put("least", months=1, days=1, amount_kopecks=1_00)
        plans.put("most-0123456789_", months=120, days=3650, amount_kopecks=1_000_000_00)
        assert codes() == ["least", "1m", "3m", "most-0123456789_"]

    @pytest.mark.usefixtures("fresh")
    def test_a_new_one_is_described_in_full(self) -> None:
        full: dict[str, Any] = {"months": 6, "days": 180, "amount_kopecks": 450_00}
        for name in full:
            with pytest.raises(Invalid, match="a new one needs"):
                plans.put("6m", **(full | {name: None}))
        with pytest.raises(NotFound):
            plans.withdraw("6m")
        with pytest.raises(NotFound):
            plans.offer("6m")

    @pytest.mark.usefixtures("fresh")
    def test_many_at_once_make_one(self) -> None:
        def put(number: int) -> object:
            try:
                return plans.put("6m", months=6, days=180, amount_kopecks=400_00 + number)
            except KrotRayError as error:
                return error.code

        answers = at_once(8, put)
        assert [answer[1] for answer in answers if isinstance(answer, tuple)].count(True) == 1
        assert {answer for answer in answers if isinstance(answer, str)} <= {"conflict"}
        assert codes() == ["1m", "3m", "6m"]

    @pytest.mark.usefixtures("fresh")
    def test_a_change_is_in_the_log_and_no_change_is_not(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", "krotray_core.plans")
        for _ in range(2):
            plans.put("1m", amount_kopecks=150_00)
            plans.withdraw("1m")
        assert [record.message for record in caplog.records] == [
            "tariff 1m: 1 months, 30 days, 100.00 RUB -> 1 months, 30 days, 150.00 RUB",
            "tariff 1m is withdrawn from sale",
        ]


class TestPrices:
    """What an owner types."""

    @given(st.integers(min_value=0, max_value=10**14 - 1))
    def test_there_and_back(self, kopecks: int) -> None:
        assert plans.price(money.to_text(kopecks)) == kopecks

    @given(st.integers(min_value=0, max_value=10**12 - 1))
    def test_whole_rubles_need_no_kopecks(self, rubles: int) -> None:
        assert plans.price(str(rubles)) == rubles * 100

    @given(st.text(alphabet="0123456789.,-+eE _nNaA٣\n", max_size=12) | st.text(max_size=12))
    @example("150\n")
    def test_whatever_is_taken_for_a_price_is_written_in_one_of_two_ways(self, text: str) -> None:
        try:
            kopecks = plans.price(text)
        except Invalid:
            return
        assert text in (money.to_text(kopecks), str(kopecks // 100))
        assert text.endswith(".00") or "." in text or kopecks % 100 == 0

    @pytest.mark.parametrize(
        "text",
        [
            *("", ".", "150.", "150.5", "150.000", ".50", "150,00", "1.5.0", "1 000", "1_000", "-150", "+150", "0150"),
            *(
                "1e2",
                "0x96",
                "NaN",
                "inf",
                " 150",
                "150 ",
                "150\n",
                "150₽",
                "150 RUB",
                "١٥٠",
                "１５０",
                "9" * 13,
                "9" * 5000,
            ),
        ],
        ids=lambda text: ascii(text)[:20],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(Invalid, match=r"150 or 150\.00"):
            plans.price(text)


class TestOverHttp:
    """What the Mini App sees."""

    def test_a_new_price_is_shown_and_taken_and_an_old_payment_keeps_its_own(
        self, client: FlaskClient, person: Person, fresh: World
    ) -> None:
        old = create(client, person).get_json()["payment_id"]
        plans.put("1m", days=31, amount_kopecks=150_50)
        shown = {plan["code"]: plan for plan in client.get("/api/plans").get_json()["plans"]}
        assert shown["1m"] == {"code": "1m", "months": 1, "days": 31, "amount": "150.50", "currency": "RUB"}
        assert shown["3m"]["amount"] == "250.00"
        new = create(client, person).get_json()["payment_id"]
        for payment_id, amount, days in ((old, "100.00", 30), (new, "150.50", 31)):
            assert get(client, f"/api/payments/{payment_id}", person)["amount"] == amount
            payment = billing.find(UUID(payment_id))
            assert payment.request["amount"]["value"] == amount
            assert payment.days == days
        at_checkout(fresh, billing.find(UUID(old)))
        assert billing.settle(UUID(old)).payment.status == "succeeded"
        assert get(client, "/api/me", person)["subscription"]["days_left"] == 30, "the days that it was sold with"

    def test_a_withdrawn_tariff_is_gone_and_refused_but_what_was_begun_counts(
        self, client: FlaskClient, person: Person, fresh: World
    ) -> None:
        begun = UUID(create(client, person).get_json()["payment_id"])
        plans.withdraw("1m")
        assert [plan["code"] for plan in client.get("/api/plans").get_json()["plans"]] == ["3m"]
        problem(create(client, person), 422, "unknown_tariff")
        at_checkout(fresh, billing.find(begun))
        assert billing.settle(begun).payment.status == "succeeded"
        plans.withdraw("3m")
        assert client.get("/api/plans").get_json()["plans"] == []
        problem(create(client, person), 422, "unknown_tariff")
        plans.offer("1m")
        assert create(client, person).status_code == 201


def buttons(screen: Screen) -> dict[str, str]:
    """What each button says and does."""
    return dict(zip(labels(screen), does(screen), strict=True))


def is_notice(screen: Screen) -> bool:
    """Whether it says that the tariffs have changed, and shows those of today."""
    assert list(buttons(screen).values())[:-1] == [f"plan:{p.code}:{screens.terms(p)}" for p in plans.on_sale()]
    return screen.text.startswith("Тарифы изменились, деньги не списаны.\n\n")


@pytest.fixture
def buyer(fresh: World) -> Buyer:
    """A buyer in the chat."""
    assert fresh
    return Buyer()


def of(buyer: Buyer) -> list[Payment]:
    """The payments of this buyer."""
    return [payment for payment in billing.latest(limit=50) if payment.user_id == buyer.user.id]


class TestInTheChat:
    """Buttons outlive prices: nobody is sold anything at a price that they did not see."""

    def test_the_price_on_the_button_is_the_price_of_the_payment(self, buyer: Buyer) -> None:
        plans.put("1m", amount_kopecks=150_50)
        plans.put("3m", amount_kopecks=400_00)
        offered = buttons(buyer.press("go:buy"))
        assert list(offered)[:2] == ["1 месяц — 150,50 ₽", "3 месяца — 400 ₽ · выгода 51,50 ₽"]
        ways = buyer.press(offered["1 месяц — 150,50 ₽"])
        assert "1 месяц, 150,50 ₽" in ways.text
        assert "Оплатить 150,50 ₽" in buttons(buyer.press(buttons(ways)["СБП"]))
        (payment,) = of(buyer)
        assert (payment.amount_kopecks, payment.method) == (150_50, "sbp")

    @pytest.mark.parametrize(
        "change",
        [{"amount_kopecks": 150_00}, {"amount_kopecks": 50_00}, {"days": 20}, {"months": 2}],
        ids=str,
    )
    def test_a_tariff_that_changed_meanwhile_is_shown_anew(self, buyer: Buyer, change: dict[str, int]) -> None:
        chosen = buttons(buyer.press("go:buy"))["1 месяц — 100 ₽"]
        way = buttons(buyer.press(chosen))["Банковская карта"]
        plans.put("1m", **change)
        assert is_notice(buyer.press(chosen))
        again = buyer.press(way)
        assert is_notice(again)
        assert of(buyer) == []
        fresh_choice = next(iter(buttons(again).values()))
        buyer.press(buttons(buyer.press(fresh_choice))["Банковская карта"])
        (payment,) = of(buyer)
        assert payment.amount_kopecks == plans.find("1m").amount_kopecks

    def test_a_tariff_that_was_withdrawn_meanwhile(self, buyer: Buyer) -> None:
        chosen = buttons(buyer.press("go:buy"))["1 месяц — 100 ₽"]
        way = buttons(buyer.press(chosen))["СБП"]
        plans.withdraw("1m")
        for pressed in (chosen, way):
            screen = buyer.press(pressed)
            assert is_notice(screen)
            assert next(iter(buttons(screen))).startswith("3 месяца")
        assert of(buyer) == []

    def test_nothing_is_on_sale(self, buyer: Buyer) -> None:
        chosen = buttons(buyer.press("go:buy"))["1 месяц — 100 ₽"]
        for code in codes():
            plans.withdraw(code)
        screen = buyer.press("go:buy")
        assert screen.text == words.RU.nothing_on_sale
        assert list(buttons(screen)) == ["Мой ключ", "‹ Меню"]
        assert buyer.press(chosen).text == f"{words.RU.plans_changed}\n\n{words.RU.nothing_on_sale}"

    def test_a_price_that_changes_at_the_very_moment_is_not_taken(
        self, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        way = buttons(buyer.press(buttons(buyer.press("go:buy"))["1 месяц — 100 ₽"]))["СБП"]
        find = plans.find

        def then_changes(code: str) -> Plan:
            found = find(code)
            plans.put(code, amount_kopecks=150_00)
            return found

        monkeypatch.setattr(plans, "find", then_changes)
        screen = buyer.press(way)
        assert is_notice(screen)
        assert not any("://" in does for does in buttons(screen).values()), "nowhere to pay"

    def test_what_was_begun_at_the_old_price_can_still_be_paid(self, buyer: Buyer) -> None:
        way = buttons(buyer.press(buttons(buyer.press("go:buy"))["1 месяц — 100 ₽"]))["СБП"]
        to_pay = buyer.press(way)
        plans.put("1m", amount_kopecks=150_00)
        assert buttons(buyer.press(way)) == buttons(to_pay), "the press that was handled twice"
        assert len(of(buyer)) == 1

    @pytest.mark.parametrize(
        "data",
        [
            *("plan", "plan:1m", "pay:1m:card", "pay:1m:1-30-10000:card:more", "pay:1m:1-30-10000:barter"),
            *("plan:1m:x", "pay:1m::card", "plan:\x00:x"),
        ],
        ids=ascii,
    )
    def test_a_button_that_nobody_has_any_more(self, buyer: Buyer, data: str) -> None:
        screen = buyer.press(data)
        assert list(buttons(screen))[:2] == ["1 месяц — 100 ₽", "3 месяца — 250 ₽ · выгода 50 ₽"]
        assert of(buyer) == []

    def test_the_longest_button_fits(self) -> None:
        plan = Plan(code="a" * 16, months=120, days=3650, amount_kopecks=1_000_000_00)
        for screen in (screens.tariffs(words.RU, [plan]), screens.methods(words.RU, plan)):
            assert all(len(data.encode()) <= 64 for data in buttons(screen).values())


def test_a_payment_outlives_its_tariff(fresh: World) -> None:
    assert fresh
    user = users.find(new_user().telegram_id)
    payment = buy(user, "3m")
    plans.put("3m", months=4, days=120, amount_kopecks=999_00)
    plans.withdraw("3m")
    at_checkout(fresh, payment)
    paid = billing.settle(payment.id).payment
    assert (paid.status, paid.months, paid.days, paid.amount_kopecks) == ("succeeded", 3, 90, 250_00)
