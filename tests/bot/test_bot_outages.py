"""Telegrams that are slow, swallow what they are sent, or want silence: nothing is lost, nothing is said over and over."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from telebot import TeleBot, apihelper
from telebot.types import CallbackQuery

from krotray_bot import transport, words
from krotray_bot.counter import Counter
from krotray_bot.mutes import LONGEST_OWED_SECONDS, STORM_CHATS, Mutes
from krotray_bot.polling import Failures, Poller
from krotray_bot.stop import Stop, Stopped
from krotray_bot.talk import MOST_LOSSES, Fate, Screen, Talk
from krotray_bot.visit import Reply, Visit

ANNA = {"id": 7, "is_bot": False, "first_name": "Анна", "language_code": "ru"}


class Telegram:
    """Where our calls end: a Telegram of its own time, which says what it has been asked for so far."""

    def __init__(self) -> None:
        self.moment = 100.0
        self.latency = 0.0
        self.swallowed: set[str] = set()
        self.silence: dict[int, float] = {}  # the seconds of a 429, by chat
        self.called: list[str] = []
        self.read: list[tuple[int, str]] = []  # what has reached a chat
        self.held: list[dict[str, Any]] = []
        self.polls_to_swallow = 0
        self.flapping = False  # then one poll after each failed answer, and not one after the other
        self._seen = 0
        self.polls_left = 30

    def post(self, url: str, *, data: dict[str, Any], timeout: tuple[float, float], **_: Any) -> requests.Response:
        """One call."""
        method = url.rpartition("/")[2]
        if method == "getUpdates":
            return self._poll(int(data.get("offset", 0)))
        self.called.append(method)
        chat_id = int(data.get("chat_id", 0))
        if method in self.swallowed:
            self.moment += timeout[1]
            raise requests.ReadTimeout
        if chat_id in self.silence:
            answer = {"error_code": 429, "description": "x", "parameters": {"retry_after": self.silence[chat_id]}}
            return _answer({"ok": False} | answer)
        if "text" in data and chat_id:
            self.read.append((chat_id, data["text"]))
        self.moment += min(self.latency, timeout[1])
        if self.latency > timeout[1]:
            raise requests.ReadTimeout
        return _answer({"ok": True, "result": said(chat_id)["message"] if chat_id else True})

    def _poll(self, offset: int) -> requests.Response:
        self.polls_left -= 1
        waiting = [one for one in self.held if one["update_id"] >= offset]
        if not waiting or not self.polls_left:
            raise Stopped
        tried, self._seen = len(self.called) > self._seen, len(self.called)
        if self.called and self.polls_to_swallow and (tried or not self.flapping):
            self.polls_to_swallow -= 1
            if not self.polls_to_swallow:
                self.swallowed.clear()  # that was the outage
            raise requests.ConnectTimeout
        return _answer({"ok": True, "result": waiting})


def _answer(content: dict[str, Any]) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer._content = 200, json.dumps(content).encode()
    return answer


def said(chat_id: int) -> dict[str, Any]:
    """Somebody writes."""
    chat = {"id": chat_id, "type": "private"}
    return {"message": {"message_id": 5, "date": 1, "chat": chat, "from": ANNA | {"id": chat_id}, "text": "x"}}


class Patient(Stop):
    """Pauses that take no time of ours."""

    def __init__(self, telegram: Telegram) -> None:
        super().__init__()
        self._telegram = telegram

    def pause(self, seconds: float) -> None:
        """It passes for Telegram."""
        self._telegram.moment += seconds


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Telegram:
    """A Telegram that is well, so far."""
    made = Telegram()
    monkeypatch.setattr(apihelper, "API_URL", "http://telegram.invalid/bot{0}/{1}")
    monkeypatch.setattr(apihelper, "CUSTOM_REQUEST_SENDER", transport.send)
    monkeypatch.setattr(apihelper, "CONNECT_TIMEOUT", 5)
    monkeypatch.setattr(apihelper, "READ_TIMEOUT", 10)
    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=lambda: made.moment))
    monkeypatch.setattr(transport, "_session", lambda *_: made)
    return made


@pytest.fixture
def talk(telegram: Telegram) -> Talk:
    """Our voice, whose memory lives in Telegram's time."""
    made = Talk(TeleBot("7:token", threaded=False), Patient(telegram))
    made._mutes = Mutes(lambda: telegram.moment)
    return made


def serve(telegram: Telegram, chats: list[int]) -> None:
    """Has the loop answer a message from each of these, in one batch, until there is nothing left to fetch."""
    telegram.held = [{"update_id": number} | said(chat_id) for number, chat_id in enumerate(chats, 1)]
    failures = Failures()
    bot = TeleBot("7:token", threaded=False, exception_handler=failures)
    bot.register_message_handler(lambda one: bot.send_message(one.chat.id, "hello"))
    with contextlib.suppress(Stopped):
        Poller(bot, failures, Patient(telegram)).run()


