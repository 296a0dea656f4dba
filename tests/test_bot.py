"""The bot as a process of its own, against the sandbox Telegram and YooKassa, real PostgreSQL, Redis, Xray and worker."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import signal
import string
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests
from sqlalchemy.exc import OperationalError
from telebot import TeleBot, apihelper

from krotray_bot import faults, speech, words
from krotray_bot.apologies import apology
from krotray_bot.polling import Failures, Poller
from krotray_bot.stop import Stop, Stopped
from krotray_core.errors import GatewayError, GatewayUnavailable, NotFound
from sandbox.process import Process, free_port, listening, wait_until
from sandbox.world import ROOT, World

CLOSED = "http://127.0.0.1:9"


class Person:
    """Somebody in the sandbox Telegram who talks to the bot."""

    def __init__(self, telegram_url: str, user_id: int, language_code: str) -> None:
        self._url, self.id, self._language_code = f"{telegram_url}/sandbox", user_id, language_code

    def write(self, text: str) -> None:
        """Writes to the bot."""
        body = {"user_id": self.id, "text": text, "first_name": "Мария <3", "language_code": self._language_code}
        requests.post(f"{self._url}/message", json=body, timeout=10).raise_for_status()

    def press(self, button: str) -> dict[str, Any]:
        """Presses a button under the bot's last message."""
        body = {"user_id": self.id, "message_id": self.last()["message_id"], "button": button}
        answer = requests.post(f"{self._url}/press", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def chat(self) -> dict[str, Any]:
        """The conversation."""
        return requests.get(f"{self._url}/chat/{self.id}", timeout=10).json()

    def heard(self) -> list[dict[str, Any]]:
        """What the bot has written."""
        return [message for message in self.chat()["messages"] if message["from"] == "bot"]

    def last(self) -> dict[str, Any]:
        """The bot's last message."""
        return self.heard()[-1]

    def hears(self, part: str, *, seconds: float = 15) -> dict[str, Any]:
        """Waits until the bot's last message holds this, and returns it."""
        wait_until(
            lambda: any(part in message["text"] for message in self.heard()[-1:]), seconds=seconds, what=f"«{part}»"
        )
        return self.last()

    def toast(self, press: dict[str, Any]) -> str:
        """Waits for the answer to a press, and returns its words."""

        def answers() -> list[dict[str, Any]]:
            query_id = press["callback_query_id"]
            return [p["answer"] for p in self.chat()["presses"] if p["callback_query_id"] == query_id and p["answer"]]

        wait_until(answers, seconds=10, what="an answer to the press")
        return answers()[0]["text"]


class BotWorld:
    """The world with a Telegram in it, a database for this module, a worker, and a bot that may be killed and started again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.database_url = world.postgres.create("bot")
        self.telegram_port = free_port()
        self.telegram_url = f"http://127.0.0.1:{self.telegram_port}"
        self.env = world.environment("bot") | {"TELEGRAM_API_URL": self.telegram_url}
        self.start_telegram()
        node = world.nodes[0]
        self._run("flask", "db", "upgrade")
        self._run(
            *("flask", "servers", "add", "--name", node.name, "--host", "127.0.0.1"),
            *("--grpc-port", str(node.grpc_port), "--max-users", "100"),
        )
        self.worker = Process(
            "the worker",
            [*self._tool("celery"), "-A", "krotray_tasks", "worker", "-Q", "money,access,care", "--concurrency", "1"],
            log=world.logs / "worker.log",
            env=self.env,
            cwd=ROOT,
        )
        self._bot: Process | None = None
        self._bot_is_plain = False
        self._bots = 0
        self._people = 500

    def start_telegram(self) -> None:
        """A Telegram that knows nobody yet, at the same address as the one before it."""
        self.telegram = Process(
            "the sandbox Telegram",
            [sys.executable, "-m", "sandbox.telegram", "--port", str(self.telegram_port)],
            log=self.world.logs / "telegram.log",
            env=self.env,
            cwd=ROOT,
        )
        self.telegram.wait_ready(lambda: listening(self.telegram_port))

    @property
    def bot(self) -> Process:
        """The bot that was started last."""
        assert self._bot is not None
        return self._bot

    @property
    def talks(self) -> bool:
        """Whether a bot with the ordinary settings runs."""
        return self._bot is not None and self._bot.running and self._bot_is_plain

    def _tool(self, name: str) -> list[str]:
        return [str(Path(sys.executable).parent / name)]

    def _run(self, name: str, *arguments: str) -> None:
        process = Process(
            name, [*self._tool(name), *arguments], log=self.world.logs / "flask.log", env=self.env, cwd=ROOT
        )
        assert process.wait(60) == 0, process.tail()

    def stop(self) -> None:
        """Ends all of it."""
        for process in (self._bot, self.worker, self.telegram):
            if process:
                process.stop()

    def start_bot(self, **changes: str) -> Process:
        """A new bot process with its own log, some of its settings changed."""
        if self._bot:
            self._bot.stop()
        self._bots += 1
        self._bot_is_plain = not changes
        self._bot = Process(
            "the bot",
            [sys.executable, "-m", "krotray_bot"],
            log=self.world.logs / f"bot-{self._bots}.log",
            env=self.env | changes,
            cwd=ROOT,
        )
        return self._bot

    def polling_bot(self, **changes: str) -> Process:
        """A new bot process, once it waits for updates."""
        bot = self.start_bot(**changes)
        bot.wait_ready(lambda: self.look()["polls"])
        return bot

    def somebody(self, language_code: str = "ru") -> Person:
        """A person who has never been here."""
        self._people += 1
        return Person(self.telegram_url, self._people, language_code)

    def look(self) -> dict[str, Any]:
        """The bot as Telegram sees it."""
        return requests.get(f"{self.telegram_url}/sandbox/bot", timeout=10).json()

    def calls(self, method: str) -> int:
        """How often the bot has called a method."""
        return self.look()["calls"].get(method, 0)

    def trouble(self, method: str, **what: Any) -> int:
        """The next call of this method runs into trouble; returns how many there have been before."""
        before = self.calls(method)
        answer = requests.post(f"{self.telegram_url}/sandbox/trouble", json={"method": method} | what, timeout=10)
        assert answer.status_code == 200, answer.text
        return before

    def release(self) -> None:
        """Ends all trouble."""
        requests.post(f"{self.telegram_url}/sandbox/release", timeout=10).raise_for_status()

    def pay(self, url: str) -> None:
        """The payer pays at this address."""
        payment_id = url.rpartition("/")[2]
        answer = requests.post(f"{self.world.yookassa_url}/sandbox/payments/{payment_id}/pay", timeout=10)
        assert answer.status_code == 200, answer.text

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def payments(self, person: Person) -> list[str]:
        """The states of this person's payments."""
        rows = self.ask(
            "SELECT p.status FROM payments p JOIN users u ON u.id = p.user_id WHERE u.telegram_id = %s", person.id
        )
        return [status for (status,) in rows]

    def confirmed_seats(self, person: Person) -> int:
        """How many keys of this person an Xray holds."""
        statement = (
            "SELECT s.id FROM seats s JOIN subscriptions b ON b.id = s.subscription_id JOIN users u ON u.id = b.user_id"
            " WHERE u.telegram_id = %s AND s.wanted AND s.generation = s.observed_generation"
        )
        return len(self.ask(statement, person.id))


@pytest.fixture(scope="module")
def bot_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BotWorld]:
    """One world for this module."""
    world = World(tmp_path_factory.mktemp("bot"))
    try:
        made = BotWorld(world)
        try:
            yield made
        finally:
            made.stop()
    finally:
        world.stop()


