"""Bot API: /bot<token>/<method>. https://core.telegram.org/bots/api"""

from __future__ import annotations

import hmac
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from . import about, receiving, sending
from .core import Telegram
from .errors import ApiError
from .incoming import Method, Parameters

METHODS: dict[str, Method] = receiving.METHODS | sending.METHODS | about.METHODS


def api_blueprint() -> Blueprint:
    """The two routes of the Bot API: calls, and downloads."""
    blueprint = Blueprint("api", __name__)
    blueprint.add_url_rule("/bot<token>/<method>", view_func=call, methods=["GET", "POST"])
    blueprint.add_url_rule("/file/bot<token>/<path:path>", view_func=download)
    return blueprint


def call(token: str, method: str) -> tuple[Response, int]:
    """Answers a call of the bot; method names may be written in any case."""
    try:
        return jsonify(ok=True, result=_result(token, method)), 200
    except ApiError as error:
        return jsonify(error.wire), error.code


def download(token: str, path: str) -> Response | tuple[Response, int]:
    """The content of a file that `getFile` has named."""
    try:
        photo = _telegram(token).files.at(path)
    except ApiError as error:
        return jsonify(error.wire), error.code
    if photo is None:
        return jsonify(ApiError(404, "Not Found").wire), 404
    return Response(photo.content, mimetype="application/octet-stream")


def _result(token: str, method: str) -> Any:
    telegram = _telegram(token)
    name = next((known for known in METHODS if known.lower() == method.lower()), None)
    if name is None:
        raise ApiError(404, "Not Found: method not found")
    given = Parameters.of(request)
    telegram.mischief.meet(name, given.text("chat_id"))
    return METHODS[name](telegram, given)


def _telegram(token: str) -> Telegram:
    telegram: Telegram = current_app.extensions["telegram_sandbox"]
    if not hmac.compare_digest(token.encode(), telegram.config.token.encode()):
        raise ApiError(401, "Unauthorized")
    return telegram
