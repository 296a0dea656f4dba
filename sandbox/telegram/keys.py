"""The control API's "try this key": a real VPN client connects with somebody's key and fetches a page of this sandbox."""

from __future__ import annotations

import dataclasses
import threading
from urllib.parse import urlsplit

import requests
from flask import Response, jsonify, request

from . import launch
from .chats import Person
from .control_input import ControlError, body_of, chat_of, telegram_here, whole, word

ASK_SECONDS = 10
LONGEST_LINK = 4096
_one_at_a_time = threading.Lock()


def try_key() -> Response:
    """`{user_id, link?}`: tries a vless:// link or a subscription; without one, that of this person.

    Answers the fields of `sandbox.tryout.Tryout` and `link`, what was tried; `problem` is "no_key" where there is none.
    """
    body = body_of("user_id", "link")
    link = (word(body, "link") or "").strip() or _own(chat_of(whole(body, "user_id")).person)
    if not link:
        return jsonify(problem="no_key")
    if len(link) > LONGEST_LINK:
        return jsonify(problem="not_a_link")
    from sandbox.tryout import try_key as attempt  # noqa: PLC0415 - it brings the real servers along: seconds of start

    with _one_at_a_time:
        outcome = attempt(link, f"{request.host_url}sandbox/hello")
    return jsonify(dataclasses.asdict(outcome) | {"link": link})


def hello(word: str) -> Response:
    """The page at the other end: says the word back, and from where it was asked."""
    return Response(f"{word} {request.remote_addr}\n", mimetype="text/plain")


def _own(person: Person) -> str | None:
    """This person's subscription, asked for as their own Mini App would. Raises ControlError."""
    config = telegram_here().config
    if not config.mini_app_url:
        raise ControlError("no Mini App is known: give a link, or start with --mini-app-url")
    service = urlsplit(config.mini_app_url)
    try:
        answer = requests.get(
            f"{service.scheme}://{service.netloc}/api/key",
            headers={"X-Telegram-Init-Data": launch.init_data(person, config.token)},
            timeout=ASK_SECONDS,
        )
        answer.raise_for_status()
        found = answer.json()
    except (requests.RequestException, ValueError):
        raise ControlError("the service does not answer") from None
    link = found.get("subscription_url") or found.get("vless_url")
    return link if isinstance(link, str) else None
