"""What a person sees."""

from __future__ import annotations

import pytest

from krotray_bot import words
from sandbox.process import wait_until
from tests.bot_kit import BotWorld, button, labels


class TestTalking:
    """What a person sees."""

    def test_start_greets_and_offers_the_menu(self, talking: BotWorld) -> None:
        maria = talking.somebody()
        maria.write("/start ref_42")
        greeting = maria.hears("Здравствуйте, Мария <3.")
        assert labels(greeting) == [
            *("Открыть кабинет", "Купить или продлить", "Мой ключ", "Как подключиться", "Пригласить друзей", "Помощь")
        ]
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
        assert menu_button["text"] == "Cabinet"
        theirs = {"text": "Кабинет", "mini_app": url}
        wait_until(lambda: person.chat()["menu_button"] == theirs, seconds=10, what="the menu button in their language")

    def test_commands_are_told_to_telegram_in_both_languages(self, talking: BotWorld) -> None:
        wait_until(lambda: len(talking.look()["commands"]) == 2, seconds=5, what="the commands")
        commands = talking.look()["commands"]
        assert [c["command"] for c in commands[""]] == [c["command"] for c in commands["ru"]] == list(words.COMMANDS)
        assert commands["ru"][1]["description"] == "Купить или продлить"

    def test_help_an_unknown_word_and_a_key_that_is_not_there(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("что тут?")
        person.hears("Я понимаю только кнопки")
        person.press("Помощь")
        person.hears("Не подключается")
        person.press("Мой ключ")
        assert "Купить или продлить" in labels(person.hears("Ключа пока нет"))
        person.press("‹ Меню")
        person.hears("Здравствуйте")
        assert len(person.heard()) == 1  # presses turn the message over, they do not pile up
