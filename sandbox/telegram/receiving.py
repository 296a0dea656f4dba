"""How the bot hears: getUpdates, webhooks, and the answers to presses. https://core.telegram.org/bots/api#getting-updates"""

from __future__ import annotations

from typing import Any

from .core import Telegram
from .entities import length
from .errors import bad_request
from .incoming import Method, Parameters

LONGEST_ANSWER = 200
LONGEST_POLL_SECONDS = 50


def get_updates(telegram: Telegram, given: Parameters) -> list[dict[str, Any]]:
    """The long poll."""
    return telegram.updates.poll(
        offset=given.number("offset", 0),
        limit=given.number("limit", 100),
        timeout=min(given.number("timeout", 0), LONGEST_POLL_SECONDS),
        allowed=given.json("allowed_updates", list, "allowed updates"),
    )


def set_webhook(telegram: Telegram, given: Parameters) -> bool:
    """From now on nothing can be polled. Nothing is sent to a webhook either."""
    url = given.text("url") or ""
    if url and not url.startswith("https://"):
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    return _turn_to(telegram, given, url)


def delete_webhook(telegram: Telegram, given: Parameters) -> bool:
    """From now on updates are polled."""
    return _turn_to(telegram, given, "")


def get_webhook_info(telegram: Telegram, _: Parameters) -> dict[str, Any]:
    """Whether there is a webhook, and how much waits."""
    return {
        "url": telegram.updates.webhook_url,
        "has_custom_certificate": False,
        "pending_update_count": telegram.updates.pending,
    }


def answer_callback_query(telegram: Telegram, given: Parameters) -> bool:
    """The bot answers a press: once, and while the person's client waits for it."""
    text = given.text("text") or ""
    if length(text) > LONGEST_ANSWER:
        raise bad_request("MESSAGE_TOO_LONG")
    query_id = given.text("callback_query_id") or ""
    if given.text("url"):  # only games, and links to the bot itself
        raise bad_request("URL_INVALID")
    telegram.chats.answer(query_id, {"text": text, "show_alert": given.flag("show_alert")})
    return True


def _turn_to(telegram: Telegram, given: Parameters, url: str) -> bool:
    telegram.updates.webhook_url = url
    if given.flag("drop_pending_updates"):
        telegram.updates.forget()
    return True


METHODS: dict[str, Method] = {
    "getUpdates": get_updates,
    "setWebhook": set_webhook,
    "deleteWebhook": delete_webhook,
    "getWebhookInfo": get_webhook_info,
    "answerCallbackQuery": answer_callback_query,
}
