"""One message to many people: each of them once, whatever is killed or stopped on the way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from krotray_core import broadcasts, clock, delivery, notice_texts, subscriptions, telegram_api
from krotray_core.db import transaction
from krotray_core.errors import Conflict, Invalid, NotFound, TelegramUnavailable
from krotray_core.models import Broadcast, Notice, Subscription, User
from krotray_core.notice_texts import BROADCAST
from krotray_core.notices import Verdict
from sandbox.process import Process, wait_until
from sandbox.world import ROOT, World
from tests.bot_kit import Person
from tests.conftest import at_once, new_user
from tests.notices.kit import Telegram, leases_over, night, note, rows, texts, wait_over

TEXT = "<b>Новый сервер</b> в Амстердаме &amp; рядом"
READ = "Новый сервер в Амстердаме & рядом"
DAY = timedelta(days=1)


def known(telegram: Telegram, count: int) -> list[Person]:
    """People who have written to the bot, known to us."""
    return [telegram.user()[0] for _ in range(count)]


def crowd(count: int) -> list[User]:
    """People whom the sandbox Telegram knows nothing of."""
    return [new_user() for _ in range(count)]


def all_of(broadcast_id: int) -> tuple[int, int, int, int, str]:
    """noted, sent, failed, left and the state."""
    seen = broadcasts.progress(broadcast_id)
    return seen.noted, seen.sent, seen.failed, seen.left, seen.state


class TestReach:
    """Who gets it."""

    def test_everybody_who_can_be_reached_and_who_was_there_before(self, telegram: Telegram) -> None:
        people = known(telegram, 3)
        gone = known(telegram, 1)[0]
        with transaction() as session:
            session.execute(update(User).where(User.telegram_id == gone.id).values(unreachable_since=clock.now()))
        assert broadcasts.size("all") == 3
        made = broadcasts.start(TEXT, "all")
        late = known(telegram, 1)[0]
        assert all_of(made.id) == (0, 0, 0, 3, "running")
        assert delivery.send_due() == 3
        assert [texts(person) for person in people] == [[READ]] * 3
        assert texts(gone) == texts(late) == []
        assert all_of(made.id) == (3, 3, 0, 0, "done")
        assert {str(row.data) for row in rows()} == {str({"broadcast": made.id})}, "the words are kept once"
        assert delivery.send_due() == 0

    def test_segments(self, fresh: World) -> None:
        assert fresh
        runs, waits, ended, unswept, revoked, _never = crowd(6)
        for user in (runs, waits, ended, unswept, revoked):
            subscriptions.grant(user.telegram_id, 30)
        for user, left in ((runs, DAY), (ended, -DAY)):
            subscriptions.set_expiry(user.telegram_id, clock.now() + left)
        subscriptions.revoke(revoked.telegram_id)
        with transaction() as session:
            session.execute(update(Subscription).where(Subscription.user_id != waits.id).values(waiting_since=None))
        subscriptions.expire_due()
        subscriptions.set_expiry(unswept.telegram_id, clock.now() - DAY)
        assert [broadcasts.size(segment) for segment in ("all", "active", "expired")] == [6, 2, 2]
        for segment, users in (("active", {runs, waits}), ("expired", {ended, unswept})):
            broadcasts.start(TEXT, segment)  # type: ignore[arg-type]
            broadcasts.step()
            assert {row.telegram_id for row in rows(BROADCAST)} == {user.telegram_id for user in users}
            with transaction() as session:
                session.execute(update(Notice).values(kind="moved"))  # seen

    def test_who_has_bought_meanwhile_is_not_asked_to(self, telegram: Telegram) -> None:
        bought, not_yet = known(telegram, 2)
        for person in (bought, not_yet):
            subscriptions.grant(person.id, 1)
            subscriptions.set_expiry(person.id, clock.now() - DAY)
        made = broadcasts.start(TEXT, "expired")
        broadcasts.step()
        subscriptions.grant(bought.id, 30)
        assert delivery.send_due(1) == 1
        assert (texts(bought), texts(not_yet)) == ([], [READ])
        assert all_of(made.id) == (2, 1, 1, 0, "done")

    def test_who_has_blocked_the_bot_counts_as_failed_and_is_left_alone(self, telegram: Telegram) -> None:
        person, other = known(telegram, 2)
        telegram.block(person)
        made = broadcasts.start(TEXT, "all")
        delivery.send_due(1)
        assert all_of(made.id) == (2, 1, 1, 0, "done")
        assert texts(other) == [READ]
        assert broadcasts.size("all") == 1

    def test_nobody_at_all(self, fresh: World) -> None:
        assert fresh
        made = broadcasts.start(TEXT, "active")
        assert delivery.send_due() == 0
        assert all_of(made.id) == (0, 0, 0, 0, "done")


class TestOnce:
    """Nobody gets it twice."""

    def test_the_same_words_again_only_if_that_is_meant(self, fresh: World) -> None:
        assert fresh
        first = broadcasts.start(TEXT, "all")
        with pytest.raises(Conflict, match=f"as broadcast {first.id}"):
            broadcasts.start(f"{TEXT}\r\n", "all")
        assert broadcasts.start(TEXT, "expired").id != first.id
        assert broadcasts.start(TEXT, "all", again=True).id != first.id

    def test_two_admins_at_the_same_moment(self, fresh: World) -> None:
        assert fresh

        def start(_: int) -> bool:
            try:
                return bool(broadcasts.start(TEXT, "all"))
            except Conflict:
                return False

        assert sum(at_once(4, start)) == 1  # type: ignore[arg-type]

    def test_noted_by_many_at_once(self, fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
        assert fresh
        monkeypatch.setattr(broadcasts, "BATCH", 1000)
        made, people = None, crowd(30)
        made = broadcasts.start(TEXT, "all")
        monkeypatch.setattr(broadcasts, "BATCH", 7)
        for _ in range(8):
            at_once(4, lambda _: broadcasts.step())
            with transaction() as session:
                session.execute(update(Notice).values(sent_at=clock.now()))
        assert sorted(row.telegram_id for row in rows()) == sorted(user.telegram_id for user in people)
        assert all_of(made.id) == (30, 30, 0, 0, "done")

    def test_a_sender_killed_in_the_middle_of_one_leaves_that_one_alone(
        self, telegram: Telegram, tmp_path: Path
    ) -> None:
        people = known(telegram, 3)
        made = broadcasts.start(TEXT, "all")
        telegram.trouble(hold=True)  # Telegram takes it, but the answer is late
        before = telegram.calls()
        code = "from krotray_core import delivery; delivery.send_due()"
        env = os.environ | {"QUIET_HOURS": "0-0"}
        sender = Process("sender", [sys.executable, "-c", code], log=tmp_path / "sender.log", env=env, cwd=ROOT)
        wait_until(lambda: telegram.calls() > before, seconds=30, what="the first message to be on its way")
        sender.kill()
        telegram.release()
        wait_until(lambda: sum(len(texts(person)) for person in people), seconds=5, what="it to arrive all the same")
        leases_over()
        wait_over()
        assert delivery.send_due() == 2
        assert [texts(person) for person in people] == [[READ]] * 3
        assert all_of(made.id) == (3, 2, 1, 0, "done")

    @pytest.mark.parametrize(("unsure", "again"), [(True, False), (False, True)])
    def test_an_answer_that_was_lost(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch, unsure: bool, again: bool
    ) -> None:
        known(telegram, 1)
        made = broadcasts.start(TEXT, "all")

        def send(*_: object) -> None:
            raise TelegramUnavailable("Telegram did not answer: ReadTimeout", unsure=unsure)

        monkeypatch.setattr(telegram_api, "send_message", send)
        delivery.send_due()
        assert all_of(made.id)[2:4] == ((0, 1) if again else (1, 0))

    def test_an_outage_costs_nobody_but_whom_it_met(self, telegram: Telegram) -> None:
        """One that may have gone out is not sent again; the others are not burnt one by one while it lasts."""
        people = known(telegram, 4)
        made = broadcasts.start(TEXT, "all")
        telegram.trouble(error_code=502, description="Bad Gateway")
        telegram.trouble(method="getMe", error_code=502, description="Bad Gateway", times=3)
        for _ in range(4):
            assert delivery.send_due() == 0
        assert all_of(made.id) == (4, 0, 1, 3, "running")
        wait_over()
        assert delivery.send_due() == 3
        assert sorted(len(texts(person)) for person in people) == [0, 1, 1, 1]

    def test_a_wrong_token_loses_nobody(self, telegram: Telegram) -> None:
        people = known(telegram, 2)
        made = broadcasts.start(TEXT, "all")
        telegram.trouble(error_code=401, description="Unauthorized")
        assert delivery.send_due() == 0
        leases_over()
        wait_over()
        assert delivery.send_due() == 2
        assert [texts(person) for person in people] == [[READ]] * 2
        assert all_of(made.id) == (2, 2, 0, 0, "done")

    def test_a_pause_that_telegram_asks_for_loses_nobody(self, telegram: Telegram) -> None:
        people = known(telegram, 3)
        made = broadcasts.start(TEXT, "all")
        telegram.trouble(error_code=429, description="Too Many Requests: retry after 1", retry_after=1)
        assert delivery.send_due() == 0
        wait_until(lambda: delivery.send_due(2) or all_of(made.id)[1] == 3, seconds=10, what="the pause to pass")
        wait_until(lambda: delivery.send_due(2) or all_of(made.id)[1] == 3, seconds=10, what="all to be sent")
        assert [texts(person) for person in people] == [[READ]] * 3


class TestStop:
    """Stopped and gone on with."""

    def test_nobody_gets_it_any_more_and_later_the_rest_do(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(broadcasts, "BATCH", 3)
        people = known(telegram, 6)
        made = broadcasts.start(TEXT, "all")
        broadcasts.step()
        claim = delivery.claim_due(clock.now())
        assert claim is not None
        assert broadcasts.stop(made.id).state == "stopped"
        assert not delivery._begun(claim), "one that was about to go out is held back"
        assert delivery.send_due() == 0
        assert all_of(made.id) == (3, 0, 0, 6, "stopped")
        broadcasts.stop(made.id)
        assert broadcasts.resume(made.id).state == "running"
        assert delivery.send_due() == 6
        assert [texts(person) for person in people] == [[READ]] * 6
        assert all_of(made.id) == (6, 6, 0, 0, "done")
        assert broadcasts.resume(made.id).state == "done"
        with pytest.raises(Conflict, match="has come to its end already"):
            broadcasts.stop(made.id)
        assert delivery.send_due() == 0

    def test_one_that_a_429_gave_back_in_between_is_taken_up_again(self, telegram: Telegram) -> None:
        """`stop` comes while it is on its way, so only the sender finds out."""
        people = known(telegram, 3)
        made = broadcasts.start(TEXT, "all")
        broadcasts.step()
        claim = delivery.claim_due(clock.now())
        assert claim is not None
        assert delivery._begun(claim)
        broadcasts.stop(made.id)
        telegram.trouble(error_code=429, description="Too Many Requests: retry after 1", retry_after=1)
        with pytest.raises(TelegramUnavailable):
            delivery._send(claim, notice_texts.compose(BROADCAST, {"html": TEXT}, "ru", clock.now()))
        wait_over()
        assert delivery.send_due() == 0
        assert all_of(made.id) == (3, 0, 0, 3, "stopped")
        broadcasts.resume(made.id)
        assert delivery.send_due() == 3
        broadcasts.resume(made.id)
        assert delivery.send_due() == 0
        assert [texts(person) for person in people] == [[READ]] * 3
        assert all_of(made.id) == (3, 3, 0, 0, "done")

    def test_a_resume_at_the_moment_when_the_sender_finds_it_stopped(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        people = known(telegram, 1)
        made = broadcasts.start(TEXT, "all")
        broadcasts.step()
        with transaction() as session:  # as after a 429 that was answered after the stop
            session.execute(update(Broadcast).values(stopped_at=clock.now()))
        real = broadcasts.look

        def look(*what: Any) -> Verdict:
            seen = real(*what)
            broadcasts.resume(made.id)
            return seen

        monkeypatch.setattr(broadcasts, "look", look)
        delivery.send_due()
        assert [texts(person) for person in people] == [[READ]]
        assert all_of(made.id) == (1, 1, 0, 0, "done")

    def test_words_that_telegram_does_not_take_stop_it_at_the_first(self, telegram: Telegram) -> None:
        people = known(telegram, 3)
        made = broadcasts.start(TEXT, "all")
        telegram.trouble(error_code=400, description="Bad Request: can't parse entities: x")
        assert delivery.send_due() == 0
        assert all_of(made.id) == (3, 0, 0, 3, "stopped")
        broadcasts.resume(made.id)
        assert delivery.send_due() == 3
        assert [texts(person) for person in people] == [[READ]] * 3

    def test_one_that_does_not_exist(self, fresh: World) -> None:
        assert fresh
        for verb in (broadcasts.stop, broadcasts.resume, broadcasts.progress):
            with pytest.raises(NotFound):
                verb(7)


class TestYielding:
    """Ten thousand advertisements hold up nobody's key."""

    def test_what_is_noted_later_goes_out_before_them(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person, sent = telegram.somebody(), list[int]()
        crowd(30)
        broadcasts.start(TEXT, "all")
        broadcasts.step()

        def send(chat_id: int, *_: object) -> None:
            if len(sent) == 3:
                note(person, kind="refunded", amount_kopecks=100, taken_seconds=0, ends_at=None)
            if len(sent) == 5:
                note(person, "urgent")
                note(person, "ordinary", kind="moved")
            sent.append(chat_id)

        monkeypatch.setattr(telegram_api, "send_message", send)
        monkeypatch.setattr(delivery, "CHAT_PACE", timedelta(microseconds=1))
        delivery.send_due()
        assert [number for number, chat_id in enumerate(sent) if chat_id == person.id] == [4, 6, 7]
        assert len(sent) == 33

    def test_the_queue_never_holds_more_than_some_seconds_worth(
        self, fresh: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert fresh
        monkeypatch.setattr(broadcasts, "BATCH", 5)
        crowd(23)
        made = broadcasts.start(TEXT, "all")
        for _ in range(10):
            broadcasts.step()
        assert len(rows()) == 5
        monkeypatch.setattr(telegram_api, "send_message", lambda *_: None)
        assert delivery.send_due() == 23
        assert all_of(made.id) == (23, 23, 0, 0, "done")

    def test_by_night_it_rests(self, fresh: World, says: Callable[..., None]) -> None:
        assert fresh
        crowd(2)
        made = broadcasts.start(TEXT, "all")
        says(quiet_hours=night(clock.now()))
        began = time.monotonic()
        assert delivery.send_due() == 0
        assert time.monotonic() - began < 2
        assert all_of(made.id) == (0, 0, 0, 2, "running")


def test_the_file_of_an_editor_of_windows() -> None:
    assert broadcasts.check("\ufeffраз\r\nдва\r\n") == "раз\nдва"


def test_words_that_will_not_do_start_nothing(fresh: World) -> None:
    assert fresh
    with pytest.raises(Invalid):
        broadcasts.start("<b>", "all")
    with pytest.raises(Invalid, match="no such segment"):
        broadcasts.start("x", "everybody")  # type: ignore[arg-type]
    assert broadcasts.latest() == []


def test_the_kind_has_the_words_of_its_row(fresh: World) -> None:
    assert fresh
    crowd(1)
    made = broadcasts.start(TEXT, "all")
    broadcasts.step()
    with transaction() as session:
        row = session.scalars(select(Notice)).one()
    verdict = broadcasts.look(row.data["broadcast"], row.telegram_id, clock.now())
    assert notice_texts.compose(BROADCAST, verdict.data, "en", clock.now()).html == made.body  # type: ignore[union-attr]
