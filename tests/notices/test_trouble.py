"""Telegram says no, not now, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from krotray_core import clock, delivery, telegram_api, users
from krotray_core.db import transaction
from krotray_core.models import Notice
from tests.conftest import at_once
from tests.notices.kit import Telegram, leases_over, note, rows, texts, wait_over
from tests.notices.test_telegram_api import answering


class TestTrouble:
    """Telegram says no, not now, or nothing."""

    def test_429_is_one_pause_for_all(self, telegram: Telegram) -> None:
        people = [telegram.somebody() for _ in range(3)]
        for person in people:
            note(person, ago=1)
        telegram.trouble(error_code=429, description="Too Many Requests: retry after 2", retry_after=2)
        before, began = telegram.calls(), time.monotonic()
        assert delivery.send_due() == 0
        note(people[0], "news that come in the pause")
        assert at_once(3, lambda _: delivery.send_due()) == [0, 0, 0]
        assert telegram.calls() == before + 1
        assert all(row.attempts == 0 and row.given_up_at is None for row in rows())
        sent = 0
        while sent < 4 and time.monotonic() - began < 15:
            time.sleep(0.1)
            sent += (more := delivery.send_due())
            assert not more or time.monotonic() - began >= 2
        assert [len(texts(person)) for person in people] == [2, 1, 1]

    def test_who_blocked_the_bot_or_never_started_it_is_given_up(self, telegram: Telegram) -> None:
        blocked, stranger, other = telegram.somebody(), telegram.stranger(), telegram.somebody()
        telegram.block(blocked)
        for person in (blocked, stranger, other):
            note(person, ago=1)
        assert delivery.send_due() == 1, "the others do not wait for them"
        first, second, third = rows()
        assert first.last_error == "Telegram answered 403 Forbidden: bot was blocked by the user"
        assert second.last_error == "Telegram answered 400 Bad Request: chat not found"
        assert (bool(first.given_up_at), bool(second.given_up_at), third.last_error) == (True, True, None)
        before = telegram.calls()
        wait_over()
        assert (delivery.send_due(), telegram.calls()) == (0, before)

    def test_a_failure_of_telegram_s_is_tried_again_later(self, telegram: Telegram) -> None:
        unlucky, other = telegram.somebody(), telegram.somebody()
        note(unlucky, ago=2)
        note(other, ago=1)
        telegram.trouble(error_code=502, description="Bad Gateway")
        assert delivery.send_due() == 0, "it would hardly be better with the next one"
        row = rows()[0]
        assert (row.attempts, row.last_error) == (1, "Telegram answered 502 Bad Gateway")
        assert timedelta(seconds=25) < row.next_try_at - clock.now() < timedelta(seconds=31)
        assert delivery.send_due() == 1
        assert [len(texts(person)) for person in (unlucky, other)] == [0, 1]
        wait_over()
        assert delivery.send_due() == 1
        assert len(texts(unlucky)) == 1
        assert rows()[0].last_error is None

    def test_after_two_days_of_tries_it_is_given_up(self, telegram: Telegram) -> None:
        note(telegram.somebody(), ago=1)
        with transaction() as session:
            session.execute(update(Notice).values(attempts=delivery.TRIES - 1))
        telegram.trouble(error_code=500)
        delivery.send_due()
        row = rows()[0]
        assert (row.attempts, bool(row.given_up_at)) == (delivery.TRIES, True)
        pauses = [delivery.pause(failures) for failures in range(1, delivery.TRIES)]
        assert sorted(pauses) == pauses
        assert timedelta(hours=47) < sum(pauses, timedelta()) < timedelta(hours=49)

    def test_a_wrong_token_gives_nothing_up_and_is_said_once(
        self, telegram: Telegram, caplog: pytest.LogCaptureFixture
    ) -> None:
        person, other = telegram.somebody(), telegram.somebody()
        note(person, ago=2)
        note(other, ago=1)
        with transaction() as session:
            session.execute(update(Notice).values(attempts=delivery.TRIES - 1))
        telegram.trouble(error_code=401, description="Unauthorized", times=3)
        before = telegram.calls()
        for call in range(1, 4):
            assert delivery.send_due() == 0
            assert delivery.send_due() == 0, "nobody else tries in the pause"
            assert telegram.calls() == before + call
            leases_over()
            wait_over()
        assert [(row.given_up_at, row.attempts) for row in rows()] == [(None, delivery.TRIES - 1)] * 2
        assert caplog.text.count("is BOT_TOKEN right?") == 1
        assert delivery.send_due() == 2
        note(person, "two", ago=1)
        telegram.trouble(error_code=401, description="Unauthorized")
        delivery.send_due()
        assert caplog.text.count("is BOT_TOKEN right?") == 2, "a new time is news again"

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_a_filter_s_page_gives_nobody_up(self, telegram: Telegram, says: Callable[..., None], status: int) -> None:
        person, user = telegram.user()
        note(person, ago=1)
        with answering(status, b"<html>blocked</html>") as url:
            says(telegram_api_url=url)
            assert delivery.send_due() == 0
        says()
        assert (rows()[0].given_up_at, rows()[0].attempts) == (None, 1)
        assert users.find(user.telegram_id).unreachable_since is None
        wait_over()
        assert delivery.send_due() == 1
        assert len(texts(person)) == 1

    def test_a_message_that_is_our_own_fault_waits_for_its_mending(self, telegram: Telegram) -> None:
        person, other = telegram.user()[0], telegram.somebody()
        note(person, ago=2)
        note(other, ago=1)
        telegram.trouble(error_code=400, description="Bad Request: can't parse entities: x")
        assert delivery.send_due() == 1, "the other one does not wait for it"
        assert (rows()[0].given_up_at, rows()[0].attempts) == (None, 1)
        wait_over()
        assert delivery.send_due() == 1
        assert len(texts(person)) == 1

    def test_what_has_no_words_waits_and_holds_up_nobody(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        note(person, "unsayable", ago=2, payment_id="1")
        note(person, ago=1)
        assert delivery.send_due() == 1
        row = rows()[0]
        assert (row.attempts, row.last_error, row.sent_at, row.given_up_at) == (1, "no words: KeyError", None, None)

    def test_what_went_out_but_was_not_written_down_goes_out_again(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Twice is better than never; and the lease of who fell over is left to run out."""
        person = telegram.somebody()
        note(person, ago=1)

        def send(*message: Any) -> None:
            real(*message)
            raise ConnectionError("the database, a moment later")

        real = telegram_api.send_message
        monkeypatch.setattr(telegram_api, "send_message", send)
        with pytest.raises(ConnectionError):
            delivery.send_due()
        monkeypatch.setattr(telegram_api, "send_message", real)
        wait_over()
        assert delivery.send_due() == 0
        leases_over()
        assert delivery.send_due() == 1
        assert len(texts(person)) == 2
