"""The rest of the Bot API's promises, point by point: the real client, and the wire itself where a client would smooth it."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
import requests
import segno
from sandbox_telegram_kit import ANNA, EMMA, OLEG, TOKEN, Phone, poll, refused
from telebot import TeleBot
from telebot.types import InlineKeyboardButton, InlineKeyboardMarkup, InputMediaPhoto

from sandbox.telegram import flood

YES = InlineKeyboardMarkup([[InlineKeyboardButton("Да", callback_data="yes")]])


def picture(text: str = "x", **options: int) -> bytes:
    """A PNG."""
    out = io.BytesIO()
    segno.make_qr(text).save(out, kind="png", **{"scale": 8} | options)
    return out.getvalue()


def pressed(phone: Phone, bot: TeleBot) -> str:
    """A press that waits for its answer; its id."""
    phone.write()
    sent = bot.send_message(ANNA, "?", reply_markup=YES)
    return phone.post("/press", user_id=ANNA, message_id=sent.message_id, button="Да")["callback_query_id"]


class TestPresses:
    """answerCallbackQuery."""

    def test_a_press_is_answered_once(self, phone: Phone, bot: TeleBot) -> None:
        query_id = pressed(phone, bot)
        assert phone.get(f"/chat/{ANNA}")["presses"][0]["waits"]
        assert bot.answer_callback_query(query_id, "раз")
        assert "query is too old and response timeout expired" in refused(bot.answer_callback_query, query_id, "два")
        press = phone.get(f"/chat/{ANNA}")["presses"][0]
        assert (press["answer"]["text"], press["waits"]) == ("раз", False)

    def test_a_press_does_not_wait_for_ever(self, phone: Phone, bot: TeleBot) -> None:
        query_id = pressed(phone, bot)
        phone.post("/expire-presses")
        assert refused(bot.answer_callback_query, query_id).startswith("400 Bad Request: query is too old")
        assert not phone.get(f"/chat/{ANNA}")["presses"][0]["waits"]

    def test_what_an_answer_may_hold(self, phone: Phone, bot: TeleBot) -> None:
        query_id = pressed(phone, bot)
        assert "MESSAGE_TOO_LONG" in refused(bot.answer_callback_query, query_id, "x" * 201)
        assert "URL_INVALID" in refused(bot.answer_callback_query, query_id, url="https://a.example")
        assert bot.answer_callback_query(query_id, "x" * 200)


class TestPhotos:
    """sendPhoto and what can be done to a picture."""

    def test_uploaded_and_sent_again_by_its_id(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        phone.write(user_id=EMMA)
        content = picture("привет")
        sent = bot.send_photo(ANNA, content, caption="<b>Ключ</b>", reply_markup=YES)
        assert (sent.content_type, sent.text, sent.caption) == ("photo", None, "Ключ")
        assert sent.caption_entities[0].type == "bold"
        (size,) = sent.photo
        assert size.width == size.height > 100
        assert size.file_size == len(content)
        again = bot.send_photo(EMMA, size.file_id)
        assert again.photo[0].file_unique_id == size.file_unique_id
        assert bot.download_file(bot.get_file(size.file_id).file_path) == content
        shown = phone.get(f"/chat/{ANNA}")["messages"][-1]
        assert (shown["text"], shown["photo"]["width"]) == ("Ключ", size.width)
        page = requests.get(phone.url + shown["photo"]["url"], timeout=10)
        assert (page.content, page.headers["Content-Type"]) == (content, "image/png")

    def test_a_caption_is_not_a_text(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        photo, text = bot.send_photo(ANNA, picture()), bot.send_message(ANNA, "слова")
        of_photo = {"chat_id": ANNA, "message_id": photo.message_id}
        of_text = {"chat_id": ANNA, "message_id": text.message_id}
        assert "there is no text in the message to edit" in refused(bot.edit_message_text, "x", **of_photo)
        assert "there is no caption in the message to edit" in refused(bot.edit_message_caption, "x", **of_text)
        assert bot.edit_message_caption("под картинкой", **of_photo).caption == "под картинкой"
        assert "message is not modified" in refused(bot.edit_message_caption, "под картинкой", **of_photo)
        assert bot.edit_message_caption("", **of_photo).caption is None

    def test_one_picture_for_another(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        sent = bot.send_photo(ANNA, picture("раз"), caption="раз")
        media = InputMediaPhoto(io.BytesIO(picture("два" * 60)), caption="<i>два</i>", parse_mode="HTML")
        edited = bot.edit_message_media(media, ANNA, sent.message_id, reply_markup=YES)
        assert (edited.caption, edited.caption_entities[0].type) == ("два", "italic")
        assert edited.photo[0].file_unique_id != sent.photo[0].file_unique_id

    @pytest.mark.parametrize(
        ("photo", "said"),
        [
            (b"GIF89a not a photo", "IMAGE_PROCESS_FAILED"),
            (picture()[:20], "IMAGE_PROCESS_FAILED"),
            ("AgACnobody", "wrong file identifier/HTTP URL specified"),
            ("https://a.example/x.png", "wrong file identifier/HTTP URL specified"),
            (picture(scale=250), "PHOTO_INVALID_DIMENSIONS"),
        ],
        ids=["not a picture", "torn", "an unknown id", "an address", "too large"],
    )
    def test_what_is_no_photo(self, phone: Phone, bot: TeleBot, photo: bytes | str, said: str) -> None:
        phone.write()
        assert said in refused(bot.send_photo, ANNA, photo)

    def test_how_long_a_caption_may_be(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        assert "message caption is too long" in refused(bot.send_photo, ANNA, picture(), caption="x" * 1025)
        assert "message caption is too long" in refused(bot.send_photo, ANNA, picture(), caption="🐀" * 513)
        assert bot.send_photo(ANNA, picture(), caption="<b>" + "🐀" * 512 + "</b>")

    def test_no_photo_at_all(self, phone: Phone) -> None:
        phone.write()
        said = phone.call("sendPhoto", chat_id=ANNA)
        assert said == {"ok": False, "error_code": 400, "description": "Bad Request: there is no photo in the request"}


class TestDeleting:
    """deleteMessage."""

    def test_gone_is_gone(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        sent = [bot.send_message(ANNA, str(number)).message_id for number in range(3)]
        assert bot.delete_message(ANNA, sent[0])
        assert "message to delete not found" in refused(bot.delete_message, ANNA, sent[0])
        assert "message to edit not found" in refused(bot.edit_message_text, "x", chat_id=ANNA, message_id=sent[0])
        assert bot.delete_messages(ANNA, sent)
        assert [m["from"] for m in phone.get(f"/chat/{ANNA}")["messages"]] == ["user"]


class TestFlood:
    """429."""

    def test_more_than_thirty_a_second_have_to_wait(self, phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
        phone.write()
        monkeypatch.setattr(flood, "time", SimpleNamespace(monotonic=lambda: 1000.0))  # all within one second
        with requests.Session() as session:
            answers = [
                session.post(f"{phone.url}/bot{TOKEN}/sendMessage", json={"chat_id": ANNA, "text": str(n)}, timeout=10)
                for n in range(32)
            ]
        late = [answer.json() for answer in answers if answer.status_code == 429]
        assert len(late) == 2
        assert late[0]["parameters"] == {"retry_after": 1}
        assert late[0]["description"] == "Too Many Requests: retry after 1"
        assert len(phone.get(f"/chat/{ANNA}")["messages"]) == 1 + 32 - len(late)

    def test_a_chat_has_a_limit_of_its_own_where_that_is_switched_on(self, phone: Phone) -> None:
        for user_id in (ANNA, OLEG):
            phone.write(user_id=user_id)
        phone.post("/chat-limit", burst=3)
        answers = [phone.call("sendMessage", chat_id=ANNA, text=str(number)) for number in range(3)]
        assert all(answer["ok"] for answer in answers)
        late = phone.call("sendMessage", chat_id=ANNA, text="x")
        assert (late["error_code"], late["parameters"]) == (429, {"retry_after": 1})
        edited = {"chat_id": ANNA, "message_id": answers[0]["result"]["message_id"], "text": "y"}
        assert phone.call("editMessageText", **edited)["error_code"] == 429
        assert phone.call("sendMessage", chat_id=OLEG, text="x")["ok"], "nobody else is concerned"
        phone.post("/release")
        assert phone.call("editMessageText", **edited)["ok"]

    def test_trouble_may_concern_one_chat(self, phone: Phone) -> None:
        for user_id in (ANNA, OLEG):
            phone.write(user_id=user_id)
        phone.post("/trouble", method="sendMessage", chat_id=ANNA, times=2, error_code=429, retry_after=30)
        assert phone.call("sendMessage", chat_id=ANNA, text="x")["parameters"] == {"retry_after": 30}
        assert phone.call("sendMessage", chat_id=OLEG, text="x")["ok"]
        assert not phone.call("sendMessage", chat_id=ANNA, text="x")["ok"]
        assert phone.call("sendMessage", chat_id=ANNA, text="x")["ok"]


class TestBlocking:
    """my_chat_member and 403."""

    def test_the_bot_hears_of_it_once_and_cannot_write(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        assert phone.post("/block", user_id=ANNA, blocked=True)["update_id"]
        assert phone.post("/block", user_id=ANNA, blocked=True) == {"update_id": None}
        for call in (bot.send_message, bot.send_photo):
            assert refused(call, ANNA, "x") == "403 Forbidden: bot was blocked by the user"
        (told,) = [u.my_chat_member for u in bot.get_updates(long_polling_timeout=1) if u.my_chat_member]
        assert (told.from_user.id, told.chat.id, told.chat.type) == (ANNA, ANNA, "private")
        assert (told.old_chat_member.status, told.new_chat_member.status) == ("member", "kicked")
        assert told.new_chat_member.user.id == bot.get_me().id

    def test_who_writes_has_let_the_bot_in_again(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        phone.post("/block", user_id=ANNA, blocked=True)
        phone.write("/start")
        kinds = [(bool(u.my_chat_member), bool(u.message)) for u in bot.get_updates(long_polling_timeout=1)]
        assert kinds == [(False, True), (True, False), (True, False), (False, True)]
        assert bot.send_message(ANNA, "x")

    def test_a_first_start_is_no_such_change(self, phone: Phone, bot: TeleBot) -> None:
        phone.write()
        assert [u.my_chat_member for u in bot.get_updates(long_polling_timeout=1)] == [None]


class TestWebhook:
    """setWebhook excludes polling."""

    def test_set_and_deleted(self, phone: Phone, bot: TeleBot) -> None:
        assert "HTTPS URL must be provided" in refused(bot.set_webhook, "http://a.example")
        phone.write()
        assert bot.set_webhook("https://a.example/hook")
        assert "409 Conflict: can't use getUpdates" in refused(poll, bot)
        assert bot.get_webhook_info().pending_update_count == 1
        assert bot.delete_webhook(drop_pending_updates=True)
        assert poll(bot) == []
