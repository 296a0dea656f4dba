"""Bot API: /bot<token>/<method>. https://core.telegram.org/bots/api"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from .chats import Message
from .core import Telegram
from .entities import length, parse_html
from .errors import ApiError, bad_request
from .incoming import Parameters
from .markup import check_web_app, keyboard_of

LONGEST_TEXT = 4096
LONGEST_ANSWER = 200
LONGEST_POLL_SECONDS = 50
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")

Method = Callable[[Telegram, Parameters], Any]


def api_blueprint() -> Blueprint:
    """The one route of the Bot API."""
    blueprint = Blueprint("api", __name__)
    blueprint.add_url_rule("/bot<token>/<method>", view_func=call, methods=["GET", "POST"])
    return blueprint


def call(token: str, method: str) -> tuple[Response, int]:
    """Answers a call of the bot; method names may be written in any case."""
    try:
        return jsonify(ok=True, result=_result(token, method)), 200
    except ApiError as error:
        return jsonify(error.wire), error.code


def _result(token: str, method: str) -> Any:
    telegram: Telegram = current_app.extensions["telegram_sandbox"]
    if not hmac.compare_digest(token.encode(), telegram.config.token.encode()):
        raise ApiError(401, "Unauthorized")
    name = next((known for known in METHODS if known.lower() == method.lower()), None)
    if name is None:
        raise ApiError(404, "Not Found: method not found")
    telegram.mischief.meet(name)
    return METHODS[name](telegram, Parameters.of(request))


def get_me(telegram: Telegram, _: Parameters) -> dict[str, Any]:
    """Who the bot is."""
    return telegram.me | {"can_join_groups": True, "can_read_all_group_messages": False}


def get_updates(telegram: Telegram, given: Parameters) -> list[dict[str, Any]]:
    """The long poll."""
    return telegram.updates.poll(
        offset=given.number("offset", 0),
        limit=given.number("limit", 100),
        timeout=min(given.number("timeout", 0), LONGEST_POLL_SECONDS),
        allowed=given.json("allowed_updates", list, "allowed updates"),
    )


def send_message(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot writes to somebody."""
    chat = telegram.chats.writable(given.number("chat_id"))
    text, entities = _text(given)
    keyboard = keyboard_of(given.json("reply_markup", dict, "reply markup"))
    message = telegram.chats.say(chat, by_bot=True, text=text, entities=entities, keyboard=keyboard)
    return telegram.message_wire(chat, message)


def edit_message_text(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot rewrites a message; a keyboard that is not given again goes."""
    text, entities = _text(given)
    keyboard = keyboard_of(given.json("reply_markup", dict, "reply markup"))
    return _edited(telegram, given, text=text, entities=entities, keyboard=keyboard)


def edit_message_reply_markup(telegram: Telegram, given: Parameters) -> dict[str, Any]:
    """The bot changes the buttons under a message."""
    return _edited(telegram, given, keyboard=keyboard_of(given.json("reply_markup", dict, "reply markup")))


def answer_callback_query(telegram: Telegram, given: Parameters) -> bool:
    """The bot answers a press."""
    text = given.text("text") or ""
    if length(text) > LONGEST_ANSWER:
        raise bad_request("MESSAGE_TOO_LONG")
    answer = {"text": text, "show_alert": given.flag("show_alert")}
    telegram.chats.answer(given.text("callback_query_id") or "", answer)
    return True


def delete_webhook(telegram: Telegram, given: Parameters) -> bool:
    """From now on updates are polled."""
    telegram.updates.webhook_url = ""
    if given.flag("drop_pending_updates"):
        telegram.updates.forget()
    return True


def get_webhook_info(telegram: Telegram, _: Parameters) -> dict[str, Any]:
    """Whether there is a webhook, and how much waits."""
    return {
        "url": telegram.updates.webhook_url,
        "has_custom_certificate": False,
        "pending_update_count": telegram.updates.pending,
    }


def set_my_commands(telegram: Telegram, given: Parameters) -> bool:
    """The commands behind the / button, for a language or for everybody else ("")."""
    commands = given.json("commands", list, "commands") or []
    for command in commands:
        if not isinstance(command, dict) or not _COMMAND.fullmatch(str(command.get("command", ""))):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(str(command.get("description", ""))) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    telegram.commands[given.text("language_code") or ""] = commands
    telegram.chats.touch()
    return True


def set_chat_menu_button(telegram: Telegram, given: Parameters) -> bool:
    """What the button beside the text field does."""
    button = given.json("menu_button", dict, "menu button")
    if button and button.get("type") == "web_app":
        check_web_app(button.get("web_app"))
    telegram.menu_button = button
    telegram.chats.touch()
    return True


METHODS: dict[str, Method] = {
    "getMe": get_me,
    "getUpdates": get_updates,
    "sendMessage": send_message,
    "editMessageText": edit_message_text,
    "editMessageReplyMarkup": edit_message_reply_markup,
    "answerCallbackQuery": answer_callback_query,
    "deleteWebhook": delete_webhook,
    "getWebhookInfo": get_webhook_info,
    "setMyCommands": set_my_commands,
    "setChatMenuButton": set_chat_menu_button,
}


def _text(given: Parameters) -> tuple[str, list[dict[str, Any]]]:
    """The text of a message and its entities. Raises ApiError."""
    text = given.text("text") or ""
    mode = (given.text("parse_mode") or "").lower()
    if mode not in ("", "html"):
        raise bad_request("unsupported parse_mode")  # Telegram has Markdown too; nobody here writes it
    text, entities = parse_html(text) if mode else (text, [])
    if not text.strip():
        raise bad_request("message text is empty")
    if length(text) > LONGEST_TEXT:
        raise bad_request("message is too long")
    return text, entities


def _edited(telegram: Telegram, given: Parameters, **changes: Any) -> dict[str, Any]:
    chat = telegram.chats.writable(given.number("chat_id"))
    message = telegram.chats.message(chat, given.number("message_id"))
    if message is None:
        raise bad_request("message to edit not found")
    if not message.by_bot:
        raise bad_request("message can't be edited")
    _change(message, changes)
    telegram.chats.touch()
    return telegram.message_wire(chat, message)


def _change(message: Message, changes: dict[str, Any]) -> None:
    if all(getattr(message, name) == value for name, value in changes.items()):
        raise bad_request(
            "message is not modified: specified new message content and reply markup are exactly the same "
            "as a current content and reply markup of the message"
        )
    for name, value in changes.items():
        setattr(message, name, value)
    message.edit_date = int(time.time())
