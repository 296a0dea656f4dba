"""Notices: rows first, sending second, by the real client over HTTP to the sandbox Telegram."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from krotray_core import clock, logs, notice_texts, notices, settings, telegram_api, users
from krotray_core.db import transaction
from krotray_core.errors import TelegramRefused, TelegramUnavailable
from krotray_core.models import Notice
from krotray_tasks import notices as tasks
from sandbox.process import Process, free_port, wait_until
from sandbox.world import ROOT, World
from tests.bot_kit import Person
from tests.conftest import at_once

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FLAGGED = {"payment_id": "0b2a153f-4b0e-4d9c-8f37-1b1d7a1c2d3e", "reason": "the amount is 1.00"}


class Telegram:
    """The sandbox Telegram of the world, as a test sees it."""

    def __init__(self, world: World) -> None:
        self.url = world.telegram_url

    def somebody(self, language_code: str = "ru") -> Person:
        """A person who has written to the bot."""
        person = self.stranger(language_code)
        person.write("/start")
        return person

    def stranger(self, language_code: str = "ru") -> Person:
        """A person who has not."""
        body = {"first_name": "Анна", "language_code": language_code}
        made = requests.post(f"{self.url}/sandbox/people", json=body, timeout=10).json()
        return Person(self.url, made["id"], language_code)

    def calls(self) -> int:
        """How many messages were tried."""
        return requests.get(f"{self.url}/sandbox/bot", timeout=10).json()["calls"].get("sendMessage", 0)

    def trouble(self, **what: object) -> None:
        """What the next messages run into."""
        body = {"method": "sendMessage"} | what
        requests.post(f"{self.url}/sandbox/trouble", json=body, timeout=10).raise_for_status()

    def release(self) -> None:
        """Ends all trouble."""
        requests.post(f"{self.url}/sandbox/release", timeout=10).raise_for_status()


@pytest.fixture
def telegram(fresh: World) -> Iterator[Telegram]:
    """The sandbox Telegram, without trouble."""
    made = Telegram(fresh)
    made.release()
    yield made
    made.release()


@pytest.fixture
def says(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes settings of this process for one test."""
    assert world
    real = settings.get()
    return lambda **changes: monkeypatch.setattr(settings, "get", lambda: real.model_copy(update=changes))


def note(person: Person, key: str = "one", *, kind: str = "payment_flagged", ago: float = 0, **data: object) -> None:
    """Notes something for this person, some seconds ago, in a transaction of its own."""
    now = clock.now() - timedelta(seconds=ago)
    with transaction() as session:
        notices.note(session, telegram_id=person.id, kind=kind, key=f"{key}:{person.id}", data=data or FLAGGED, now=now)


def rows() -> list[Notice]:
    """All notices, in the order in which they were noted."""
    with transaction() as session:
        return list(session.scalars(select(Notice).order_by(Notice.id)))


def wait_over() -> None:
    """The pauses of all notices have passed."""
    with transaction() as session:
        session.execute(update(Notice).values(next_try_at=clock.now()))


def texts(person: Person) -> list[str]:
    """What this person was told."""
    return [message["text"] for message in person.heard()]


