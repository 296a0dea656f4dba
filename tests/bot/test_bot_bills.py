"""YooKassa takes its time: only its buyer waits, and the message turns into the pay button by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

import pytest
import requests

from krotray_bot import bills, words
from krotray_bot.bills import MOST_QUEUED, THREADS, Bills
from krotray_bot.talk import Fate, Screen, Talk, Told
from krotray_core import checkout
from krotray_core.checkout import Noted
from krotray_core.errors import GatewayUnavailable
from krotray_core.models import Payment, User
from sandbox.process import wait_until
from sandbox.world import World
from tests.bot_kit import MONTH, MONTH_BY_CARD, BotWorld, Person, button, labels
from tests.conftest import new_user
from tests.test_billing import payments_at

CREATE = "POST /v3/payments"
PATIENCE_SECONDS = 5.0


@pytest.fixture
def hanging(talking: BotWorld) -> Iterator[BotWorld]:
    """A YooKassa that takes requests for payments and says nothing."""
    url = f"{talking.world.yookassa_url}/sandbox"
    fault = {"operation": CREATE, "kind": "hang", "when": "before", "seconds": 60, "then": "go_on", "times": "forever"}
    requests.post(f"{url}/faults", json=fault, timeout=5).raise_for_status()
    yield talking
    come_back(talking)


def come_back(talking: BotWorld) -> None:
    """YooKassa goes on with what it has, and with all that comes."""
    url = f"{talking.world.yookassa_url}/sandbox"
    requests.post(f"{url}/faults/clear", json={}, timeout=5).raise_for_status()
    requests.post(f"{url}/faults/release", json={}, timeout=5).raise_for_status()


def choose(person: Person) -> None:
    """As far as the press that makes the payment."""
    person.write("/buy")
    person.hears("На сколько")
    person.press(MONTH)
    person.hears("Как вам удобнее")
    person.press(MONTH_BY_CARD)


class TestWaiting:
    """What people see."""

    def test_nobody_waits_for_somebody_elses_bill_and_it_appears_by_itself(self, hanging: BotWorld) -> None:
        buyers, other = [hanging.somebody() for _ in range(3)], hanging.somebody()
        for buyer in buyers:
            choose(buyer)
            assert labels(buyer.hears("готовим счёт", seconds=PATIENCE_SECONDS)) == ["Попробовать ещё раз", "‹ Назад"]
            assert hanging.payments(buyer) == ["pending"], "it is in our books already"
        other.write("/start")
        other.hears("Здравствуйте", seconds=PATIENCE_SECONDS)
        buyers[0].press("Попробовать ещё раз")
        buyers[1].press("‹ Назад")
        buyers[1].hears("На сколько")
        come_back(hanging)
        for buyer in (buyers[0], buyers[2]):
            assert button(buyer.hears("1 месяц, 100 ₽ · Банковская карта", seconds=8), "Оплатить 100 ₽")
            assert len(buyer.heard()) == 1
        assert "На сколько" in buyers[1].last()["text"], "who has gone elsewhere is not called back"
        for buyer in buyers:
            assert hanging.payments(buyer) == ["pending"]

    def test_killed_meanwhile_a_press_leads_to_the_same_bill(self, hanging: BotWorld) -> None:
        buyer = hanging.somebody()
        choose(buyer)
        buyer.hears("готовим счёт")
        hanging.bot.kill()
        buyer.press("Попробовать ещё раз")  # before the next bot makes the bill by itself
        come_back(hanging)
        hanging.polling_bot()
        assert button(buyer.hears("Банковская карта", seconds=8), "Оплатить 100 ₽")
        assert hanging.payments(buyer) == ["pending"]

    def test_a_yookassa_that_stays_away_is_told_plainly(self, hanging: BotWorld) -> None:
        buyer = hanging.somebody()
        choose(buyer)
        buyer.hears("готовим счёт")
        assert labels(buyer.hears("Деньги не списаны", seconds=bills.LONGEST_SECONDS)) == [
            *("Попробовать ещё раз", "‹ Меню")
        ]

    def test_without_a_broker_the_bill_is_made_all_the_same(self, bot_world: BotWorld) -> None:
        bot_world.polling_bot(CELERY_BROKER_URL="redis://127.0.0.1:9/0")
        buyer = bot_world.somebody()
        choose(buyer)
        assert button(buyer.hears("Банковская карта", seconds=8), "Оплатить 100 ₽")


class Shown(Talk):
    """A voice that is only noted."""

    def __init__(self, failures: int = 0) -> None:
        self.faces: list[tuple[int, int, Screen]] = []
        self.failures = failures

        self.mute = False

    def muted(self, chat_id: int) -> bool:
        """Whether they hear nothing now."""
        assert chat_id
        return self.mute

    def show(self, chat_id: int, message_id: int, screen: Screen, *, later: bool = True) -> Told:
        """Another face for a message."""
        assert not later, "bills come again by themselves"
        if self.failures:
            self.failures -= 1
            raise requests.ConnectionError
        if self.mute:
            return Told(Fate.DROPPED, message_id)
        self.faces.append((chat_id, message_id, screen))
        return Told(Fate.SAID, message_id)


def noted(user: User) -> Noted:
    """A payment in our books alone."""
    return checkout.note(user.id, "1m", "card")


def tend(made: Bills) -> None:
    """Until nobody waits any more."""

    def done() -> bool:
        made.tend()
        return not made.waits

    wait_until(done, seconds=10, what="the bills")


class TestMaking:
    """The threads and their queue."""

    def test_in_the_making_it_is_one_however_often_it_is_asked_for(self, fresh: World, user: User) -> None:
        go_on, asked = Event(), list[Noted]()

        def make(one: Noted) -> Payment:
            asked.append(one)
            assert go_on.wait(10)
            return checkout.make(one)

        talk = Shown()
        made = Bills(talk, make)
        for message_id in (1, 2):
            bill = made.ask(noted(user), 7, words.RU, "pay:x")
            made.show_in(bill, message_id)
        made.let_go(7, 1)
        go_on.set()
        tend(made)
        assert [(chat_id, message_id) for chat_id, message_id, _ in talk.faces] == [(7, 2)]
        assert (len(asked), len(payments_at(fresh))) == (1, 1)

    def test_full_says_so_at_once(self, fresh: World) -> None:
        assert fresh
        go_on = Event()

        def make(one: Noted) -> Payment:
            assert go_on.wait(10)
            return one.payment

        made = Bills(Shown(), make)
        began = time.monotonic()
        for _ in range(THREADS):
            made.ask(noted(new_user()), 7, words.RU, "pay:x")
        wait_until(lambda: not made._queue.qsize(), seconds=5, what="the threads to be busy")
        for _ in range(MOST_QUEUED):
            made.ask(noted(new_user()), 7, words.RU, "pay:x")
        with pytest.raises(GatewayUnavailable):
            made.ask(noted(new_user()), 7, words.RU, "pay:x")
        assert time.monotonic() - began < 9
        go_on.set()
        tend(made)

    @pytest.mark.parametrize("failures", [1, 2])
    def test_a_telegram_that_is_not_well_is_asked_again(self, fresh: World, user: User, failures: int) -> None:
        assert fresh
        talk, go_on = Shown(failures), Event()

        def make(one: Noted) -> Payment:
            assert go_on.wait(10)
            return checkout.make(one)

        made = Bills(talk, make)
        made.show_in(made.ask(noted(user), 7, words.EN, "pay:x"), 1)
        go_on.set()
        tend(made)
        [(_, _, screen)] = talk.faces
        assert "Pay 100 ₽" in [one.text for row in screen.rows for one in row]

    def test_the_limit_of_time_ends_the_waiting(
        self, fresh: World, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert fresh
        monkeypatch.setattr(bills, "LONGEST_SECONDS", 0.5)
        talk, go_on = Shown(), Event()

        def make(one: Noted) -> Payment:
            assert go_on.wait(10)
            return one.payment

        made = Bills(talk, make)
        made.show_in(made.ask(noted(user), 7, words.EN, "pay:x"), 1)
        tend(made)
        go_on.set()
        [(_, _, screen)] = talk.faces
        assert screen.text == words.EN.gateway_away

    def test_a_chat_that_is_mute_for_long_gets_its_button_afterwards(self, fresh: World, user: User) -> None:
        assert fresh
        talk, go_on = Shown(), Event()

        def make(one: Noted) -> Payment:
            assert go_on.wait(10)
            return checkout.make(one)

        made = Bills(talk, make)
        bill = made.ask(noted(user), 7, words.EN, "pay:x")
        made.show_in(bill, 1)
        go_on.set()
        assert bill.done.wait(10)
        for talk.mute in (True, True, False):
            assert talk.faces == []
            assert made.waits is not talk.mute
            made.tend()
        assert (len(talk.faces), made.waits) == (1, False)

    def test_a_refusal_at_the_very_moment_keeps_it_too(self, fresh: World, user: User) -> None:
        assert fresh

        class Refused(Shown):
            def muted(self, chat_id: int) -> bool:
                assert chat_id
                return False

        talk, go_on = Refused(), Event()

        def make(one: Noted) -> Payment:
            assert go_on.wait(10)
            return checkout.make(one)

        made = Bills(talk, make)
        bill = made.ask(noted(user), 7, words.EN, "pay:x")
        made.show_in(bill, 1)
        go_on.set()
        assert bill.done.wait(10)
        for talk.mute in (True, False):
            assert talk.faces == []
            made.tend()
        assert (len(talk.faces), made.waits) == (1, False)

    def test_threads_that_could_not_be_started_are_not_counted(
        self, fresh: World, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert fresh
        made = Bills(Shown())
        one = noted(user)

        class Refused:
            def __init__(self, **_: object) -> None:
                pass

            def start(self) -> None:
                raise RuntimeError("can't start new thread")

        with monkeypatch.context() as full:
            full.setattr(bills, "Thread", Refused)
            for _ in range(MOST_QUEUED + THREADS):
                with pytest.raises(GatewayUnavailable, match="thread"):
                    made.ask(one, 7, words.EN, "pay:x")
            assert not made.waits
        bill = made.ask(one, 7, words.EN, "pay:x")
        assert bill.done.wait(10)
        assert bill.outcome().confirmation_url
