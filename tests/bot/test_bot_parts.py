"""The bot's loop and its words, one by one."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import string
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from sqlalchemy.exc import OperationalError
from telebot import TeleBot, apihelper

from krotray_bot import faults, words
from krotray_bot.apologies import apology
from krotray_bot.polling import Failures, Poller
from krotray_bot.stop import Stop, Stopped
from krotray_core import speech
from krotray_core.errors import GatewayError, GatewayUnavailable, NotFound


class TestPolling:
    """The loop alone, with updates that no Telegram would send today."""

    def test_an_update_that_cannot_be_read_is_skipped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        person = {"id": 7, "is_bot": False, "first_name": "x"}
        good = {"message_id": 1, "date": 1, "chat": {"id": 7, "type": "private"}, "from": person, "text": "привет"}
        batches = [[{"update_id": 1, "message": {"shape": "new"}}, {"update_id": 2, "message": good}]]
        offsets, heard = list[int](), list[str]()

        def get_updates(_token: str, *, offset: int, **_: object) -> list[dict[str, Any]]:
            offsets.append(offset)
            if not batches:
                raise Stopped
            return batches.pop()

        monkeypatch.setattr(apihelper, "get_updates", get_updates)
        failures = Failures()
        bot = TeleBot("7:token", threaded=False, exception_handler=failures)
        bot.register_message_handler(lambda message: heard.append(message.text))
        with contextlib.suppress(Stopped):  # the last one, which confirms
            Poller(bot, failures, Stop()).run()
        assert (heard, offsets) == (["привет"], [0, 3, 3])

    def test_a_log_line_holds_no_text_of_the_http_library(self) -> None:
        error = requests.ConnectionError("Max retries exceeded with url: /bot7:secret/getUpdates")
        assert faults.describe(error) == "ConnectionError"
        assert faults.telegram_away(error)

    @pytest.mark.parametrize(
        ("error", "buying", "said"),
        [
            (GatewayUnavailable("x"), True, words.RU.gateway_away),
            (GatewayError("x"), True, words.RU.gateway_refused),
            (OperationalError("SELECT", {}, Exception()), True, words.RU.away_buying),
            (OperationalError("SELECT", {}, Exception()), False, words.RU.away),
            (NotFound("x"), False, words.RU.no_payment),
            (ZeroDivisionError(), False, words.RU.broken),
        ],
    )
    def test_every_fault_has_its_words(self, error: Exception, buying: bool, said: str) -> None:
        assert apology(error, words.RU, buying=buying) == said


class TestWords:
    """The texts themselves."""

    @pytest.mark.parametrize(
        ("days", "said"),
        [
            (1, "остался 1 день"),
            (2, "осталось 2 дня"),
            (5, "осталось 5 дней"),
            (11, "осталось 11 дней"),
            (12, "осталось 12 дней"),
            (21, "остался 21 день"),
            (104, "осталось 104 дня"),
            (111, "осталось 111 дней"),
        ],
    )
    def test_russian_plurals(self, days: int, said: str) -> None:
        assert speech.days_left_ru(days) == said

    def test_dates_are_moscows_and_show_the_year_only_when_it_matters(self) -> None:
        now = datetime(2026, 12, 1, tzinfo=UTC)
        late = datetime(2026, 12, 22, 21, 30, tzinfo=UTC)  # half past midnight in Moscow
        assert (speech.date_ru(late, now), speech.date_en(late, now)) == ("23 декабря", "23 December")
        assert speech.date_ru(late.replace(year=2027), now) == "23 декабря 2027 года"

    @pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(words.Words)])
    def test_both_languages_fill_in_the_same(self, field: str) -> None:
        def holes(text: object) -> set[str | None]:
            return (
                {name for _, name, _, _ in string.Formatter().parse(text) if name} if isinstance(text, str) else set()
            )

        assert holes(getattr(words.RU, field)) == holes(getattr(words.EN, field))

    @pytest.mark.parametrize("language", [words.RU, words.EN], ids=["ru", "en"])
    def test_faults_speak_of_the_money_calmly(self, language: words.Words) -> None:
        fields = ("gateway_away", "gateway_refused", "away_buying", "away", "no_payment", "broken", "canceled")
        for field in (*fields, "too_fast", "muted", "muted_long"):
            text = getattr(language, field)
            assert re.search(r"деньги|оплата|money|payment", text.lower())
            assert "!" not in text
            assert len(text) <= 200  # it may have to fit over a button
        assert language.again in language.making_bill, "it names the button that helps when nothing comes"
        assert len(language.checking) <= 200
        assert set(language.methods) == {"sbp", "card"}
        assert len(language.commands) == len(words.COMMANDS)

    def test_what_reads_as_it_would_be_said(self) -> None:
        """Phrases that once were not."""
        ru, en = words.RU, words.EN
        assert ru.used == "Использовано за этот срок: {volume}."
        assert en.used == "Used this period: {volume}."
        assert "has been blocked since" in en.office.unreachable
        assert all("no money has been taken yet" in text.lower() for text in (en.making_bill, en.ask_email))
        assert en.people_came(2) == "2 people have come through it."
        assert (ru.not_understood[:23], en.not_understood[:17]) == ("Я понимаю только кнопки", "I only understand")