class TestNoting:
    """Rows."""

    def test_an_event_is_told_once_however_often_it_is_noted(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        at_once(6, lambda _: note(person))
        assert notices.send_due() == 1
        note(person)
        assert notices.send_due() == 0
        assert len(texts(person)) == 1

    def test_what_was_rolled_back_is_told_to_nobody(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        with pytest.raises(ZeroDivisionError), transaction() as session:  # noqa: PT012 - what comes before the error is the point
            notices.note(session, telegram_id=person.id, kind="payment_flagged", key="x", data=FLAGGED, now=clock.now())
            _ = 1 / 0
        assert notices.send_due() == 0
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
        assert notices.send_due() == 2
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

    def test_several_senders_at_once_send_each_once(self, telegram: Telegram) -> None:
        people = [telegram.somebody() for _ in range(5)]
        for person in people:
            note(person, "one")
            note(person, "two")
        assert sum(at_once(4, lambda _: notices.send_due())) == 10  # type: ignore[arg-type]
        assert [len(texts(person)) for person in people] == [2] * 5
        assert all(row.sent_at and row.attempts == 1 for row in rows())

    def test_a_notice_is_in_the_hands_of_one(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        for number in range(6):
            note(person, str(number), ago=1)
        claims = at_once(8, lambda _: notices.claim_due(clock.now()))
        ids = [claim.id for claim in claims if claim]  # type: ignore[attr-defined]
        assert len(ids) == len(set(ids)) >= 1
        while claim := notices.claim_due(clock.now()):
            ids.append(claim.id)
        assert sorted(ids) == [row.id for row in rows()]

    def test_the_task_sends(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        note(person)
        tasks.send_due()
        assert len(texts(person)) == 1

    def test_no_more_than_25_a_second_also_when_one_sender_follows_another(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person, moments = telegram.somebody(), []
        monkeypatch.setattr(telegram_api, "send_message", lambda *_: moments.append(time.monotonic()))
        for number in range(20):
            note(person, str(number), ago=1)
            if number % 2:  # a new sender for every second one
                notices.send_due()
        pauses = [after - before for before, after in itertools.pairwise(moments)]
        assert len(moments) == 20
        assert min(pauses) >= 1 / 25 - 0.001

    def test_time_is_up_before_the_task_s_is(self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notices, "BUDGET_SECONDS", 0.1)
        person = telegram.somebody()
        for number in range(8):
            note(person, str(number), ago=1)
        first = notices.send_due()
        assert 1 <= first <= 3
        while notices.send_due():
            pass
        assert len(texts(person)) == 8

    def test_a_killed_sender_is_followed_by_the_next(self, telegram: Telegram, tmp_path: Path) -> None:
        people = [telegram.somebody(), telegram.somebody()]
        for person in people:
            note(person, ago=1)
        telegram.trouble(hold=True, error_code=500)
        before = telegram.calls()
        code = "from krotray_core import notices; notices.send_due()"
        sender = Process(
            "sender", [sys.executable, "-c", code], log=tmp_path / "sender.log", env=dict(os.environ), cwd=ROOT
        )
        wait_until(lambda: telegram.calls() > before, seconds=20, what="the first message to be on its way")
        sender.kill()
        telegram.release()
        assert notices.send_due() == 0, "it may still be alive, for all we know"
        with transaction() as session:
            session.execute(text("UPDATE leases SET until = now() - interval '1 second'"))
        assert notices.send_due() == 1, "the other one; that which it had in its hands is left to it"
        wait_over()
        assert notices.send_due() == 1
        assert [len(texts(person)) for person in people] == [1, 1]

    def test_a_claim_and_a_lease_outlive_the_longest_call(self) -> None:
        longest = timedelta(seconds=telegram_api.LONGEST_SECONDS)
        assert longest < notices.LEASE_LENGTH < notices.CLAIM_LENGTH

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
            notices.send_due()
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
            notices.send_due()
            assert texts(person)[0].startswith(start), code
        unknown = telegram.somebody("en")  # an admin, say, who is no user of ours
        note(unknown, ago=1)
        notices.send_due()
        assert texts(unknown)[0].startswith("Платёж")


class TestTrouble:
    """Telegram says no, not now, or nothing."""

    def test_429_is_one_pause_for_all(self, telegram: Telegram) -> None:
        people = [telegram.somebody() for _ in range(3)]
        for person in people:
            note(person, ago=1)
        telegram.trouble(error_code=429, description="Too Many Requests: retry after 2", retry_after=2)
        before, began = telegram.calls(), time.monotonic()
        assert notices.send_due() == 0
        note(people[0], "news that come in the pause")
        assert at_once(3, lambda _: notices.send_due()) == [0, 0, 0]
        assert telegram.calls() == before + 1
        assert all(row.attempts == 0 and row.given_up_at is None for row in rows())
        sent = 0
        while sent < 4 and time.monotonic() - began < 15:
            time.sleep(0.1)
            sent += (more := notices.send_due())
            assert not more or time.monotonic() - began >= 2
        assert [len(texts(person)) for person in people] == [2, 1, 1]

    def test_who_blocked_the_bot_or_never_started_it_is_given_up(self, telegram: Telegram) -> None:
        blocked, stranger, other = telegram.somebody(), telegram.stranger(), telegram.somebody()
        body = {"user_id": blocked.id, "blocked": True}
        requests.post(f"{telegram.url}/sandbox/block", json=body, timeout=10).raise_for_status()
        for person in (blocked, stranger, other):
            note(person, ago=1)
        assert notices.send_due() == 1, "the others do not wait for them"
        first, second, third = rows()
        assert first.last_error == "Telegram answered 403 Forbidden: bot was blocked by the user"
        assert second.last_error == "Telegram answered 400 Bad Request: chat not found"
        assert (bool(first.given_up_at), bool(second.given_up_at), third.last_error) == (True, True, None)
        before = telegram.calls()
        wait_over()
        assert (notices.send_due(), telegram.calls()) == (0, before)

    def test_a_failure_of_telegram_s_is_tried_again_later(self, telegram: Telegram) -> None:
        unlucky, other = telegram.somebody(), telegram.somebody()
        note(unlucky, ago=2)
        note(other, ago=1)
        telegram.trouble(error_code=502, description="Bad Gateway")
        assert notices.send_due() == 0, "it would hardly be better with the next one"
        row = rows()[0]
        assert (row.attempts, row.last_error) == (1, "Telegram answered 502 Bad Gateway")
        assert timedelta(seconds=25) < row.next_try_at - clock.now() < timedelta(seconds=31)
        assert notices.send_due() == 1
        assert [len(texts(person)) for person in (unlucky, other)] == [0, 1]
        wait_over()
        assert notices.send_due() == 1
        assert len(texts(unlucky)) == 1
        assert rows()[0].last_error is None

    def test_after_two_days_of_tries_it_is_given_up(self, telegram: Telegram) -> None:
        note(telegram.somebody(), ago=1)
        with transaction() as session:
            session.execute(update(Notice).values(attempts=notices.TRIES - 1))
        telegram.trouble(error_code=500)
        notices.send_due()
        row = rows()[0]
        assert (row.attempts, bool(row.given_up_at)) == (notices.TRIES, True)
        pauses = [notices.pause(failures) for failures in range(1, notices.TRIES)]
        assert sorted(pauses) == pauses
        assert timedelta(hours=47) < sum(pauses, timedelta()) < timedelta(hours=49)

    def test_a_wrong_token_gives_nothing_up(self, telegram: Telegram, caplog: pytest.LogCaptureFixture) -> None:
        note(telegram.somebody(), ago=1)
        telegram.trouble(error_code=401, description="Unauthorized")
        assert notices.send_due() == 0
        assert (rows()[0].given_up_at, rows()[0].attempts) == (None, 1)
        assert "is BOT_TOKEN right?" in caplog.text

    def test_what_has_no_words_waits_and_holds_up_nobody(self, telegram: Telegram) -> None:
        person = telegram.somebody()
        note(person, "unsayable", ago=2, payment_id="1")
        note(person, ago=1)
        assert notices.send_due() == 1
        row = rows()[0]
        assert (row.attempts, row.last_error, row.sent_at, row.given_up_at) == (1, "no words: KeyError", None, None)

    def test_what_went_out_but_was_not_written_down_goes_out_again(
        self, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Twice is better than never; and the lease of who fell over is left to run out."""
        person = telegram.somebody()
        note(person, ago=1)

        def send(chat_id: int, words: str) -> None:
            real(chat_id, words)
            raise ConnectionError("the database, a moment later")

        real = telegram_api.send_message
        monkeypatch.setattr(telegram_api, "send_message", send)
        with pytest.raises(ConnectionError):
            notices.send_due()
        monkeypatch.setattr(telegram_api, "send_message", real)
        wait_over()
        assert notices.send_due() == 0
        with transaction() as session:
            session.execute(text("UPDATE leases SET until = now() - interval '1 second'"))
        assert notices.send_due() == 1
        assert len(texts(person)) == 2


@contextlib.contextmanager
def answering(status: int, body: bytes, *headers: tuple[str, str]) -> Iterator[str]:
    """The address of something that answers every call like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        telegram_api._session().close()
        server.server_close()


class TestClient:
    """The client against answers that no sandbox gives, and what it says about them."""

    @pytest.fixture(autouse=True)
    def _discreet(self, world: World, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        assert world
        with caplog.at_level(logging.DEBUG), caplog.at_level(logging.WARNING, "urllib3"):  # as `logs.configure` has it
            yield
        # Of the test itself: in here `caplog.records` are those of the cleaning up.
        for record in caplog.get_records("call"):
            self.silent(f"{record.getMessage()} {vars(record)!r}")

    def silent(self, said: str) -> None:
        """There is no token in it."""
        token = settings.get().bot_token.get_secret_value()
        assert token not in said
        assert token.partition(":")[2] not in said

    def fails(self, kind: type[Exception]) -> Any:
        """A message fails like this; nothing that hangs on the error holds the token."""
        with pytest.raises(kind) as caught:
            telegram_api.send_message(1, "text")
        assert caught.type is kind
        error: BaseException | None = caught.value
        while error is not None:
            self.silent(f"{error!s} {error!r} {vars(error)}")
            error = error.__cause__ or error.__context__
        return caught.value

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (200, b"<html>welcome to our hotel</html>", TelegramUnavailable),
            (200, b'{"ok": false}', TelegramUnavailable),
            (200, b"[" * 100_000, TelegramUnavailable),
            (200, b" " * (telegram_api.ANSWER_BYTES + 1), TelegramUnavailable),
            (302, b"", TelegramUnavailable),
            (400, b"nothing of JSON", TelegramRefused),
            (403, b'["?"]', TelegramRefused),
            (401, b'{"description": "Unauthorized"}', TelegramUnavailable),
            (404, b'{"description": "Not Found"}', TelegramUnavailable),
            (413, b"", TelegramUnavailable),
            (503, b"\xff\xfe", TelegramUnavailable),
        ],
    )
    def test_an_answer_means_what_its_status_says(
        self, says: Callable[..., None], status: int, body: bytes, kind: type[Exception]
    ) -> None:
        with answering(status, body, ("Location", "http://127.0.0.1:9/")) as url:
            says(telegram_api_url=url)
            self.fails(kind)

    @pytest.mark.parametrize(
        ("parameters", "seconds"),
        [
            (b'{"retry_after": 17}', 17),
            (b'{"retry_after": 0}', 1),
            (b'{"retry_after": 1e300}', 86_400),
            (b'{"retry_after": NaN}', 5),
            (b'{"retry_after": "soon"}', 5),
            (b'{"retry_after": true}', 5),
            (b"[]", 5),
            (b"{}", 5),
        ],
    )
    def test_a_pause_is_always_one_that_can_be_kept(
        self, says: Callable[..., None], parameters: bytes, seconds: float
    ) -> None:
        with answering(429, b'{"ok": false, "parameters": ' + parameters + b"}") as url:
            says(telegram_api_url=url)
            assert self.fails(TelegramUnavailable).retry_after == seconds

    def test_a_message_that_quotes_the_address_is_blotted(self, says: Callable[..., None]) -> None:
        token = settings.get().bot_token.get_secret_value()
        quote = f'{{"description": "no /bot{token}/sendMessage\\n, nor {token.replace(":", "%3A")}"}}'
        for status, kind in ((400, TelegramRefused), (502, TelegramUnavailable)):
            with answering(status, quote.encode()) as url:
                says(telegram_api_url=url)
                assert "no /bot[token]/sendMessage , nor" in str(self.fails(kind))

    def test_nobody_there(self, says: Callable[..., None]) -> None:
        says(telegram_api_url=f"http://127.0.0.1:{free_port()}")
        error = self.fails(TelegramUnavailable)
        assert str(error) == "Telegram did not answer: ConnectionError"
        assert (error.__context__, error.retry_after) == (None, None)

    def test_somebody_there_who_says_nothing(self, says: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(telegram_api, "READ_SECONDS", 0.2)
        telegram_api._session.cache_clear()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            says(telegram_api_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
            began = time.monotonic()
            self.fails(TelegramUnavailable)
            assert time.monotonic() - began < 2
        telegram_api._session().close()
        telegram_api._session.cache_clear()

    def test_what_stays_of_it_in_the_log_and_the_row(
        self, telegram: Telegram, says: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        note(telegram.somebody(), ago=1)
        says(telegram_api_url=f"http://127.0.0.1:{free_port()}")
        assert notices.send_due() == 0
        assert rows()[0].last_error == "Telegram did not answer: ConnectionError"
        assert "waits: Telegram did not answer: ConnectionError" in caplog.text
        for record in caplog.records:
            self.silent(logs._Discreet().format(record))


def said(kind: str, language_code: str | None = "ru", **data: object) -> str:
    """The text of a notice, at the time of these tests."""
    return notice_texts.text(kind, data, language_code, NOW)


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
            "Подписка закончилась, ключ больше не работает. Продлить её можно в любой момент: /buy"
        )
        assert said("refunded", "en", **data).endswith(
            "Your subscription has ended and the key no longer works. You can renew it at any time: /buy"
        )

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
        assert len(report.encode("utf-16-le")) // 2 <= telegram_api.LONGEST_TEXT
        assert report.startswith("Сверка за день: 107 расхождений")
        assert report.endswith(f"И ещё {107 - shown}.")

    # Repeated, because Hypothesis by itself writes no texts that are too long.
    ANY = st.builds(
        lambda words, times: words * times,
        st.text(st.characters(exclude_categories=["Cs"])) | st.text("🐾я ", min_size=3),
        st.integers(1, 2000),
    )
    NUMBER = st.integers(0, 2**63 - 1)
    DATA = st.fixed_dictionaries(
        {
            "amount_kopecks": NUMBER,
            "taken_seconds": NUMBER,
            "ends_at": st.none()
            | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(datetime.isoformat),  # noqa: DTZ001 - Hypothesis adds the zone
            "payment_id": ANY,
            "reason": ANY,
            "lines": st.lists(ANY, max_size=40),
            "more": NUMBER,
            "name": ANY,
            "error": ANY,
            "taken": NUMBER,
            "room": NUMBER,
            "people": NUMBER,
        }
    )

    @given(data=DATA, kind=st.sampled_from(sorted(notice_texts.KINDS)), language=st.sampled_from(["ru", "en", None]))
    def test_no_text_is_longer_than_telegram_takes(self, data: dict[str, Any], kind: str, language: str | None) -> None:
        written = notice_texts.text(kind, data, language, NOW)
        assert written.strip()
        assert len(written.encode("utf-16-le")) // 2 <= telegram_api.LONGEST_TEXT