@pytest.fixture
def talking(bot_world: BotWorld) -> BotWorld:
    """The world with a bot that polls; the one of the test before, if it still does."""
    bot_world.release()
    if not bot_world.talks:
        bot_world.polling_bot()
    return bot_world


def labels(message: dict[str, Any]) -> list[str]:
    """What the buttons of a message say."""
    return [button["text"] for row in message["buttons"] for button in row]


def button(message: dict[str, Any], label: str) -> dict[str, Any]:
    """One button of a message."""
    return next(b for row in message["buttons"] for b in row if b["text"] == label)


class TestTalking:
    """What a person sees."""

    def test_start_greets_and_offers_the_menu(self, talking: BotWorld) -> None:
        maria = talking.somebody()
        maria.write("/start ref_42")
        greeting = maria.hears("Здравствуйте, Мария <3.")
        assert labels(greeting) == ["Открыть кабинет", "Купить или продлить", "Мой ключ", "Помощь"]
        opened = maria.press("Открыть кабинет")["url"]
        assert opened.startswith(talking.env["MINI_APP_URL"] + "#tgWebAppData=")
        assert talking.ask("SELECT first_name, language_code FROM users WHERE telegram_id = %s", maria.id) == [
            ("Мария <3", "ru")
        ]

    @pytest.mark.parametrize(("language", "hello"), [("en", "Hello"), ("de", "Hello"), ("uk", "Здравствуйте")])
    def test_it_speaks_the_language_of_the_person(self, talking: BotWorld, language: str, hello: str) -> None:
        person = talking.somebody(language)
        person.write("/start")
        person.hears(hello)

    def test_over_https_the_cabinet_opens_as_a_mini_app(self, bot_world: BotWorld) -> None:
        url = "https://krotray.example/app/"
        bot_world.polling_bot(MINI_APP_URL=url)
        person = bot_world.somebody()
        person.write("/start")
        assert button(person.hears("Здравствуйте"), "Открыть кабинет")["mini_app"] == url
        menu_button = bot_world.look()["menu_button"]
        assert (menu_button["type"], menu_button["web_app"]) == ("web_app", {"url": url})

    def test_commands_are_told_to_telegram_in_both_languages(self, talking: BotWorld) -> None:
        wait_until(lambda: len(talking.look()["commands"]) == 2, seconds=5, what="the commands")
        commands = talking.look()["commands"]
        assert [c["command"] for c in commands[""]] == [c["command"] for c in commands["ru"]] == list(words.COMMANDS)
        assert commands["ru"][1]["description"] == "Купить или продлить"

    def test_help_an_unknown_word_and_a_key_that_is_not_there(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("что тут?")
        person.hears("Я понимаю кнопки")
        person.press("Помощь")
        person.hears("Как подключиться")
        person.press("Мой ключ")
        assert "Купить или продлить" in labels(person.hears("Ключа пока нет"))
        person.press("‹ Меню")
        person.hears("Здравствуйте")
        assert len(person.heard()) == 1  # presses turn the message over, they do not pile up


class TestBuying:
    """From the tariff to the key, and what may come between."""

    def test_a_whole_purchase_in_the_chat(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        assert labels(person.hears("На сколько"))[:2] == ["1 месяц — 100 ₽", "3 месяца — 250 ₽ · выгода 50 ₽"]
        person.press("3 месяца — 250 ₽ · выгода 50 ₽")
        assert labels(person.hears("Как вам удобнее")) == ["СБП", "Банковская карта", "‹ Назад"]
        person.press("СБП")
        offer = person.hears("3 месяца, 250 ₽ · СБП")
        url = button(offer, "Оплатить 250 ₽")["opens"]

        assert "проверяем" in person.toast(person.press("Проверить оплату"))
        assert person.last() == offer
        talking.pay(url)
        person.press("Проверить оплату")  # has the worker look; nothing else would: there is no webhook here
        wait_until(lambda: talking.confirmed_seats(person), seconds=20, what="the key in Xray")
        person.press("Проверить оплату")
        shown = person.hears("Оплата прошла, спасибо.")
        assert "осталось 90 дней" in shown["text"]
        codes = [
            shown["text"][e["offset"] : e["offset"] + e["length"]] for e in shown["entities"] if e["type"] == "code"
        ]
        [link, key] = codes
        assert link.startswith(f"{talking.world.web_url}/sub/")
        assert key.startswith("vless://")
        assert "#KrotRay%20Amsterdam" in key
        assert person.press("Скопировать ссылку") == {"copied": link}

        person.write("/key")
        person.hears("Ключ работает до")
        assert talking.payments(person) == ["succeeded"]

    def test_a_press_that_is_handled_twice_makes_one_payment(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press("plan:1m")
        person.hears("Как вам удобнее")
        talking.trouble("editMessageText", error_code=502, description="Bad Gateway")
        person.press("pay:1m:card")
        person.hears("Банковская карта")
        assert talking.payments(person) == ["pending"]

    def test_two_presses_on_one_button_make_one_payment(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press("plan:1m")
        person.hears("Как вам удобнее")
        before = talking.trouble("answerCallbackQuery", hold=True)
        presses = [person.press("pay:1m:card")]
        wait_until(lambda: talking.calls("answerCallbackQuery") > before, seconds=10, what="the first press to arrive")
        presses.append(person.press("pay:1m:card"))
        talking.release()
        for press in presses:
            person.toast(press)
        person.hears("Банковская карта")
        wait_until(lambda: talking.look()["pending"] == 0, seconds=10, what="both presses to be done")
        assert talking.payments(person) == ["pending"]

    def test_a_crash_between_payment_and_answer_makes_one_payment(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press("plan:1m")
        person.hears("Как вам удобнее")
        before = talking.trouble("editMessageText", hold=True, error_code=500)
        person.press("pay:1m:card")
        wait_until(lambda: talking.calls("editMessageText") > before, seconds=10, what="the payment to be made")
        talking.bot.kill()
        talking.release()
        talking.polling_bot()
        offer = person.hears("Банковская карта")
        assert talking.payments(person) == ["pending"]
        person.write("/key")  # it can be paid from here, too
        assert button(person.hears("Ждём оплату"), "Оплатить 100 ₽") == button(offer, "Оплатить 100 ₽")
        person.press("Купить или продлить")
        person.hears("На сколько")
        person.press("plan:3m")
        person.hears("Как вам удобнее")
        person.press("pay:3m:card")  # another tariff is another payment
        person.hears("3 месяца, 250 ₽")
        assert talking.payments(person) == ["pending", "pending"]

    def test_a_canceled_payment_says_that_no_money_was_taken(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press("plan:1m")
        person.hears("Как вам удобнее")
        person.press("pay:1m:card")
        url = button(person.hears("Банковская карта"), "Оплатить 100 ₽")["opens"]
        cancel = f"{talking.world.yookassa_url}/sandbox/payments/{url.rpartition('/')[2]}/cancel"
        requests.post(cancel, timeout=10).raise_for_status()
        person.press("Проверить оплату")
        wait_until(lambda: talking.payments(person) == ["canceled"], seconds=20, what="the cancellation")
        person.press("Проверить оплату")
        assert "Купить или продлить" in labels(person.hears("деньги не списаны"))

    def test_without_yookassa_no_money_is_taken(self, bot_world: BotWorld) -> None:
        bot_world.polling_bot(YOOKASSA_API_URL=f"{CLOSED}/v3")
        person = bot_world.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press("plan:1m")
        person.hears("Как вам удобнее")
        person.press("pay:1m:card")
        assert labels(person.hears("Деньги не списаны")) == ["Попробовать ещё раз", "‹ Меню"]

    def test_without_a_database_it_still_greets_and_says_what_became_of_the_money(self, bot_world: BotWorld) -> None:
        bot_world.polling_bot(DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
        person = bot_world.somebody("en")
        person.write("/start")
        person.hears("Hello")
        person.press("Buy or renew")
        person.hears("For how long")
        person.press("plan:1m")
        person.hears("How would you like to pay")
        person.press("pay:1m:card")
        assert labels(person.hears("No money was taken")) == ["Try again", "‹ Menu"]


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
        person.hears("Как подключиться")

    def test_a_message_that_was_deleted_is_answered_with_a_new_one(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")
        talking.trouble("editMessageText", error_code=400, description="Bad Request: message to edit not found")
        person.press("Помощь")
        person.hears("Как подключиться")
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
        for field in ("gateway_away", "gateway_refused", "away_buying", "away", "no_payment", "broken", "canceled"):
            text = getattr(language, field)
            assert re.search(r"деньги|оплата|money|payment", text.lower())
            assert "!" not in text
            assert len(text) <= 200  # it may have to fit over a button
        assert set(language.methods) == {"sbp", "card"}
        assert len(language.commands) == len(words.COMMANDS)
