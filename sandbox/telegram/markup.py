"""Inline keyboards, checked as Telegram checks them. https://core.telegram.org/bots/api#inlinekeyboardmarkup"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from .errors import ApiError, bad_request

LONGEST_DATA = 64  # bytes
LONGEST_COPY = 256  # characters
MOST_BUTTONS = 100
KINDS = ("callback_data", "url", "web_app", "copy_text")

Keyboard = list[list[dict[str, Any]]]


def keyboard_of(markup: dict[str, Any] | None) -> Keyboard:
    """The rows of an inline keyboard, none where there is no markup. Raises ApiError."""
    if not markup or markup.get("remove_keyboard") is True:  # there are no other keyboards here that could be removed
        return []
    rows = markup.get("inline_keyboard")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
    if sum(len(row) for row in rows) > MOST_BUTTONS:
        raise bad_request("reply markup is too long")
    return [[_button(raw) for raw in row] for row in rows if row]


def _button(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict) or not isinstance(raw.get("text"), str) or not raw["text"].strip():
        raise _unparsable('Field "text" must be a non-empty String')
    kinds = [kind for kind in KINDS if raw.get(kind) is not None]
    if len(kinds) != 1:
        raise _unparsable("Text buttons are unallowed in the inline keyboard")
    kind, value = kinds[0], raw[kinds[0]]
    match kind:
        case "callback_data":
            if not isinstance(value, str) or not 1 <= len(value.encode()) <= LONGEST_DATA:
                raise bad_request("BUTTON_DATA_INVALID")
        case "url":
            check_url(value)
        case "web_app":
            check_web_app(value)
        case "copy_text":
            copied = value.get("text") if isinstance(value, dict) else None
            if not isinstance(copied, str) or not 1 <= len(copied) <= LONGEST_COPY:
                raise bad_request("BUTTON_COPY_TEXT_INVALID")
    return {"text": raw["text"], kind: value}


def check_url(url: Any) -> None:
    """Refuses what a URL button cannot hold: other protocols, and a host without a point such as localhost."""
    fault = _fault(url, ("http", "https", "tg"))
    if fault:
        raise bad_request(f"inline keyboard button URL '{url}' is invalid: {fault}")


def check_web_app(value: Any, where: str = "inline keyboard button") -> None:
    """Refuses a Mini App that is not at an address. Telegram wants https; on one machine http is all that there is."""
    url = value.get("url") if isinstance(value, dict) else None
    fault = _fault(url, ("http", "https"))
    if fault:
        raise bad_request(f"{where} Web App URL '{url}' is invalid: {fault}")


def _fault(url: Any, schemes: tuple[str, ...]) -> str | None:
    if not isinstance(url, str) or not url:
        return "URL is empty"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "Wrong HTTP URL"
    if parts.scheme not in schemes:
        return "Unsupported URL protocol"
    if parts.scheme != "tg" and "." not in (host or ""):
        return "Wrong HTTP URL"
    return None


def _unparsable(what: str) -> ApiError:
    return bad_request(f"can't parse inline keyboard button: {what}")
