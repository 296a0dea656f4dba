"""What happens to people's money and keys, and what they hear of it: by real payments, servers and messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from krotray_core import billing, cabinet, clock, delivery, refunds, subscriptions, users
from krotray_core.db import transaction
from krotray_core.models import Notice, Payment, User
from krotray_tasks import access
from sandbox.world import World
from tests.bot_kit import Person
from tests.conftest import add_server, at_checkout, at_once, buy, converge_all
from tests.notices.kit import Telegram, buttons, give, rows, send_now, texts, wait_over

pytestmark = pytest.mark.usefixtures("at_any_pace")


def pay(world: World, user: User, plan: str = "1m") -> Payment:
    """Buys, pays, and the worker settles; nobody has told Xray yet."""
    payment = buy(user, plan)
    at_checkout(world, payment)
    return billing.settle(payment.id).payment


def fails(world: World, payment: Payment, reason: str) -> Payment:
    """The payment comes to nothing at YooKassa, and the worker settles."""
    at_checkout(world, payment, "cancel", reason=reason)
    return billing.settle(payment.id).payment


def key_of(user: User) -> str:
    """The link that opens the VPN."""
    url = cabinet.of_user(user.id).vless_url
    assert url
    return url


def outcome(kind: str) -> str | None:
    """Why the only notice of this kind did not go out; "sent" if it did, None while it waits."""
    (row,) = rows(kind)
    return "sent" if row.sent_at else row.last_error if row.given_up_at else None


@pytest.mark.usefixtures("fleet")
def test_paid_and_the_key_works_one_message_with_it(fresh: World, telegram: Telegram) -> None:
    person, user = telegram.user()
    payment = pay(fresh, user)
    converge_all()
    assert delivery.send_due() == 1
    (told,) = texts(person)
    assert told.startswith("Оплата прошла, спасибо. 100 ₽")
    assert "осталось 30 дней" in told
    seen = cabinet.of_user(user.id)
    assert key_of(user) in told
    assert seen.subscription_url is not None
    assert seen.subscription_url in told
    assert [button["text"] for button in buttons(person)] == ["Скопировать ссылку", "Как подключиться"]
    wait_over()
    billing.settle(payment.id, anew=True)
    assert delivery.send_due() == 0
    assert outcome("key_coming") == "dropped: the key is there, or will not come"
    assert all(key_of(user) not in str(row.data) for row in rows()), "no row holds a key"


@pytest.mark.usefixtures("fleet")
def test_a_key_that_takes_longer_is_announced_and_then_sent_each_once(
    fresh: World, telegram: Telegram, pass_time: Callable[[timedelta], None]
) -> None:
    person, user = telegram.user()
    pay(fresh, user)
    assert send_now() == 0, "a few seconds are nothing to write about"
    assert outcome("paid") is None
    pass_time(timedelta(seconds=15))
    assert send_now() == 1
    assert texts(person) == [
        "Оплата прошла, ключ готовим — обычно это несколько секунд. Чат можно закрыть: ключ пришлём сюда сами."
    ]
    pass_time(timedelta(minutes=3))
    assert send_now() == 0
    converge_all()
    pass_time(timedelta(minutes=1))
    assert send_now() == 1
    assert key_of(user) in texts(person)[1]
    wait_over()
    assert send_now() == 0
    assert len(texts(person)) == 2


def test_who_waits_for_a_place_hears_that_and_gets_the_key_in_the_end(
    fresh: World, telegram: Telegram, pass_time: Callable[[timedelta], None]
) -> None:
    person, user = telegram.user("en")
    pay(fresh, user)
    pass_time(timedelta(seconds=15))
    send_now()
    assert "All places are taken" in texts(person)[0]
    add_server(fresh.nodes[0])
    access.seat_waiting()
    converge_all()
    pass_time(timedelta(minutes=2))
    send_now()
    assert key_of(user) in texts(person)[1]


@pytest.mark.usefixtures("fleet")
def test_the_worker_was_away_until_the_key_was_there(
    fresh: World, telegram: Telegram, pass_time: Callable[[timedelta], None]
) -> None:
    person, user = telegram.user()
    pay(fresh, user)
    converge_all()
    pass_time(timedelta(hours=1))
    send_now()
    assert len(texts(person)) == 1
    assert outcome("key_coming") is not None


@pytest.mark.usefixtures("fleet")
def test_settled_by_many_at_once_it_is_told_once(fresh: World, telegram: Telegram) -> None:
    person, user = telegram.user()
    payment = buy(user)
    at_checkout(fresh, payment)
    at_once(6, lambda _: billing.settle(payment.id, anew=True))
    converge_all()
    assert sum(at_once(3, lambda _: delivery.send_due(5))) == 1  # type: ignore[arg-type]
    assert len(texts(person)) == 1


@pytest.mark.usefixtures("fleet")
def test_a_renewal_is_told_at_once_and_each_payment_by_itself(fresh: World, telegram: Telegram) -> None:
    person, user = telegram.user()
    pay(fresh, user)
    converge_all()
    delivery.send_due()
    pay(fresh, user, "3m")
    assert delivery.send_due() == 1, "the key works as it did"
    assert "250 ₽" in texts(person)[1]
    assert "осталось 120 дней" in texts(person)[1]


@pytest.mark.usefixtures("fleet")
def test_money_that_went_back_before_the_key_was_sent(fresh: World, telegram: Telegram) -> None:
    person, user = telegram.user()
    payment = pay(fresh, user)
    refunds.start(payment.id)
    assert send_now() == 1
    assert texts(person)[0].startswith("Мы вернули вам 100 ₽")
    assert buttons(person)[0]["text"] == "Продлить"
    assert outcome("paid") == "dropped: the payment is refunded"


def test_a_payment_that_failed_says_why(fresh: World, telegram: Telegram, says: Callable[..., None]) -> None:
    says(
        quiet_hours=(0, 23) if clock.now().hour != 20 else (12, 11)
    )  # they have just been at the till: by night as well
    person, user = telegram.user()
    fails(fresh, buy(user), "insufficient_funds")
    assert delivery.send_due() == 1
    assert "На счёте не хватило денег, ничего не списано" in texts(person)[0]
    assert buttons(person) == [{"text": "Попробовать ещё раз", "callback_data": "buy"}]


@pytest.mark.parametrize("reason", ["insufficient_funds", "expired_on_confirmation"])
@pytest.mark.usefixtures("fleet")
def test_who_has_paid_in_another_way_need_not_hear_of_the_first(fresh: World, telegram: Telegram, reason: str) -> None:
    person, user = telegram.user()
    first = buy(user, method="sbp")
    pay(fresh, user)
    converge_all()
    fails(fresh, first, reason)
    send_now()
    assert [text[:6] for text in texts(person)] == ["Оплата"]
    assert "спасибо" in texts(person)[0]


def test_of_several_bills_that_ran_out_only_the_latest_is_told_of(fresh: World, telegram: Telegram) -> None:
    person, user = telegram.user()
    bills = [buy(user, method="sbp"), buy(user, "3m")]
    for bill in bills:
        fails(fresh, bill, "expired_on_confirmation")
    delivery.send_due()
    assert len(texts(person)) == 1
    assert "250 ₽" in texts(person)[0]
    assert "Время на оплату вышло" in texts(person)[0]


@pytest.mark.usefixtures("fleet")
def test_a_new_key_is_sent_when_it_works_and_only_the_last_one(fresh: World, telegram: Telegram) -> None:
    assert fresh
    person, user = telegram.user()
    give(user, 30)
    converge_all()
    old = key_of(user)
    subscriptions.rotate_key(user.telegram_id)
    subscriptions.rotate_key(user.telegram_id)
    assert send_now() == 0
    converge_all()
    wait_over()
    assert send_now() == 1
    (told,) = texts(person)
    assert told.startswith("Ключ заменён")
    assert key_of(user) in told
    assert old not in told
    assert [row.last_error for row in rows("key_changed")] == ["dropped: changed once more since", None]


@pytest.mark.usefixtures("fleet")
class TestDaysFromUs:
    """A present, or an end that an admin has moved."""

    @pytest.mark.parametrize(
        ("language", "begins", "until"),
        [("ru", "Мы добавили вам дни", "осталось 30 дней"), ("en", "We have added days", "30 days left")],
    )
    def test_a_present_is_told_with_the_key_as_soon_as_it_works(
        self, telegram: Telegram, language: str, begins: str, until: str
    ) -> None:
        person, user = telegram.user(language)
        subscriptions.grant(user.telegram_id, 30, once="x")
        assert send_now() == 0, "not before"
        converge_all()
        wait_over()
        assert send_now() == 1
        (told,) = texts(person)
        assert told.startswith(begins)
        assert until in told
        assert key_of(user) in told
        assert len(buttons(person)) == 2
        assert "vless" not in str([row.data for row in rows()])
        subscriptions.grant(user.telegram_id, 30, once="x")
        assert send_now() == 0, "the same act again is no present"

    def test_a_longer_end_is_told_and_a_shorter_one_is_not(self, telegram: Telegram) -> None:
        person, user = telegram.user()
        give(user, 30)
        converge_all()
        subscriptions.set_expiry(user.telegram_id, clock.now() + timedelta(days=20))
        assert send_now() == 0
        subscriptions.set_expiry(user.telegram_id, clock.now() + timedelta(days=25))
        assert send_now() == 1
        assert "осталось 25 дней" in texts(person)[0]

    def test_an_end_to_come_for_who_has_none_is_told(self, telegram: Telegram) -> None:
        person, user = telegram.user()
        give(user, 30)
        subscriptions.revoke(user.telegram_id)
        subscriptions.set_expiry(user.telegram_id, clock.now() + timedelta(days=5))
        converge_all()
        assert send_now() == 1
        assert "осталось 5 дней" in texts(person)[0]

    def test_what_is_taken_back_before_it_was_told_is_not_told(self, telegram: Telegram) -> None:
        person, user = telegram.user()
        subscriptions.grant(user.telegram_id, 300)
        subscriptions.grant(user.telegram_id, 300)
        subscriptions.set_expiry(user.telegram_id, clock.now() + timedelta(days=3))
        converge_all()
        assert send_now() == 1
        assert "осталось 3 дня" in texts(person)[0]
        assert [row.last_error for row in rows("granted")] == ["dropped: given more since", None]
        subscriptions.grant(user.telegram_id, 3)
        subscriptions.revoke(user.telegram_id)
        assert send_now() == 0
        assert len(texts(person)) == 1


def test_nobody_without_days_hears_of_a_new_key(telegram: Telegram) -> None:
    _, user = telegram.user()
    subscriptions.grant(user.telegram_id, 1)
    subscriptions.revoke(user.telegram_id)
    subscriptions.rotate_key(user.telegram_id)
    assert rows("key_changed") == []


class TestBlocked:
    """People who cannot be reached."""

    @staticmethod
    def refund(person: Person, key: str) -> None:
        data = {"amount_kopecks": 100, "taken_seconds": 0, "ends_at": None}
        with transaction() as session:
            session.add(Notice(telegram_id=person.id, kind="refunded", key=key, data=data))

    def test_a_403_is_the_last_message_until_they_come_back(self, telegram: Telegram) -> None:
        person, user = telegram.user()
        telegram.block(person)
        for key in ("first", "second"):
            self.refund(person, key)
        before = telegram.calls()
        assert delivery.send_due() == 0
        assert telegram.calls() == before + 1
        first, second = rows()
        assert first.last_error == "Telegram answered 403 Forbidden: bot was blocked by the user"
        assert second.last_error == "dropped: the person cannot be reached"
        with transaction() as session:
            assert session.get_one(User, user.id).unreachable_since is not None
        telegram.block(person, blocked=False)
        with transaction() as session:
            session.execute(update(User).where(User.id == user.id).values(unreachable_since=None))
        self.refund(person, "third")
        assert delivery.send_due() == 1
        assert len(texts(person)) == 1, "what they missed is not made up for"

    def test_who_never_wrote_to_the_bot_is_not_unreachable(self, telegram: Telegram) -> None:
        stranger = telegram.stranger()
        users.known(stranger.id)
        self.refund(stranger, "first")
        assert delivery.send_due() == 0
        with transaction() as session:
            assert session.query(User.unreachable_since).filter(User.telegram_id == stranger.id).scalar() is None
