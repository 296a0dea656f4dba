"""The words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krotray_core import notice_texts, reasons, reminders, telegram_html
from krotray_core.notice_texts import Turn
from sandbox.telegram.entities import parse_html
from sandbox.telegram.markup import keyboard_of
from tests.notices.kit import NOW


def said(kind: str, language_code: str | None = "ru", *, now: datetime = NOW, **data: object) -> str:
    """The text of a notice as it is read, at the time of these tests."""
    return parse_html(notice_texts.compose(kind, data, language_code, now).html)[0]


def under(kind: str, language_code: str = "ru", **data: object) -> list[tuple[str, Any]]:
    """The buttons below it: what stands on each, and what it does."""
    rows = notice_texts.compose(kind, data, language_code, NOW).buttons
    return [(button.pop("text"), *button.values()) for row in rows for button in map(dict, row)]


class TestTexts:
    """The words."""

    def test_a_refund_that_took_days(self) -> None:
        data = {"amount_kopecks": 250_00, "taken_seconds": 31 * 86_400, "ends_at": "2026-12-22T21:30:00+00:00"}
        assert said("refunded", **data) == (
            "Мы вернули вам 250 ₽. Деньги придут туда, откуда вы платили, обычно за несколько дней.\n\n"
            "Подписка действует до 23 декабря: это на 31 день меньше. Ключ прежний."
        )
        assert said("refunded", "en", **data) == (
            "We have refunded 250 ₽. The money goes back where it came from, usually within a few days.\n\n"
            "Your subscription works until 23 December, 31 days less than before. Your key stays the same."
        )

    @pytest.mark.parametrize(
        ("seconds", "russian", "english"),
        [
            (86_400, "на 1 день меньше", "1 day less"),
            (3 * 86_400 + 5, "на 3 дня меньше", "3 days less"),
            (11 * 86_400, "на 11 дней меньше", "11 days less"),
            (2 * 3_600, "на 2 часа меньше", "2 hours less"),
            (40, "на 1 час меньше", "1 hour less"),
        ],
    )
    def test_what_a_refund_took(self, seconds: int, russian: str, english: str) -> None:
        data = {"amount_kopecks": 100_50, "taken_seconds": seconds, "ends_at": "2026-12-22T21:30:00+00:00"}
        assert russian in said("refunded", **data)
        assert english in said("refunded", "en", **data)
        assert "100,50 ₽" in said("refunded", **data)

    def test_a_refund_that_took_nothing(self) -> None:
        data = {"amount_kopecks": 100, "taken_seconds": 0, "ends_at": "2027-12-22T21:30:00+00:00"}
        assert said("refunded", **data).endswith("Подписка действует до 23 декабря 2027 года, ключ прежний.")
        assert said("refunded", "en", **data).endswith(
            "Your subscription works until 23 December 2027. Your key stays the same."
        )

    @pytest.mark.parametrize("ends_at", [None, "2026-11-23T11:59:59+00:00"])
    def test_a_refund_that_ended_it(self, ends_at: str | None) -> None:
        data = {"amount_kopecks": 100_00, "taken_seconds": 5 * 86_400, "ends_at": ends_at}
        assert said("refunded", **data).endswith(
            "Подписка закончилась, ключ больше не работает. Продлить её можно в любой момент."
        )
        assert said("refunded", "en", **data).endswith(
            "Your subscription has ended and the key no longer works. You can renew it at any time."
        )

    def test_the_buttons_under_a_refund(self) -> None:
        data = {"amount_kopecks": 100, "taken_seconds": 0, "ends_at": "2027-12-22T21:30:00+00:00"}
        assert under("refunded", **data) == []
        assert under("refunded", **(data | {"ends_at": None})) == [("Продлить", "buy")]
        assert under("refunded", "en", **(data | {"ends_at": None})) == [("Renew", "buy")]

    def test_a_refund_that_failed(self) -> None:
        data = {"payment_id": "7", "amount_kopecks": 250_00, "reason": "insufficient_funds"}
        assert said("refund_failed", **data).startswith(
            "Возврат не прошёл: 250 ₽, платёж 7.\nПричина: insufficient_funds\n\nДеньги остались у нас"
        )
        assert said("refund_failed", "en", **data).startswith(
            "A refund did not go through: 250 ₽, payment 7.\nReason: insufficient_funds\n\nThe money is still with us"
        )

    def test_a_payment_that_needs_a_person(self) -> None:
        data = {"payment_id": "7", "reason": "the amount is 1.00"}
        assert said("payment_flagged", **data).startswith(
            "Платёж пришёл не таким, как мы ждали: 7.\nПричина: the amount is 1.00\n\nДни по нему не начислены"
        )
        assert said("payment_flagged", "en", **data).startswith(
            "A payment is not what we expected: 7.\nReason: the amount is 1.00\n\nNo days were given for it"
        )

    def test_a_report(self) -> None:
        data = {"lines": ["платёж 7: у нас 100 ₽,\nтам 250 ₽", "платёж 8"], "more": 3}
        assert said("reconciliation", **data) == (
            "Сверка за день: 5 расхождений. Посмотрите каждое.\n\n"
            "• платёж 7: у нас 100 ₽, там 250 ₽\n• платёж 8\n\nИ ещё 3."
        )
        assert said("reconciliation", "en", lines=["x"], more=0) == (
            "Daily reconciliation: 1 difference. Please look at each.\n\n• x"
        )
        assert said("reconciliation", lines=[], more=0) == "Сверка за день: расхождений нет."
        assert said("reconciliation", "en", lines=[], more=0) == "Daily reconciliation: no differences."

    def test_what_does_not_fit_into_a_report_is_counted(self) -> None:
        report = said("reconciliation", lines=["🐾" * 500] * 100, more=7)
        shown = report.count("•")
        assert 10 < shown < 100
        assert len(report.encode("utf-16-le")) // 2 <= telegram_html.LONGEST_TEXT
        assert report.startswith("Сверка за день: 107 расхождений")
        assert report.endswith(f"И ещё {107 - shown}.")

    def test_a_payment_that_counted(self) -> None:
        data = {"amount_kopecks": 250_00, "days_left": 90, "ends_at": "2027-02-21T12:00:00+00:00"}
        data |= {"subscription_url": "https://vpn.example.com/sub/T", "vless_url": "vless://K@h:443?a=1&b=2#<krot>"}
        assert said("paid", **data) == (
            "Оплата прошла, спасибо. 250 ₽\nКлюч работает до 21 февраля — осталось 90 дней.\n\n"
            "Ссылка подписки:\nhttps://vpn.example.com/sub/T\n\nИли сам ключ:\nvless://K@h:443?a=1&b=2#<krot>\n\n"
            "Нажмите на строку, чтобы скопировать, и вставьте в VPN-приложение."
        )
        assert said("paid", "en", **data).startswith(
            "The payment went through, thank you. 250 ₽\nYour key works until 21 February, 90 days left.\n\nSubscription link:"
        )
        html = notice_texts.compose("paid", data, "ru", NOW).html
        marked = [html_part for html_part in parse_html(html)[1] if html_part["type"] == "code"]
        assert len(marked) == 2, "a tap copies"
        assert under("paid", **data) == [
            ("Скопировать ссылку", {"text": "https://vpn.example.com/sub/T"}),
            ("Как подключиться", "connect"),
        ]
        assert "Или сам ключ" not in said("paid", **(data | {"vless_url": None}))
        assert under("paid", "en", **(data | {"subscription_url": "x" * 257})) == [("How to connect", "connect")]

    def test_a_key_that_takes_its_time(self) -> None:
        assert "обычно это несколько секунд" in said("key_coming", waits=False)
        assert "дни пока не идут" in said("key_coming", waits=True)
        assert "usually within seconds" in said("key_coming", "en", waits=False)
        assert "days stand still" in said("key_coming", "en", waits=True)

    @pytest.mark.parametrize("kind", ["payment_canceled", "payment_ran_out"])
    @pytest.mark.parametrize("reason", [*reasons.RU, "unknown", "a_reason_of_tomorrow"])
    def test_a_payment_that_came_to_nothing(self, kind: str, reason: str) -> None:
        data = {"amount_kopecks": 100_00, "reason": reason}
        russian, english = said(kind, **data), said(kind, "en", **data)
        assert russian.startswith("Оплата не прошла (100 ₽).\n\n")
        assert english.startswith("The payment did not go through (100 ₽).\n\n")
        assert russian.endswith(reasons.RU.get(reason, "или заплатить другим способом."))
        assert english.endswith(reasons.EN.get(reason, "or pay in another way."))
        assert "деньги" in russian.lower() or "списано" in russian or "удержал" in russian
        assert under(kind, **data) == [("Попробовать ещё раз", "buy")]

    @pytest.mark.parametrize(
        ("kind", "now", "russian", "english"),
        [
            (
                "ends_in_3_days",
                "2026-12-20T12:00",
                "закончится 23 декабря — осталось 3 дня",
                "ends on 23 December, 3 days left",
            ),
            (
                "ends_in_1_day",
                "2026-12-22T12:00",
                "завтра, 23 декабря, в 15:05 по Москве",
                "tomorrow, 23 December, at 15:05",
            ),
            (
                "ends_in_1_day",
                "2026-12-22T21:01",
                "сегодня, 23 декабря, в 15:05 по Москве",
                "today, 23 December, at 15:05",
            ),
            (
                "ended",
                "2026-12-23T12:05",
                "закончилась 23 декабря, ключ сейчас не работает",
                "ended on 23 December, the key",
            ),
            (
                "ended_yesterday",
                "2026-12-24T12:05",
                "Напоминаем: подписка закончилась 23 декабря",
                "ended on 23 December",
            ),
        ],
    )
    def test_reminders(self, kind: str, now: str, russian: str, english: str) -> None:
        data = {"ends_at": "2026-12-23T12:05:00+00:00", "days_left": 3}
        at = datetime.fromisoformat(f"{now}+00:00")
        assert russian in said(kind, now=at, **data)
        assert english in said(kind, "en", now=at, **data)
        assert under(kind, **data) == [("Продлить", "buy")]
        assert under(kind, "en", **data) == [("Renew", "buy")]

    def test_a_new_key_and_a_new_server(self) -> None:
        data = {"subscription_url": "https://vpn.example.com/sub/T", "vless_url": "vless://K@h:443"}
        assert said("key_changed", **data).startswith("Ключ заменён. Старые ключ и ссылка больше не работают")
        assert "vless://K@h:443" in said("key_changed", "en", **data)
        assert under("moved") == [("Мой ключ", "key")]
        assert under("moved", "en") == [("My key", "key")]

    def test_a_server_that_is_full(self) -> None:
        data = {"name": "Main", "taken": 100, "room": 100, "free": 37}
        assert said("server_full", **data).startswith(
            "Сервер Main заполнен: 100 из 100 мест. Новых он не берёт, на других свободно: 37."
        )
        assert said("server_full", "en", **data).startswith(
            "Server Main is full: 100 of 100 places. It takes nobody new; free on the others: 37."
        )

    def test_days_from_us(self) -> None:
        data = {"days_left": 30, "ends_at": "2026-12-23T12:00:00+00:00"}
        data |= {"subscription_url": "https://vpn.example.com/sub/T", "vless_url": "vless://K@h:443"}
        assert said("granted", **data).startswith(
            "Мы добавили вам дни.\nКлюч работает до 23 декабря — осталось 30 дней.\n\nСсылка подписки:"
        )
        assert said("granted", "en", **data).startswith(
            "We have added days for you.\nYour key works until 23 December, 30 days left.\n\nSubscription link:"
        )
        assert under("granted", **data)[1] == ("Как подключиться", "connect")

    def test_what_others_have_written_is_text(self) -> None:
        hostile = "</code><a href='tg://x'>&amp;"
        assert hostile in said("server_down", name=hostile, error="x")
        assert hostile in said("payment_flagged", payment_id="7", reason=hostile)
        assert f"#{hostile}" in said("key_changed", subscription_url=None, vless_url=f"vless://#{hostile}")

    # Repeated, because Hypothesis by itself writes no texts that are too long.
    ANY = st.builds(
        lambda words, times: words * times,
        st.text(st.characters(exclude_categories=["Cs"])) | st.text("🐾я ", min_size=3),
        st.integers(1, 2000),
    )
    NUMBER = st.integers(0, 2**63 - 1)
    MOMENT = st.timedeltas(timedelta(days=-700_000), timedelta(days=2_900_000)).map(lambda by: (NOW + by).isoformat())
    DATA = st.fixed_dictionaries(
        {
            "amount_kopecks": NUMBER,
            "taken_seconds": NUMBER,
            "ends_at": MOMENT,
            "payment_id": ANY,
            "reason": ANY,
            "lines": st.lists(ANY, max_size=40),
            "more": NUMBER,
            "name": ANY,
            "error": ANY,
            "taken": NUMBER,
            "room": NUMBER,
            "free": NUMBER,
            "people": NUMBER,
            "payments": NUMBER,
            "queue": ANY,
            "seconds": NUMBER,
            "servers": ANY,
            "days_left": NUMBER,
            "waits": st.booleans(),
            "subscription_url": ANY,
            "vless_url": st.none() | ANY,
            "html": st.just("<b>text</b>"),
        }
    )

    @given(data=DATA, kind=st.sampled_from(sorted(notice_texts.KINDS)), language=st.sampled_from(["ru", "en", None]))
    def test_no_text_is_longer_than_telegram_takes(self, data: dict[str, Any], kind: str, language: str | None) -> None:
        message = notice_texts.compose(kind, data, language, NOW)
        written, _ = parse_html(message.html)
        assert written.strip()
        assert len(written.encode("utf-16-le")) // 2 <= telegram_html.LONGEST_TEXT
        assert keyboard_of({"inline_keyboard": message.buttons} if message.buttons else None) == message.buttons


def test_who_goes_first_and_who_comes_by_night() -> None:
    by_night = {name for name, kind in notice_texts.KINDS.items() if kind.by_night}
    assert by_night == set(notice_texts.of_turn(Turn.URGENT))
    assert {"paid", "key_coming", "payment_canceled", "server_down"} <= by_night
    assert by_night.isdisjoint({*reminders.WINDOWS, "payment_ran_out", "broadcast", "moved", "key_changed", "refunded"})
    assert notice_texts.of_turn(Turn.BULK) == ["broadcast"]
