"""The sandbox Telegram, driven by the real pyTelegramBotAPI, and its initData read by the service's own check."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import init_data_py
import pytest
import requests
from sandbox_telegram_kit import ANNA, MINI_APP, TOKEN, Phone, poll, refused
from telebot import TeleBot
from telebot.apihelper import ApiTelegramException
from telebot.types import BotCommand, CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup, MenuButtonWebApp
from telebot.types import WebAppInfo as WebApp

from sandbox.telegram.entities import parse_html


class TestUpdates:
    """getUpdates: nothing is lost, nothing is confirmed by itself."""

    def test_updates_stay_until_a_later_offset_confirms_them(self, phone: Phone, bot: TeleBot) -> None:
        first, second = phone.write("один"), phone.write("два")
        assert [u.update_id for u in poll(bot)] == [first, second]
        assert [u.message.text for u in poll(bot)] == ["один", "два"]
        assert [u.update_id for u in poll(bot, second)] == [second]
        assert phone.get("/bot")["pending"] == 1
        assert poll(bot, second + 1) == []

    def test_a_long_poll_ends_with_the_first_update(self, phone: Phone, bot: TeleBot) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(poll, bot, None, 20)
            while not phone.get("/bot")["polls"]:
                pass
            update_id = phone.write()
            assert [u.update_id for u in waiting.result(5)] == [update_id]

    def test_a_second_poller_ends_the_first(self, phone: Phone, bot: TeleBot) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(refused, poll, bot, None, 20)
            while not phone.get("/bot")["polls"]:
                pass
            poll(bot)
            assert "409 Conflict: terminated by other getUpdates request" in waiting.result(5)

    def test_a_webhook_keeps_pollers_out_until_it_is_deleted(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        phone.post("/webhook", url="https://example.org/hook")
        assert "409 Conflict: can't use getUpdates method while webhook is active" in refused(poll, bot)
        assert bot.get_webhook_info().url == "https://example.org/hook"
        assert bot.delete_webhook()
        assert len(poll(bot)) == 1

    def test_only_the_kinds_that_the_bot_wants_are_kept(self, phone: Phone, bot: TeleBot) -> None:
        bot.get_updates(long_polling_timeout=1, allowed_updates=["callback_query"])
        assert phone.write() is None
        assert poll(bot) == []

    def test_limit_and_a_negative_offset(self, phone: Phone, bot: TeleBot) -> None:
        ids = [phone.write(str(number)) for number in range(4)]
        assert [u.update_id for u in bot.get_updates(limit=2, long_polling_timeout=1)] == ids[:2]
        assert [u.update_id for u in poll(bot, -1)] == ids[3:]
        assert phone.get("/bot")["pending"] == 1


class TestMessages:
    """Sending, editing, pressing."""

    def test_a_message_with_every_kind_of_button(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        keyboard = InlineKeyboardMarkup(
            [
                [
                    InlineKeyboardButton("Да", callback_data="yes"),
                    InlineKeyboardButton("Сайт", url="https://a.example"),
                ],
                [InlineKeyboardButton("Копия", copy_text=CopyTextButton("ключ"))],
                [InlineKeyboardButton("Кабинет", url=MINI_APP), InlineKeyboardButton("App", web_app=WebApp(MINI_APP))],
            ]
        )
        sent = bot.send_message(ANNA, "<b>Ключ</b> &lt;🐀&gt; <code>x&amp;y</code>", reply_markup=keyboard)
        assert sent.text == "Ключ <🐀> x&y"
        assert [(e.type, e.offset, e.length) for e in sent.entities] == [("bold", 0, 4), ("code", 10, 3)]

        pressed = phone.post("/press", user_id=ANNA, message_id=sent.message_id, button="Да")
        query = poll(bot)[-1].callback_query
        assert (query.id, query.data, query.from_user.id) == (pressed["callback_query_id"], "yes", ANNA)
        assert query.message.message_id == sent.message_id
        assert bot.answer_callback_query(query.id, "Готово", show_alert=True)
        assert phone.get(f"/chat/{ANNA}")["presses"][0]["answer"] == {"text": "Готово", "show_alert": True}

        def press(button: str) -> dict[str, Any]:
            return phone.post("/press", user_id=ANNA, message_id=sent.message_id, button=button)

        assert press("Сайт") == {"url": "https://a.example"}
        assert press("Копия") == {"copied": "ключ"}
        for button in ("Кабинет", "App"):
            assert press(button)["url"].startswith(f"{MINI_APP}#tgWebAppData=")
        phone.post("/press", user_id=ANNA, message_id=sent.message_id, button="Нет", expect=409)

    def test_editing(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Да", callback_data="yes")]])
        sent = bot.send_message(ANNA, "раз", reply_markup=keyboard)
        edited = bot.edit_message_text("два", chat_id=ANNA, message_id=sent.message_id)
        assert (edited.text, edited.reply_markup) == ("два", None)
        assert bot.edit_message_reply_markup(ANNA, sent.message_id, reply_markup=keyboard).reply_markup is not None
        again = {"chat_id": ANNA, "message_id": sent.message_id, "reply_markup": keyboard}
        assert "message is not modified" in refused(bot.edit_message_text, "два", **again)
        assert "message to edit not found" in refused(bot.edit_message_text, "x", chat_id=ANNA, message_id=999)
        assert "can't be edited" in refused(bot.edit_message_text, "x", chat_id=ANNA, message_id=1)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("<b>x", "can't parse entities: Can't find end tag corresponding to start tag \"b\""),
            ("x</b>", "can't parse entities: Unexpected end tag at byte offset 1"),
            ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
            ("я <font>", 'Unsupported start tag "font" at byte offset 3'),
            ("1 < 2", "Unclosed start tag at byte offset 2"),
            ("<b> </b>", "message text is empty"),
            ("x" * 4097, "message is too long"),
        ],
    )
    def test_texts_that_telegram_refuses(self, phone: Phone, bot: TeleBot, text: str, said: str) -> None:
        phone.write()
        answer = refused(bot.send_message, ANNA, text)
        assert answer.startswith("400 Bad Request: ")
        assert said in answer

    @pytest.mark.parametrize(
        ("button", "said"),
        [
            ({"callback_data": "я" * 33}, "BUTTON_DATA_INVALID"),
            ({"url": "happ://add/x"}, "inline keyboard button URL 'happ://add/x' is invalid: Unsupported URL protocol"),
            ({"url": "http://localhost:8000/"}, "is invalid: Wrong HTTP URL"),
            ({"copy_text": {"text": "x" * 257}}, "BUTTON_COPY_TEXT_INVALID"),
            ({}, "Text buttons are unallowed in the inline keyboard"),
        ],
    )
    def test_buttons_that_telegram_refuses(self, phone: Phone, bot: TeleBot, button: dict[str, Any], said: str) -> None:
        phone.write()
        markup = json.dumps({"inline_keyboard": [[{"text": "x", **button}]]})
        assert said in refused(bot.send_message, ANNA, "x", reply_markup=markup)

    def test_who_cannot_be_written_to(self, phone: Phone, bot: TeleBot) -> None:
        assert refused(bot.send_message, ANNA, "x") == "400 Bad Request: chat not found"
        phone.write()
        phone.post("/block", user_id=ANNA, blocked=True)
        assert refused(bot.send_message, ANNA, "x") == "403 Forbidden: bot was blocked by the user"

    def test_who_lets_the_bot_write_from_the_mini_app(self, phone: Phone, bot: TeleBot) -> None:
        assert "allows_write_to_pm" not in phone.get(f"/init-data/{ANNA}")["init_data"]
        phone.post("/allow", user_id=ANNA)
        assert bot.send_message(ANNA, "x").text == "x"
        assert "allows_write_to_pm%22%3Atrue" in phone.get(f"/init-data/{ANNA}")["init_data"]
        assert not phone.get(f"/chat/{ANNA}")["started"], "the chat still offers Start"

    def test_a_press_of_nobody(self, bot: TeleBot) -> None:
        assert "query is too old" in refused(bot.answer_callback_query, "7")


class TestBot:
    """The login, the way in, and trouble."""

    def test_who_it_is(self, bot: TeleBot) -> None:
        assert (bot.get_me().id, bot.get_me().is_bot) == (123456789, True)

    @pytest.mark.usefixtures("bot")
    def test_another_token_and_an_unknown_method(self, phone: Phone) -> None:
        assert refused(TeleBot(TOKEN + "x").get_me) == "401 Unauthorized"
        answer = requests.get(f"{phone.url}/bot{TOKEN}/getNothing", timeout=10)
        assert (answer.status_code, answer.json()["ok"]) == (404, False)

    @pytest.mark.parametrize("way", ["params", "data", "json"])
    def test_parameters_may_come_in_any_way_and_names_in_any_case(self, phone: Phone, way: str) -> None:
        phone.write()
        body = {way: {"chat_id": ANNA, "text": "привет"}}
        answer = requests.post(f"{phone.url}/bot{TOKEN}/SENDMESSAGE", timeout=10, **body)
        assert answer.json()["result"]["text"] == "привет"

    def test_commands_and_menu_button(self, phone: Phone, bot: TeleBot) -> None:
        assert bot.set_my_commands([BotCommand("start", "Меню")], language_code="ru")
        assert bot.set_chat_menu_button(
            menu_button=MenuButtonWebApp(text="Кабинет", web_app=WebApp("https://a.example"))
        )
        seen = phone.get("/bot")
        assert seen["commands"] == {"ru": [{"command": "start", "description": "Меню"}]}
        assert seen["menu_button"]["web_app"] == {"url": "https://a.example"}
        assert "BOT_COMMAND_INVALID" in refused(bot.set_my_commands, [BotCommand("Start", "x")])

    def test_ordered_trouble(self, phone: Phone, bot: TeleBot) -> None:
        phone.post("/trouble", method="getMe", error_code=429, description="Too Many Requests", retry_after=3)
        with pytest.raises(ApiTelegramException) as caught:
            bot.get_me()
        assert caught.value.result_json["parameters"] == {"retry_after": 3}
        assert bot.get_me()
        assert phone.get("/bot")["calls"] == {"getMe": 2}


class TestPeople:
    """The Mini App and the page."""

    def test_init_data_is_signed_as_telegram_signs_it(self, phone: Phone) -> None:
        data = init_data_py.validate_by_hash(phone.get(f"/init-data/{ANNA}")["init_data"], TOKEN)
        assert (data.user.id, data.user.first_name, data.user.language_code) == (ANNA, "Анна", "ru")

    def test_the_mini_app_opens_with_it(self, phone: Phone) -> None:
        answer = requests.get(f"{phone.url}/sandbox/mini-app/777", timeout=10, allow_redirects=False)
        address = urlsplit(answer.headers["Location"])
        assert (answer.status_code, address._replace(fragment="").geturl()) == (302, MINI_APP)
        hashed = parse_qs(address.fragment)
        assert hashed["tgWebAppVersion"] == ["8.0"]
        assert init_data_py.validate_by_hash(hashed["tgWebAppData"][0], TOKEN).user.id == 777

    def test_somebody_new(self, phone: Phone) -> None:
        made = phone.post("/people", first_name="Zoé", language_code="fr", expect=201)
        assert made in phone.get("/people")["people"]

    def test_nonsense_is_told_apart(self, phone: Phone) -> None:
        assert "unknown: nonsense" in phone.post("/message", nonsense=1, expect=400)["error"]
        phone.post("/message", user_id=0, text="x", expect=400)
        phone.post("/message", user_id=1, expect=400)
        phone.post("/press", user_id=404, message_id=1, button="x", expect=400)
        phone.post("/trouble", expect=400)

    def test_the_page_needs_nothing_from_anywhere_else(self, phone: Phone) -> None:
        page = requests.get(f"{phone.url}/", timeout=10)
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "http" not in page.text.replace("http://www.w3.org/2000/svg", "").replace(MINI_APP, "")
        assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
        assert len(assets) >= 5
        for asset in assets:
            assert requests.get(phone.url + asset, timeout=10).ok


@pytest.mark.parametrize(
    ("html", "text", "entities"),
    [
        ("a &#128512; b", "a 😀 b", []),
        ("&copy; &lt;b&gt;", "&copy; <b>", []),
        ("<b></b>x", "x", []),
        ('<a href="https://a.example/?x=1&amp;y=2">z</a>', "z", [("text_link", 0, 1)]),
        ("<b>a<i>b</i></b>", "ab", [("bold", 0, 2), ("italic", 1, 1)]),
    ],
)
def test_html(html: str, text: str, entities: list[tuple[str, int, int]]) -> None:
    parsed, found = parse_html(html)
    assert (parsed, [(e["type"], e["offset"], e["length"]) for e in found]) == (text, entities)
