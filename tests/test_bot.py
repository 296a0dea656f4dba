"""The bot as a process of its own, against the sandbox Telegram and YooKassa, real PostgreSQL, Redis, Xray and worker."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from krotray_bot import words
from sandbox.process import wait_until
from sandbox.world import World
from tests.bot_kit import CLOSED, BotWorld

MONTH, MONTH_BY_CARD = "plan:1m:1-30-10000", "pay:1m:1-30-10000:card"


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
        person.press(MONTH)
        person.hears("Как вам удобнее")
        talking.trouble("editMessageText", error_code=502, description="Bad Gateway")
        person.press(MONTH_BY_CARD)
        person.hears("Банковская карта")
        assert talking.payments(person) == ["pending"]

    def test_two_presses_on_one_button_make_one_payment(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press(MONTH)
        person.hears("Как вам удобнее")
        before = talking.trouble("answerCallbackQuery", hold=True)
        presses = [person.press(MONTH_BY_CARD)]
        wait_until(lambda: talking.calls("answerCallbackQuery") > before, seconds=10, what="the first press to arrive")
        presses.append(person.press(MONTH_BY_CARD))
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
        person.press(MONTH)
        person.hears("Как вам удобнее")
        before = talking.trouble("editMessageText", hold=True, error_code=500)
        person.press(MONTH_BY_CARD)
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
        person.press("plan:3m:3-90-25000")
        person.hears("Как вам удобнее")
        person.press("pay:3m:3-90-25000:card")  # another tariff is another payment
        wait_until(lambda: talking.payments(person) == ["pending"] * 2, seconds=10, what="the second payment")

    def test_a_canceled_payment_says_that_no_money_was_taken(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press(MONTH)
        person.hears("Как вам удобнее")
        person.press(MONTH_BY_CARD)
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
        person.press(MONTH)
        person.hears("Как вам удобнее")
        person.press(MONTH_BY_CARD)
        assert labels(person.hears("Деньги не списаны")) == ["Попробовать ещё раз", "‹ Меню"]

    def test_without_a_database_it_still_greets_and_says_what_became_of_the_money(self, bot_world: BotWorld) -> None:
        bot_world.polling_bot()
        buyer = bot_world.somebody("en")
        buyer.write("/buy")
        buyer.hears("For how long")
        buyer.press(MONTH)
        buyer.hears("How would you like to pay")
        bot_world.polling_bot(DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
        buyer.press(MONTH_BY_CARD)
        assert labels(buyer.hears("No money was taken")) == ["Try again", "‹ Menu"]
        person = bot_world.somebody("en")
        person.write("/start")
        person.hears("Hello")
        person.press("Buy or renew")
        assert labels(person.hears("the payment is safe")) == ["Try again", "‹ Menu"]


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
