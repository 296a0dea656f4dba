"""Telegram's Bot API, outgoing: deadlines, our own errors, and never a word with the bot's token, which is in every address.

https://core.telegram.org/bots/api#sendmessage
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from krotray_core import settings
from krotray_core.deadlines import Session, read
from krotray_core.errors import (
    TelegramBlocked,
    TelegramDenied,
    TelegramMalformed,
    TelegramRefused,
    TelegramUnavailable,
)

CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0  # between two packets
ANSWER_SECONDS = 10.0  # for the whole answer
ANSWER_BYTES = 1024 * 1024
# The longest that one call can take, give or take a slow DNS.
LONGEST_SECONDS = CONNECT_SECONDS + READ_SECONDS + ANSWER_SECONDS

LONGEST_REASON = 200

_LIMITED = requests.codes.too_many_requests
_WRONG_TOKEN = {401, 404}
# What of Telegram's 400s is about the message, for whomever: our words or buttons are to be mended. Any other one is about the
# chat ("chat not found", "PEER_ID_INVALID", "group chat was upgraded to a supergroup chat") or of a kind that we do not know.
_ABOUT_THE_MESSAGE = re.compile(
    r"can't parse|message is too long|MESSAGE_TOO_LONG|text is empty|text must be|ENTIT(Y|IES)|button|keyboard|REPLY_MARKUP",
    re.IGNORECASE,
)
# Of the failures behind the door this one says that nothing was done. With any other (a 502, a 504) the message may have gone out:
# somebody in between did not get, or wait for, the answer.
_NOT_DONE = requests.codes.service_unavailable
# With a 429 that does not say how long, or is a relay's, and at most: Telegram's own pauses seldom reach an hour.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 86_400.0


# Rows of buttons, each as it goes over the wire: `{"text": ..., "callback_data": ...}`, say.
Buttons = Sequence[Sequence[Mapping[str, Any]]]


def send_message(chat_id: int, html: str, buttons: Buttons = ()) -> None:
    """Sends a text in Telegram's HTML with buttons below it, without previews of what it links to.

    Raises TelegramBlocked when nothing of ours reaches this person, TelegramMalformed when the message itself is at fault, any
    other TelegramRefused when it never reaches this chat; TelegramDenied when our token is wrong, any other TelegramUnavailable
    when it did not go out this time, or when it is unknown whether it did.
    """
    body: dict[str, Any] = {"chat_id": chat_id, "text": html, "parse_mode": "HTML"}
    body["link_preview_options"] = {"is_disabled": True}
    if buttons:
        body["reply_markup"] = {"inline_keyboard": [list(row) for row in buttons]}
    _call("sendMessage", body)


def whoami() -> str:
    """getMe: the bot's name behind our token, without the @. Raises as `send_message` does."""
    me = _call("getMe", {})
    return str(me.get("username", "")) if isinstance(me, dict) else ""


def webhook() -> str:
    """getWebhookInfo: the address that updates go to instead of to us, "" for none. Raises as `send_message` does."""
    info = _call("getWebhookInfo", {})
    return str(info.get("url", "")) if isinstance(info, dict) else ""


def ping() -> None:
    """Whether Telegram answers and knows us, without telling anybody anything. Raises TelegramUnavailable if not."""
    try:
        whoami()
    except TelegramRefused as error:
        said = str(error)
    else:
        return
    raise TelegramUnavailable(said)


def _call(method: str, body: dict[str, Any]) -> Any:
    """What Telegram answers, its `result`."""
    s = settings.get()
    token = s.bot_token.get_secret_value()
    address = f"{s.telegram_api_url.rstrip('/')}/bot{token}/{method}"
    try:
        status, answer = _post(address, body)
    except requests.RequestException as error:
        failure, unsure = type(error).__name__, not _never_connected(error)
    else:
        _check(status, answer, token)
        return answer.get("result")
    # Outside of the handler: the library's error holds the address, and must not hang on ours as its context.
    raise TelegramUnavailable(f"Telegram did not answer: {failure}", unsure=unsure)


def _never_connected(error: requests.RequestException) -> bool:
    """Whether it is certain that nothing went out."""
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(getattr(cause, "reason", None), NewConnectionError)


def _post(address: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    with _session().post(
        address, json=body, timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False, stream=True
    ) as response:
        received = read(response, ANSWER_BYTES)
    try:
        answer = json.loads(received)
    except (ValueError, RecursionError):
        answer = None
    return response.status_code, answer if isinstance(answer, dict) else {}


def _check(status: int, answer: dict[str, Any], token: str) -> None:
    if status == requests.codes.ok and answer.get("ok") is True:
        return
    said = f"Telegram answered {status} {_reason(answer, token)}".rstrip()
    if _is_telegrams(status, answer):
        if status == requests.codes.forbidden:
            raise TelegramBlocked(said)
        if status == requests.codes.bad_request:
            raise _refusal(answer, said)
        if status in _WRONG_TOKEN:
            raise TelegramDenied(f"{said} (is BOT_TOKEN right?)")
    if status == _LIMITED:
        raise TelegramUnavailable(said, retry_after=_pause(answer) if _is_telegrams(status, answer) else _PAUSE_SECONDS)
    # A relay's or a filter's page says nothing about the message or the person, whatever its status; a 200 that is no answer of
    # Telegram's (a proxy's page, a cut off one) does not even say that nothing went out.
    failed = status >= requests.codes.server_error and status != _NOT_DONE
    raise TelegramUnavailable(said, unsure=failed or status < requests.codes.bad_request)


def _is_telegrams(status: int, answer: dict[str, Any]) -> bool:
    """Whether it is Telegram that says no, and not somebody on the way."""
    code = answer.get("error_code")
    return answer.get("ok") is False and type(code) is int and code == status


def _refusal(answer: dict[str, Any], said: str) -> TelegramRefused:
    parameters, words = answer.get("parameters"), str(answer.get("description", ""))
    now = parameters.get("migrate_to_chat_id") if isinstance(parameters, dict) else None
    if type(now) is int:  # only a group of admins can: who else is told anything is a person
        return TelegramRefused(f"{said} (its id is {now} now: change it in ADMIN_TELEGRAM_IDS)")
    return TelegramMalformed(said) if _ABOUT_THE_MESSAGE.search(words) else TelegramRefused(said)


def _reason(answer: dict[str, Any], token: str) -> str:
    """Telegram's own words; somebody in between might quote the address in them."""
    words = str(answer.get("description", ""))
    for secret in (token, token.partition(":")[2]):
        words = words.replace(secret, "[token]")
    return "".join(sign if sign.isprintable() else " " for sign in words[:LONGEST_REASON])


def _pause(answer: dict[str, Any]) -> float:
    parameters = answer.get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return _PAUSE_SECONDS
    return min(max(float(seconds), 1.0), _LONGEST_PAUSE_SECONDS)


@cache
def _session() -> requests.Session:
    """Proxy variables are heeded, unlike with YooKassa: where Telegram is behind one, the bot goes through it as well."""
    return Session(pause_seconds=READ_SECONDS, answer_seconds=ANSWER_SECONDS)


os.register_at_fork(after_in_child=_session.cache_clear)  # a child must not share its parent's connections
