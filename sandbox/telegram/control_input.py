"""What the control API is given, and who may give it."""

from __future__ import annotations

import ipaddress
from typing import Any

from flask import Response, current_app, jsonify, request

from .chats import Chat
from .core import Telegram


class ControlError(Exception):
    """A request to the control API that makes no sense."""


def telegram_here() -> Telegram:
    """The sandbox behind this request."""
    telegram: Telegram = current_app.extensions["telegram_sandbox"]
    return telegram


def chat_of(user_id: int) -> Chat:
    """Somebody's chat. Raises ControlError."""
    try:
        return telegram_here().chats.of(user_id)
    except KeyError:
        raise ControlError(f"nobody here has the id {user_id}") from None


def body_of(*known: str) -> dict[str, Any]:
    """The JSON object of a request, which holds nothing but what is `known`. Raises ControlError."""
    body = request.get_json(silent=True) if request.get_data() else {}
    if not isinstance(body, dict):
        raise ControlError("the body has to be a JSON object")
    if unknown := body.keys() - set(known):
        raise ControlError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return body


def whole(body: dict[str, Any], name: str) -> int:
    """A whole number above 0. Raises ControlError."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ControlError(f"{name} has to be a whole number above 0")
    return value


def word(body: dict[str, Any], name: str) -> str | None:
    """A text, or None where there is none. Raises ControlError."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise ControlError(f"{name} has to be a string")
    return value or None


def only_from_here() -> tuple[Response, int] | None:
    """Refuses everybody but this machine: who may use these doors may be anybody in the chat."""
    try:
        here = ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        here = False
    return None if here else refusal("the control API answers on this machine only", 403)


def refusal(text: str, status: int) -> tuple[Response, int]:
    """What is answered to a request that is refused."""
    return jsonify(error=text), status
