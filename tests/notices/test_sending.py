"""Notices: rows first, sending second."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from krotray_core import claims, clock, delivery, notices, telegram_api, users
from krotray_core.db import transaction
from krotray_core.errors import TelegramRefused
from krotray_core.models import Notice
from krotray_tasks import notices as tasks
from sandbox.process import Process, wait_until
from sandbox.world import ROOT, World
from tests.conftest import at_once
from tests.notices.kit import FLAGGED, NOW, Telegram, leases_over, note, rows, texts, wait_over


class TestNoting:
    """Rows."""

    def test_an_event_is_told_once_however_often_it_is_noted(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        at_once(6, lambda _: note(person))
        assert delivery.send_due() == 1
        note(person)
        assert delivery.send_due() == 0
        assert len(texts(person)) == 1

    def test_what_was_rolled_back_is_told_to_nobody(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        with pytest.raises(ZeroDivisionError), transaction() as session:  # noqa: PT012 - what comes before the error is the point
            notices.note(session, telegram_id=person.id, kind="payment_flagged", key="x", data=FLAGGED, now=clock.now())
            _ = 1 / 0
        assert delivery.send_due() == 0
        assert (rows(), texts(person)) == ([], [])

    def test_a_kind_without_a_text_is_refused(self, fresh: World) -> None:
        assert fresh
        with transaction() as session, pytest.raises(ValueError, match="unknown kind: gossip"):
            notices.note(session, telegram_id=1, kind="gossip", key="x", data={}, now=NOW)
        assert rows() == []

    def test_every_admin_is_told_once(self, telegram: Telegram, says: Callable[..., None]) -> None:
        admins = [telegram.somebody(), telegram.somebody("en")]
        says(admin_telegram_ids=tuple(admin.id for admin in admins))
        for _ in range(2):
            with transaction() as session:
                notices.tell_admins(session, kind="payment_flagged", key="flagged:1", data=FLAGGED, now=clock.now())
        assert [row.key for row in rows()] == [f"flagged:1:{admin.id}" for admin in admins]
        assert delivery.send_due() == 2
        assert [len(texts(admin)) for admin in admins] == [1, 1]

    def test_news_for_which_there_is_no_admin_are_in_the_log(
        self, fresh: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert fresh
        with transaction() as session:
            notices.tell_admins(session, kind="refund_failed", key="failed:7", data={}, now=NOW)
        assert rows() == []
        assert "refund_failed (failed:7)" in caplog.text


class TestSending:
    """From rows to Telegram."""

    @pytest.mark.usefixtures("at_any_pace")
    def test_several_senders_at_once_send_each_once(self, telegram: Telegram) -> None:
        people = [telegram.somebody() for _ in range(5)]
        for person in people:
            note(person, "one")
            note(person, "two")
        assert sum(at_once(4, lambda _: delivery.send_due())) == 10  # type: ignore[arg-type]
        assert [len(texts(person)) for person in people] == [2] * 5
        assert all(row.sent_at and row.attempts == 1 for row in rows())

    def test_a_notice_is_in_the_hands_of_one(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        for number in range(6):
            note(person, str(number), ago=1)
        claims = at_once(8, lambda _: delivery.claim_due(clock.now()))
        ids = [claim.subject.id for claim in claims if claim]  # type: ignore[attr-defined]
        assert len(ids) == len(set(ids)) >= 1
        while claim := delivery.claim_due(clock.now()):
            ids.append(claim.subject.id)
        assert sorted(ids) == [row.id for row in rows()]

    def test_the_task_sends(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        note(person)
        tasks.send_due()
        assert len(texts(person)) == 1

    @pytest.mark.usefixtures("at_any_pace")
    def test_no_more_than_25_a_second_also_when_one_sender_follows_another(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person, moments = telegram.somebody(), []
        monkeypatch.setattr(telegram_api, "send_message", lambda *_: moments.append(time.monotonic()))
        for number in range(20):
            note(person, str(number), ago=1)
            if number % 2:  # a new sender for every second one
                delivery.send_due()
        pauses = [after - before for before, after in itertools.pairwise(moments)]
        assert len(moments) == 20
        assert min(pauses) >= 1 / 25 - 0.001

    def test_one_chat_gets_no_more_than_one_a_second_and_nobody_else_waits_for_it(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        busy, others = telegram.somebody(), [telegram.somebody() for _ in range(3)]
        for number in range(3):
            note(busy, str(number), ago=2)
        for other in others:
            note(other, ago=1)
        moments: list[tuple[int, float]] = []
        monkeypatch.setattr(telegram_api, "send_message", lambda *sent: moments.append((sent[0], time.monotonic())))
        monkeypatch.setattr(delivery, "BUDGET_SECONDS", 0.5)
        while len(moments) < 6:  # a new sender for each half a second
            delivery.send_due()
        assert [chat for chat, _ in moments[:4]] == [busy.id, *(other.id for other in others)]
        told = [moment for chat, moment in moments if chat == busy.id]
        assert min(after - before for before, after in itertools.pairwise(told)) > 0.95
        assert told[-1] - told[0] < 4

    @pytest.mark.usefixtures("at_any_pace")
    def test_time_is_up_before_the_task_s_is(self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(delivery, "BUDGET_SECONDS", 0.1)
        person = telegram.somebody()
        for number in range(30):
            note(person, str(number), ago=1)
        first = delivery.send_due()
        assert 1 <= first < 15, "at 25 a second, a tenth of a second is soon over"
        while delivery.send_due():
            pass
        assert len(texts(person)) == 30

    def test_a_killed_sender_is_followed_by_the_next(self, telegram: Telegram, tmp_path: Path) -> None:
        people = [telegram.somebody(), telegram.somebody()]
        for person in people:
            note(person, ago=1)
        telegram.trouble(hold=True, error_code=500)
        before = telegram.calls()
        code = "from krotray_core import delivery; delivery.send_due()"
        sender = Process(
            "sender", [sys.executable, "-c", code], log=tmp_path / "sender.log", env=dict(os.environ), cwd=ROOT
        )
        wait_until(lambda: telegram.calls() > before, seconds=20, what="the first message to be on its way")
        sender.kill()
        telegram.release()
        assert delivery.send_due() == 0, "it may still be alive, for all we know"
        leases_over()
        assert delivery.send_due() == 1, "the other one; that which it had in its hands is left to it"
        wait_over()
        assert delivery.send_due() == 1
        assert [len(texts(person)) for person in people] == [1, 1]

    def test_a_claim_and_a_lease_outlive_the_longest_call(self) -> None:
        longest = timedelta(seconds=telegram_api.LONGEST_SECONDS)
        assert longest < delivery.LEASE_LENGTH < claims.CLAIM_LENGTH

    def test_who_was_too_slow_spoils_nothing(self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch) -> None:
        """The claim has run out in the middle of the call, and another sender has given the notice up, or sent it."""
        note(telegram.somebody(), ago=1)

        def meanwhile(outcome: dict[str, Any], error: Exception | None) -> Notice:
            def send(*_: object) -> None:
                with transaction() as session:
                    session.execute(update(Notice).values(next_try_at=NOW, **outcome))
                if error:
                    raise error

            wait_over()
            monkeypatch.setattr(telegram_api, "send_message", send)
            delivery.send_due()
            return rows()[0]

        row = meanwhile({"given_up_at": NOW}, None)
        assert (row.sent_at is not None, row.given_up_at) == (True, None), "it did go out"
        with transaction() as session:
            session.execute(update(Notice).values(sent_at=None))
        row = meanwhile({"sent_at": NOW}, TelegramRefused("blocked"))
        assert (row.sent_at, row.given_up_at) == (NOW, None)

    def test_each_is_told_in_their_language(self, telegram: Telegram) -> None:
        languages = {"ru": "Платёж", "uk": "Платёж", "kk": "Платёж", "en": "A payment", "de": "A payment"}
        for code, start in languages.items():
            person = telegram.somebody(code)
            users.greet(users.Person(person.id, language_code=code))
            note(person, ago=1)
            delivery.send_due()
            assert texts(person)[0].startswith(start), code
        unknown = telegram.somebody("en")  # an admin, say, who is no user of ours
        note(unknown, ago=1)
        delivery.send_due()
        assert texts(unknown)[0].startswith("Платёж")