class TestTheLoop:
    """Updates while Telegram is not well."""

    @pytest.mark.parametrize(("polls", "flapping"), [(1, False), (6, False), (6, True)])
    def test_a_batch_outlives_a_network_that_swallows_packets(
        self, telegram: Telegram, polls: int, flapping: bool
    ) -> None:
        telegram.swallowed, telegram.polls_to_swallow, telegram.flapping = {"sendMessage"}, polls, flapping
        serve(telegram, [1, 2, 3, 4, 5])
        assert telegram.read == [(chat_id, "hello") for chat_id in (1, 2, 3, 4, 5)]

    def test_an_update_that_cannot_be_answered_is_given_up_after_a_while(self, telegram: Telegram) -> None:
        telegram.swallowed = {"sendMessage"}
        began = telegram.moment
        serve(telegram, [1, 2])
        assert telegram.polls_left, "it did not go on for ever"
        assert telegram.moment - began < 120

    @pytest.mark.parametrize(
        ("latency", "chats", "copies"),
        [(1.3, [1], 1), (3.2, [1], 1), (9.0, [1], 1), (1.3, [1, 2], 1), (3.2, [1, 2], 2)],
    )
    def test_a_slow_telegram_is_not_told_everything_five_times(
        self, telegram: Telegram, latency: float, chats: list[int], copies: int
    ) -> None:
        telegram.latency = latency
        serve(telegram, chats)
        assert [telegram.read.count((chat_id, "hello")) for chat_id in chats] == [copies, *[1] * (len(chats) - 1)]


def press(talk: Talk, reply: Reply, done: Callable[[], object] = lambda: None, data: str = "pay:x") -> None:
    """Anna presses a button, which leads to this."""
    below = {"message_id": 6, "date": 1, "chat": {"id": 7, "type": "private"}, "text": "x"}
    call = {"id": "1", "from": ANNA, "message": below, "chat_instance": "1", "data": data}

    def react(_visit: Visit, _data: str) -> Reply:
        done()
        return reply

    Counter(talk, None).press(CallbackQuery.de_json(call), react)


class TestPresses:
    """What a press is for matters more than its answer."""

    def test_it_is_done_before_anything_is_said(self, telegram: Telegram, talk: Talk) -> None:
        press(talk, Reply(Screen("bill")), lambda: telegram.called.append("done"))
        assert telegram.called == ["done", "editMessageText", "answerCallbackQuery"]

    @pytest.mark.parametrize(("lost", "qr"), [("answerCallbackQuery", None), ("deleteMessage", "https://x.example")])
    def test_a_lost_answer_or_deletion_is_no_reason_to_do_it_again(
        self, telegram: Telegram, talk: Talk, lost: str, qr: str | None
    ) -> None:
        telegram.swallowed = {lost}
        press(talk, Reply(Screen("key", qr=qr)))
        assert lost in telegram.called

    @pytest.mark.parametrize(("silence", "fate"), [(30, Fate.OWED), (LONGEST_OWED_SECONDS + 30, Fate.DROPPED)])
    def test_the_word_over_it_promises_only_what_will_be(
        self, telegram: Telegram, talk: Talk, monkeypatch: pytest.MonkeyPatch, silence: float, fate: Fate
    ) -> None:
        toasts: list[str | None] = []
        monkeypatch.setattr(talk, "answer", lambda _id, toast=None, **_: toasts.append(toast))
        telegram.silence[7] = silence
        press(talk, Reply(Screen("bill")))
        assert toasts == [words.RU.muted if fate is Fate.OWED else words.RU.muted_long]
        assert talk.show(7, 6, Screen("bill")).fate is fate
        assert talk.show(7, 6, Screen("bill"), later=False).fate is Fate.DROPPED


class TestLateAnswers:
    """What is owed to a mute chat."""

    def owe(self, telegram: Telegram, talk: Talk, seconds: float = 5) -> None:
        """To Anna, for that long."""
        telegram.silence[7] = seconds
        talk.send(7, Screen("late"))
        telegram.moment += seconds
        telegram.silence[7] = 1

    def test_refused_again_it_is_owed_again(self, telegram: Telegram, talk: Talk) -> None:
        self.owe(telegram, talk)
        for _ in range(3):
            talk.tend()
            telegram.moment += 1
        telegram.silence.clear()
        talk.tend()
        assert (telegram.read, talk.waits) == ([(7, "late")], False)

    def test_but_not_for_ever(self, telegram: Telegram, talk: Talk) -> None:
        began = telegram.moment
        self.owe(telegram, talk)
        while talk.waits and telegram.moment < began + 1000:
            talk.tend()
            telegram.moment += 1
        assert LONGEST_OWED_SECONDS - 5 < telegram.moment - began <= LONGEST_OWED_SECONDS + 5

    def test_one_that_may_have_arrived_is_said_once_more_at_most(self, telegram: Telegram, talk: Talk) -> None:
        self.owe(telegram, talk)
        telegram.silence.clear()
        telegram.latency = 20
        for _ in range(5):
            talk.tend()
        assert (telegram.read, talk.waits) == ([(7, "late")] * MOST_LOSSES, False)

    def test_a_pause_of_all_eats_nobodys_time(
        self, telegram: Telegram, talk: Talk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("krotray_bot.talk._hold_notices", lambda _: None)
        crowd = range(11, 11 + STORM_CHATS)
        for chat_id in crowd:
            telegram.silence[chat_id] = 5
            talk.send(chat_id, Screen("late"))
        telegram.silence.clear()
        telegram.latency = 0.2
        talk.tend()
        assert telegram.read == [], "the round's time is over with the pause"
        with transport.within(3):
            talk.tend()
        assert telegram.read == [(chat_id, "late") for chat_id in crowd]
