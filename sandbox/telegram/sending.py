"""How the bot speaks: messages and photos, sent, rewritten, taken back. https://core.telegram.org/bots/api#available-methods"""

from __future__ import annotations

import time
from typing import Any

from .chats import Chat, Message
from .core import Telegram
from .entities import formatted, given_entities, length
from .errors import bad_request
from .files import Photo
from .incoming import Method, Parameters
from .markup import keyboard_of

LONGEST_TEXT = 4096
LONGEST_CAPTION = 1024
MOST_DELETED = 100
_ACTIONS = frozenset(
    {
        *("typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document"),
        *("choose_sticker", "find_location", "record_video_note", "upload_video_note"),
    }
)


def send_message(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot writes to somebody."""
    chat = telegram.chats.writable(given.chat())
    text, entities = _text(given)
    return _said(telegram, chat, given, text=text, entities=entities)


def send_photo(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot sends a picture: uploaded, or one that it has sent before."""
    chat = telegram.chats.writable(given.chat())
    photo = telegram.files.photo(given.file("photo"))
    text, entities = _caption(given)
    return _said(telegram, chat, given, text=text, entities=entities, photo=photo)


def send_chat_action(telegram: Telegram, given: Parameters) -> bool:
    """ "typing..."."""
    telegram.chats.writable(given.chat())
    if (given.text("action") or "") not in _ACTIONS:
        raise bad_request("wrong parameter action in request")
    return True


def edit_message_text(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot rewrites a message; a keyboard that is not given again goes."""
    chat, message = _own(telegram, given)
    text, entities = _text(given)
    if message.photo:
        raise bad_request("there is no text in the message to edit")
    return _edited(telegram, chat, message, text=text, entities=entities, keyboard=_keyboard(given))


def edit_message_caption(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot rewrites the words under a picture."""
    chat, message = _own(telegram, given)
    text, entities = _caption(given)
    if not message.photo:
        raise bad_request("there is no caption in the message to edit")
    return _edited(telegram, chat, message, text=text, entities=entities, keyboard=_keyboard(given))


def edit_message_media(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot puts a picture where a picture, or a text, was."""
    chat, message = _own(telegram, given)
    media = given.json("media", dict, "input media") or {}
    if media.get("type") != "photo":
        raise bad_request("can't parse InputMedia: only photos are known here")
    inner = given.within(media)
    photo: Photo = telegram.files.photo(inner.file("media"))
    text, entities = _caption(inner)
    return _edited(telegram, chat, message, text=text, entities=entities, photo=photo, keyboard=_keyboard(given))


def edit_message_reply_markup(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot changes the buttons under a message."""
    chat, message = _own(telegram, given)
    return _edited(telegram, chat, message, keyboard=_keyboard(given))


def delete_message(telegram: Telegram, given: Parameters) -> bool:
    """The bot takes a message back; in a private chat it may take the person's as well."""
    chat = telegram.chats.writable(given.chat())
    message = telegram.chats.message(chat, given.message())
    if message is None:
        raise bad_request("message to delete not found")
    telegram.chats.remove(chat, message)
    return True


def delete_messages(telegram: Telegram, given: Parameters) -> bool:
    """Several at once; those that are gone already do not matter."""
    chat = telegram.chats.writable(given.chat())
    ids = given.json("message_ids", list, "message identifiers") or []
    if not 1 <= len(ids) <= MOST_DELETED or not all(isinstance(one, int) for one in ids):
        raise bad_request(
            "message identifiers are not specified" if not ids else "too many message identifiers specified"
        )
    for one in ids:
        if message := telegram.chats.message(chat, one):
            telegram.chats.remove(chat, message)
    return True


METHODS: dict[str, Method] = {
    "sendMessage": send_message,
    "sendPhoto": send_photo,
    "sendChatAction": send_chat_action,
    "editMessageText": edit_message_text,
    "editMessageCaption": edit_message_caption,
    "editMessageMedia": edit_message_media,
    "editMessageReplyMarkup": edit_message_reply_markup,
    "deleteMessage": delete_message,
    "deleteMessages": delete_messages,
}


def _text(given: Parameters) -> tuple[str, list[dict[str, Any]]]:
    """The text of a message and its entities. Raises ApiError."""
    text, entities = _formatted(given, "text", "entities")
    if not text:
        raise bad_request("message text is empty")
    if length(text) > LONGEST_TEXT:
        raise bad_request("message is too long")
    return text, entities


def _caption(given: Parameters) -> tuple[str, list[dict[str, Any]]]:
    """The words under a picture, which may be none. Raises ApiError."""
    text, entities = _formatted(given, "caption", "caption_entities")
    if length(text) > LONGEST_CAPTION:
        raise bad_request("message caption is too long")
    return text, entities


def _formatted(given: Parameters, name: str, entities: str) -> tuple[str, list[dict[str, Any]]]:
    text, mode = given.text(name) or "", given.text("parse_mode") or ""
    stated = given.json(entities, list, "message entities")
    return formatted(text, mode) if mode or not stated else given_entities(text, stated)


def _keyboard(given: Parameters) -> list[list[dict[str, Any]]]:
    return keyboard_of(given.json("reply_markup", dict, "reply keyboard markup"))


def _said(telegram: Telegram, chat: Chat, given: Parameters, **what: Any) -> dict[str, Any]:
    keyboard = _keyboard(given)
    telegram.flood.meet(chat.person.id)
    return telegram.message_wire(chat, telegram.chats.say(chat, by_bot=True, keyboard=keyboard, **what))


def _own(telegram: Telegram, given: Parameters) -> tuple[Chat, Message]:
    """A message of the bot's own that it may change. Raises ApiError."""
    chat = telegram.chats.writable(given.chat())
    message = telegram.chats.message(chat, given.message())
    if message is None:
        raise bad_request("message to edit not found")
    if not message.by_bot:
        raise bad_request("message can't be edited")
    return chat, message


def _edited(telegram: Telegram, chat: Chat, message: Message, **changes: Any) -> dict[str, Any]:
    if all(getattr(message, name) == value for name, value in changes.items()):
        raise bad_request(
            "message is not modified: specified new message content and reply markup are exactly the same "
            "as a current content and reply markup of the message"
        )
    telegram.flood.meet_edit(chat.person.id)
    for name, value in changes.items():
        setattr(message, name, value)
    message.edit_date = int(time.time())
    telegram.chats.touch()
    return telegram.message_wire(chat, message)
