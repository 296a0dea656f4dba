"""Many people and one thread: nobody waits for somebody else's sake."""

from __future__ import annotations

import signal
import time

import requests

from krotray_bot.mutes import CALM_SECONDS, CALM_SENDS, LONGEST_OWED_SECONDS, LONGEST_PAUSE_SECONDS, STORM_CHATS, Mutes
from sandbox.process import wait_until
from tests.bot_kit import BotWorld, Person

PATIENCE_SECONDS = 8.0  # of one who is not to wait for the half minute of another


def refuse(talking: BotWorld, person: Person, seconds: int, times: int = 1) -> None:
    """Telegram answers what is said to this person with 429."""
    for method in ("sendMessage", "editMessageText"):
        talking.trouble(
            *(method,), times=times, chat_id=person.id, error_code=429, description="Too Many", retry_after=seconds
        )


class TestOneChat:
    """A 429 on one chat is that chat's affair."""

    def test_while_one_is_refused_for_half_a_minute_over_and_over_the_next_is_answered(self, talking: BotWorld) -> None:
        refused, other = talking.somebody(), talking.somebody()
        refuse(talking, refused, 30, times=100)
        for _ in range(5):
            refused.write("/start")
        began = time.monotonic()
        other.write("/start")
        other.hears("Здравствуйте", seconds=PATIENCE_SECONDS)
        for _ in range(3):
            refused.write("/help")
            other.press("Помощь")
            other.hears("Не подключается", seconds=PATIENCE_SECONDS)
            other.press("‹ Меню")
            other.hears("Здравствуйте", seconds=PATIENCE_SECONDS)
        assert time.monotonic() - began < 28
        assert refused.heard() == []
        talking.idle()

    def test_what_was_asked_for_is_done_and_the_last_answer_comes_when_the_silence_is_over(
        self, talking: BotWorld
    ) -> None:
        person = talking.somebody()
        refuse(talking, person, 5)
        person.write("/start")
        person.write("/help")
        person.hears("Не подключается", seconds=20)
        assert len(person.heard()) == 1
        assert talking.ask("SELECT 1 FROM users WHERE telegram_id = %s", person.id)

    def test_a_press_in_the_silence_says_so(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")
        refuse(talking, person, 5)
        person.press("Помощь")
        assert "Telegram просит не спешить" in person.toast(person.press("Мой ключ"))
        person.hears("Ключа пока нет", seconds=20)

    def test_a_chat_that_takes_one_message_a_second_hears_the_last_of_many(self, talking: BotWorld) -> None:
        person = talking.somebody()
        url = f"{talking.telegram_url}/sandbox/chat-limit"
        requests.post(url, json={"burst": 3}, timeout=10).raise_for_status()
        for _ in range(6):
            person.write("/start")
        person.write("/help")
        person.hears("Не подключается", seconds=10)
        assert len(person.heard()) < 7


class TestEverybody:
    """Several chats at once: then it is about us."""

    def test_the_bot_pauses_as_a_whole_and_a_stop_ends_the_pause(self, talking: BotWorld) -> None:
        talking.polling_bot()  # one that has met no refusal yet
        crowd = [talking.somebody() for _ in range(STORM_CHATS)]
        for person in crowd:
            refuse(talking, person, 30)
        talking.bot.signal(signal.SIGSTOP)  # all of them within a moment
        for person in crowd:
            person.write("/start")
        talking.bot.signal(signal.SIGCONT)
        wait_until(
            lambda: f"wants a pause of {LONGEST_PAUSE_SECONDS:.1f} s" in talking.bot.log.read_text(),
            seconds=10,
            what="the pause",
        )
        held = "SELECT extract(epoch FROM until - clock_timestamp()) FROM leases WHERE name = 'notices' AND holder = 'the bot'"
        wait_until(lambda: talking.ask(held), seconds=10, what="the sender of notices to be kept")
        [(left,)] = talking.ask(held)
        assert 0 < left <= LONGEST_PAUSE_SECONDS, "the sender of notices keeps it too"
        began = time.monotonic()
        talking.bot.signal(signal.SIGTERM)
        assert talking.bot.wait(8) == 0
        assert time.monotonic() - began < 5

    def test_it_takes_several_chats_within_a_moment(self) -> None:
        moment = [100.0]
        mutes = Mutes(lambda: moment[0])
        for _ in range(10):
            mutes.add(1, 30)
            mutes.add(2, 4)
            mutes.add(3, 4)
        assert mutes.storm() is None
        moment[0] += 5
        mutes.add(4, 3)
        assert mutes.storm() is None
        for chat_id in (5, 6, 7):
            mutes.spoken(chat_id)
            mutes.add(chat_id, 7)
        assert mutes.storm() == 3
        assert mutes.storm() is None, "told once"

    def test_those_who_hammer_are_refused_for_their_own_sake(self) -> None:
        moment = [100.0]
        mutes = Mutes(lambda: moment[0])
        for chat_id in range(STORM_CHATS * 2):
            for _ in range(CALM_SENDS + 1):
                mutes.spoken(chat_id)
            mutes.add(chat_id, 30)
        assert mutes.storm() is None
        moment[0] += CALM_SECONDS
        for chat_id in range(STORM_CHATS):
            mutes.add(chat_id, 5)
        assert mutes.storm() == 5, "they have been quiet since"

    def test_what_is_owed_is_said_once_and_never_when_it_is_stale(self) -> None:
        moment, said = [100.0], list[str]()
        mutes = Mutes(lambda: moment[0])
        mutes.add(1, 5)
        mutes.add(2, LONGEST_OWED_SECONDS + 1)
        for text in ("first", "last"):
            assert mutes.owe(1, lambda text=text: said.append(text))
        assert not mutes.owe(2, lambda: said.append("stale")), "and whoever asks for it knows"
        assert mutes.due() is None
        moment[0] += 6
        due = mutes.due()
        assert due is not None
        due[1].say()
        moment[0] += 100
        assert (said, mutes.due(), mutes.owing) == (["last"], None, False)


class TestOnePerson:
    """Somebody who presses without end."""

    def test_does_not_eat_the_thread(self, talking: BotWorld) -> None:
        hammer, other = talking.somebody(), talking.somebody()
        hammer.write("/start")
        hammer.hears("Здравствуйте")
        before = [talking.calls(method) for method in ("editMessageText", "answerCallbackQuery")]
        talking.bot.signal(signal.SIGSTOP)
        menu = hammer.last()
        for _ in range(30):
            hammer.press("Пригласить друзей", menu)
        other.write("/start")
        talking.bot.signal(signal.SIGCONT)
        other.hears("Здравствуйте", seconds=15)
        after = [talking.calls(method) for method in ("editMessageText", "answerCallbackQuery")]
        assert [now - then for now, then in zip(after, before, strict=True)] == [19, 20], (
            "told once that it is too much"
        )
