"""Crashes, stops and outages."""

from __future__ import annotations

import signal
import time

import requests

from sandbox.process import wait_until
from tests.bot_kit import CLOSED, BotWorld


class TestNothingIsLost:
    """Crashes, stops and outages."""

    def test_an_update_in_hand_at_kill_9_is_handled_by_the_next_process(self, talking: BotWorld) -> None:
        person, other = talking.somebody(), talking.somebody()
        before = talking.trouble("sendMessage", hold=True, error_code=500)
        person.write("/start")
        wait_until(lambda: talking.calls("sendMessage") > before, seconds=10, what="the bot to be answering")
        other.write("/start")
        talking.bot.kill()
        talking.release()
        assert person.heard() == []
        talking.polling_bot()
        person.hears("Здравствуйте")
        other.hears("Здравствуйте")
        assert len(person.heard()) == 1

    def test_sigterm_while_waiting_ends_it_at_once(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")
        started = time.monotonic()
        talking.bot.signal(signal.SIGTERM)
        assert talking.bot.wait(8) == 0
        assert time.monotonic() - started < 8
        assert talking.look()["pending"] == 0

    def test_sigterm_lets_the_update_in_hand_finish_and_leaves_the_rest(self, talking: BotWorld) -> None:
        first, second = talking.somebody(), talking.somebody()
        before = talking.trouble("sendMessage", hold=True)
        first.write("/start")
        wait_until(lambda: talking.calls("sendMessage") > before, seconds=10, what="the bot to be answering")
        second.write("/start")
        talking.bot.signal(signal.SIGTERM)
        talking.release()
        assert talking.bot.wait(8) == 0
        first.hears("Здравствуйте")
        assert second.heard() == []
        assert talking.look()["pending"] == 1  # the first one is confirmed, the second one waits for the next process
        talking.polling_bot()
        second.hears("Здравствуйте")
        assert len(first.heard()) == 1

    def test_sigterm_before_the_first_poll_ends_it_too(self, bot_world: BotWorld) -> None:
        before = bot_world.trouble("getMe", hold=True)
        bot = bot_world.start_bot()
        wait_until(lambda: bot_world.calls("getMe") > before, seconds=20, what="the login")
        bot.signal(signal.SIGTERM)
        assert bot.wait(8) == 0
        bot_world.release()

    def test_a_failed_answer_does_not_lose_the_next_update(self, talking: BotWorld) -> None:
        first, second = talking.somebody(), talking.somebody()
        talking.trouble("sendMessage", error_code=400, description="Bad Request: something of ours is wrong")
        first.write("/start")
        second.write("/start")
        second.hears("Здравствуйте")
        assert first.heard() == []
        assert "ApiTelegramException 400 Bad Request: something of ours is wrong" in talking.bot.log.read_text()

    def test_an_answer_that_telegram_could_not_take_is_given_again(self, talking: BotWorld) -> None:
        person = talking.somebody()
        talking.trouble("sendMessage", times=2, error_code=500)
        person.write("/start")
        person.hears("Здравствуйте")
        assert len(person.heard()) == 1

    def test_the_pause_that_telegram_asks_for_is_kept(self, talking: BotWorld) -> None:
        person = talking.somebody()
        talking.trouble("sendMessage", error_code=429, description="Too Many Requests: retry after 1", retry_after=1)
        started = time.monotonic()
        person.write("/start")
        person.hears("Здравствуйте")
        assert time.monotonic() - started >= 1

    def test_a_press_that_is_too_old_is_done_all_the_same(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")
        description = "Bad Request: query is too old and response timeout expired or query ID is invalid"
        talking.trouble("answerCallbackQuery", error_code=400, description=description)
        person.press("Помощь")
        person.hears("Не подключается")

    def test_a_message_that_was_deleted_is_answered_with_a_new_one(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")
        talking.trouble("editMessageText", error_code=400, description="Bad Request: message to edit not found")
        person.press("Помощь")
        person.hears("Не подключается")
        assert len(person.heard()) == 2

    def test_who_has_blocked_the_bot_does_not_stop_it(self, talking: BotWorld) -> None:
        first, second = talking.somebody(), talking.somebody()
        talking.trouble("sendMessage", error_code=403, description="Forbidden: bot was blocked by the user")
        first.write("/start")
        second.write("/start")
        second.hears("Здравствуйте")
        assert first.heard() == []

    def test_a_webhook_that_somebody_set_is_taken_away(self, talking: BotWorld) -> None:
        body = {"url": "https://example.org/hook"}
        requests.post(f"{talking.telegram_url}/sandbox/webhook", json=body, timeout=10).raise_for_status()
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")

    def test_a_second_poller_does_not_end_it(self, talking: BotWorld) -> None:
        wait_until(lambda: talking.look()["polls"], seconds=10, what="the bot to poll")
        url = f"{talking.telegram_url}/bot{talking.env['BOT_TOKEN']}/getUpdates"

        def steps_in() -> bool:
            assert requests.get(url, timeout=10).json()["ok"]
            return "409 Conflict: terminated by other getUpdates request" in talking.bot.log.read_text()

        wait_until(steps_in, seconds=10, what="the bot to notice", pause=0.2)
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")

    def test_it_outlives_an_outage_of_telegram(self, talking: BotWorld) -> None:
        talking.telegram.kill()
        wait_until(lambda: "Telegram does not answer" in talking.bot.log.read_text(), seconds=10, what="the outage")
        talking.start_telegram()
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте", seconds=20)
        wait_until(lambda: "Telegram answers again" in talking.bot.log.read_text(), seconds=10, what="the end of it")
        assert talking.env["BOT_TOKEN"] not in talking.bot.log.read_text()


class TestStarting:
    """What keeps the bot from running is said in one line."""

    def test_a_wrong_token_ends_it_with_a_clear_line(self, bot_world: BotWorld) -> None:
        token = f"{bot_world.env['BOT_TOKEN'].partition(':')[0]}:{'x' * 35}"
        bot = bot_world.start_bot(BOT_TOKEN=token)
        assert bot.wait(20) == 1
        said = bot.log.read_text()
        assert said.count("\n") == 1
        assert "Telegram does not accept BOT_TOKEN (answer 401)" in said
        assert token not in said

    def test_missing_settings_end_it_with_one_message(self, bot_world: BotWorld) -> None:
        bot = bot_world.start_bot(BOT_TOKEN="")
        assert bot.wait(20) == 1
        assert "BOT_TOKEN: is missing" in bot.log.read_text()
        assert "Traceback" not in bot.log.read_text()

    def test_without_telegram_it_waits_and_can_be_stopped(self, bot_world: BotWorld) -> None:
        bot = bot_world.start_bot(TELEGRAM_API_URL=CLOSED)
        wait_until(lambda: "Telegram does not answer, next try in" in bot.log.read_text(), seconds=20, what="a try")
        bot.signal(signal.SIGTERM)
        assert bot.wait(8) == 0
        assert bot_world.env["BOT_TOKEN"] not in bot.log.read_text()
