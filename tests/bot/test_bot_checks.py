"""After "check payment" the message turns over by itself when a worker has heard how it ended."""

from __future__ import annotations

import pytest
import requests

from krotray_bot import checks, words
from krotray_bot.checks import LONGEST_SECONDS, LOOK_SECONDS, MOST_WATCHED, Checks
from krotray_bot.talk import Fate, Screen, Talk, Told
from krotray_core import billing, cabinet
from krotray_core.cabinet import Cabinet
from krotray_core.models import Payment
from tests.test_receipts_screens import payment


class Shown(Talk):
    """A voice that is only noted."""

    def __init__(self) -> None:
        self.faces: list[tuple[int, int, Screen]] = []
        self.away = False

    def show(self, chat_id: int, message_id: int, screen: Screen, *, later: bool = True) -> Told:
        """Another face for a message."""
        assert later
        if self.away:
            raise requests.ConnectionError
        self.faces.append((chat_id, message_id, screen))
        return Told(Fate.SAID, message_id)


class Shop:
    """A payment and its buyer's cabinet, as the database would tell them, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moment, self.looks = 100.0, 0
        self.payment = payment(status="pending", user_id=1)
        self.cabinet = Cabinet("provisioning")
        self.talk = Shown()
        self.checks = Checks(self.talk, lambda: self.moment)
        monkeypatch.setattr(billing, "find", self._find)
        monkeypatch.setattr(cabinet, "of_user", lambda _: self.cabinet)
        self.checks.watch(self.payment, 7, 6, words.RU)

    def _find(self, _: object) -> Payment:
        self.looks += 1
        return self.payment

    def tend(self) -> list[str]:
        """A second later."""
        self.moment += LOOK_SECONDS
        self.checks.tend()
        return [screen.text for _, _, screen in self.talk.faces]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Where somebody has just pressed "check payment"."""
    return Shop(monkeypatch)


def test_it_waits_for_the_payment_and_then_for_the_key(shop: Shop) -> None:
    assert shop.tend() == []
    shop.payment.status = "succeeded"
    assert shop.tend() == []
    shop.cabinet = Cabinet("active", subscription_url="https://vpn.example.com/sub/T", vless_url="vless://K@h:443")
    [text] = shop.tend()
    assert text.startswith(words.RU.paid)
    [(chat_id, message_id, screen)] = shop.talk.faces
    assert (chat_id, message_id, screen.qr) == (7, 6, "https://vpn.example.com/sub/T")
    assert not shop.checks.waits


def test_a_payment_that_came_to_nothing_is_told(shop: Shop) -> None:
    shop.payment.status = "canceled"
    assert shop.tend() == [words.RU.canceled]


def test_it_looks_once_a_second_and_not_for_long(shop: Shop) -> None:
    for _ in range(5):
        shop.checks.tend()
    assert shop.looks == 0
    while shop.checks.waits:
        assert shop.tend() == []
    assert shop.looks == LONGEST_SECONDS / LOOK_SECONDS


def test_who_has_gone_elsewhere_is_not_called_back(shop: Shop) -> None:
    shop.payment.status = "canceled"
    shop.checks.let_go(7, 6)
    assert shop.tend() == []


def test_a_telegram_that_is_away_is_not_troubled_twice(shop: Shop) -> None:
    shop.payment.status, shop.talk.away = "canceled", True
    assert shop.tend() == []
    assert not shop.checks.waits


def test_it_watches_a_bounded_number(shop: Shop) -> None:
    for message_id in range(MOST_WATCHED * 2):
        shop.checks.watch(shop.payment, 8, message_id, words.EN)
    assert len(shop.checks._open) == checks.MOST_WATCHED


def test_the_first_press_does_not_say_that_nothing_was_paid() -> None:
    assert words.RU.checking == "Проверяем оплату. Ключ придёт сюда сам."
    assert words.EN.checking == "Checking. The key will come here by itself."
