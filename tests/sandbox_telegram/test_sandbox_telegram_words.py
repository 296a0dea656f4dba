"""What the bot says of itself, and how Telegram reads what it writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sandbox_telegram_kit import ANNA, EMMA, OLEG, Phone, refused
from telebot import TeleBot
from telebot.types import BotCommand, BotCommandScopeChat, MenuButtonCommands, MenuButtonWebApp, WebAppInfo


class TestProfile:
    """Commands, the menu button and texts: for everybody, a language, a chat."""

    def test_the_closest_commands_are_shown(self, phone: Phone, bot: TeleBot) -> None:
        for user_id in (ANNA, OLEG, EMMA):
            phone.write(user_id=user_id)
        bot.set_my_commands([BotCommand("start", "Menu")])
        bot.set_my_commands([BotCommand("start", "Меню")], language_code="ru")
        bot.set_my_commands([BotCommand("stats", "Цифры")], scope=BotCommandScopeChat(OLEG))

        def seen(user_id: int) -> list[str]:
            return [one["description"] for one in phone.get(f"/chat/{user_id}")["commands"]]

        assert [seen(one) for one in (ANNA, OLEG, EMMA)] == [["Меню"], ["Цифры"], ["Menu"]]
        assert [c.command for c in bot.get_my_commands(scope=BotCommandScopeChat(OLEG))] == ["stats"]
        assert bot.get_my_commands(language_code="en") == []
        assert bot.delete_my_commands(language_code="ru")
        assert seen(ANNA) == ["Menu"]

    @pytest.mark.parametrize(
        ("parameters", "said"),
        [
            ({"commands": [{"command": "a" * 33, "description": "x"}]}, "BOT_COMMAND_INVALID"),
            ({"commands": [{"command": "a", "description": ""}]}, "BOT_COMMAND_DESCRIPTION_INVALID"),
            ({"commands": [{"command": "a", "description": "x"}] * 101}, "BOT_COMMANDS_TOO_MUCH"),
            ({"commands": [], "language_code": "russian"}, "LANG_CODE_INVALID"),
            ({"commands": [], "scope": {"type": "everybody"}}, "can't parse BotCommandScope"),
            ({"commands": [], "scope": {"type": "chat"}}, "chat_id is empty"),
        ],
    )
    def test_commands_that_telegram_refuses(self, phone: Phone, parameters: dict[str, Any], said: str) -> None:
        answer = phone.call("setMyCommands", **parameters)
        assert answer["error_code"] == 400
        assert said in answer["description"]

    def test_the_menu_button_of_a_chat_and_of_all(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        app = MenuButtonWebApp(text="Кабинет", web_app=WebAppInfo("https://a.example/app/"))
        assert bot.set_chat_menu_button(menu_button=app)
        assert bot.set_chat_menu_button(ANNA, MenuButtonCommands())
        assert bot.get_chat_menu_button().text == "Кабинет"
        assert bot.get_chat_menu_button(ANNA).type == "commands"
        assert phone.get(f"/chat/{ANNA}")["menu_button"] is None
        assert phone.get(f"/chat/{EMMA}")["menu_button"] == {"text": "Кабинет", "mini_app": "https://a.example/app/"}
        bad = {"type": "web_app", "text": "x", "web_app": {"url": "happ://x"}}
        assert "Unsupported URL protocol" in phone.call("setChatMenuButton", menu_button=bad)["description"]

    def test_what_the_bot_says_of_itself_in_each_language(self, phone: Phone, bot: TeleBot) -> None:
        assert bot.set_my_description("A mole")
        assert bot.set_my_description("Крот", language_code="ru")
        assert (bot.get_my_description("ru").description, bot.get_my_description("de").description) == (
            "Крот",
            "A mole",
        )
        assert phone.get(f"/chat/{ANNA}")["description"] == "Крот"
        assert "BOT_SHORT_DESCRIPTION_TOO_LONG" in refused(bot.set_my_short_description, "x" * 121)


class TestWords:
    """How texts are read: strict about tags, generous about the rest."""

    @pytest.mark.parametrize(
        ("html", "text", "entities"),
        [
            ("  по краям \n", "по краям", []),
            (" <b> a</b> ", "a", [("bold", 0, 1)]),
            ("ключ https://a.example/x?y=1.", "ключ https://a.example/x?y=1.", [("url", 5, 23)]),
            ("пишите a@b.example", "пишите a@b.example", [("email", 7, 11)]),
            ("/start и @krot_bot", "/start и @krot_bot", [("bot_command", 0, 6), ("mention", 9, 9)]),
            ("<code>https://a.example</code>", "https://a.example", [("code", 0, 17)]),
            ('<span class="tg-spoiler">т</span>', "т", [("spoiler", 0, 1)]),
            ("<blockquote expandable>q</blockquote>", "q", [("expandable_blockquote", 0, 1)]),
            ('<pre><code class="language-sh">ls</code></pre>', "ls", [("pre", 0, 2)]),
            ("🐀<b>🐀</b>", "🐀🐀", [("bold", 2, 2)]),
        ],
    )
    def test_entities(self, phone: Phone, html: str, text: str, entities: list[tuple[str, int, int]]) -> None:
        phone.write()
        said = phone.call("sendMessage", chat_id=ANNA, text=html, parse_mode="HTML")["result"]
        assert said["text"] == text
        assert [(e["type"], e["offset"], e["length"]) for e in said.get("entities", [])] == entities

    @pytest.mark.parametrize(
        ("html", "said"),
        [
            ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
            ("a<br>b", 'Unsupported start tag "br" at byte offset 1'),
            ("<!-- x -->", 'Unsupported start tag "!--" at byte offset 0'),
            ("<b>x</b", "Unclosed end tag at byte offset 4"),
            ("x" * 4096 + "<b>y</b>", "message is too long"),
            ("<b></b>", "message text is empty"),
        ],
    )
    def test_texts_that_are_refused(self, phone: Phone, html: str, said: str) -> None:
        phone.write()
        answer = phone.call("sendMessage", chat_id=ANNA, text=html, parse_mode="HTML")
        assert answer["error_code"] == 400
        assert said in answer["description"]

    def test_no_more_than_what_is_meant_by_the_parameters(self, phone: Phone) -> None:
        phone.write()
        assert phone.call("sendMessage", text="x")["description"] == "Bad Request: chat_id is empty"
        assert phone.call("sendMessage", chat_id="@nobody", text="x")["description"] == "Bad Request: chat not found"
        said = phone.call("editMessageText", chat_id=ANNA, text="x")["description"]
        assert said == "Bad Request: message identifier is not specified"
        said = phone.call("sendMessage", chat_id=ANNA, text="x", parse_mode="Markdown")["description"]
        assert "unsupported parse_mode" in said
        whole = json.dumps({"inline_keyboard": [[{"text": "x", "callback_data": "x"}]] * 101})
        said = phone.call("sendMessage", chat_id=ANNA, text="x", reply_markup=whole)["description"]
        assert "reply markup is too long" in said
