"""The control API under /sandbox: what tests, the demo and the chat page use to play the people who talk to the bot."""

from __future__ import annotations

import ipaddress
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as Redirect

from . import launch
from .chats import Chat, Message
from .core import NoSuchButtonError, Telegram
from .mischief import Trouble

LONGEST_WAIT_SECONDS = 25.0
LATEST_PRESSES = 30


class ControlError(Exception):
    """A request to the control API that makes no sense."""


def control_blueprint() -> Blueprint:
    """The routes of the control API."""
    blueprint = Blueprint("control", __name__, url_prefix="/sandbox")
    blueprint.before_request(only_from_here)
    blueprint.register_error_handler(ControlError, lambda error: _refusal(str(error), 400))
    blueprint.register_error_handler(NoSuchButtonError, lambda error: _refusal(str(error), 409))
    for rule, view, method in (
        ("/people", people, "GET"),
        ("/people", new_person, "POST"),
        ("/message", message, "POST"),
        ("/press", press, "POST"),
        ("/block", block, "POST"),
        ("/chat/<int:user_id>", chat, "GET"),
        ("/init-data/<int:user_id>", init_data, "GET"),
        ("/mini-app/<int:user_id>", mini_app, "GET"),
        ("/bot", bot, "GET"),
        ("/trouble", trouble, "POST"),
        ("/release", release, "POST"),
        ("/webhook", webhook, "POST"),
    ):
        blueprint.add_url_rule(rule, view_func=view, methods=[method])
    return blueprint


def people() -> Response:
    """Everybody who has an account here."""
    return jsonify(people=[person.wire for person in _telegram().chats.people()])


def new_person() -> tuple[Response, int]:
    """`{first_name?, language_code?}`: somebody new; answers the user."""
    body = _body("first_name", "language_code")
    made = _telegram().chats.meet(
        None, first_name=_word(body, "first_name"), language_code=_word(body, "language_code")
    )
    return jsonify(made.person.wire), 201


def message() -> Response:
    """`{user_id, text, first_name?, language_code?}`: somebody writes to the bot; answers the ids of message and update."""
    body = _body("user_id", "text", "first_name", "language_code")
    text = _word(body, "text")
    if text is None or len(text) > 4096:
        raise ControlError("text has to be 1 to 4096 characters")
    telegram = _telegram()
    talk = telegram.chats.meet(
        _whole(body, "user_id"),
        first_name=_word(body, "first_name"),
        language_code=_word(body, "language_code"),
    )
    written, update_id = telegram.write(talk, text)
    return jsonify(message_id=written.id, update_id=update_id)


def press() -> Response:
    """`{user_id, message_id, button}`: a press on a button, by its text or callback data.

    Answers `{callback_query_id}`, `{url}` (signed, if it opens a Mini App) or `{copied}`: whatever the press did.
    """
    body = _body("user_id", "message_id", "button")
    telegram, talk = _telegram(), _chat(_whole(body, "user_id"))
    kind, value = telegram.press(talk, _whole(body, "message_id"), _word(body, "button") or "")
    if kind == "web_app":
        kind, value = "url", launch.address(value, talk.person, telegram.config.token)
    return jsonify({kind: value})


def block() -> Response:
    """`{user_id, blocked}`: somebody blocks the bot, or takes it back."""
    body = _body("user_id", "blocked")
    _chat(_whole(body, "user_id")).person.blocked = body.get("blocked") is True
    _telegram().chats.touch()
    return jsonify(ok=True)


def chat(user_id: int) -> Response:
    """The conversation as its person sees it; `?since=V&wait=S` waits until the version is no longer V, S seconds at most."""
    telegram = _telegram()
    since, wait = request.args.get("since", type=int), request.args.get("wait", 0.0, type=float)
    if since is not None:
        telegram.chats.wait(since, min(wait, LONGEST_WAIT_SECONDS))
    version, talk = telegram.chats.version, _chat(user_id)
    return jsonify(
        version=version,
        user=talk.person.wire,
        blocked=talk.person.blocked,
        messages=[_shown(talk, one) for one in talk.messages],
        presses=[
            {"callback_query_id": p.id, "message_id": p.message_id, "data": p.data, "answer": p.answer}
            for p in talk.presses[-LATEST_PRESSES:]
        ],
    )


def init_data(user_id: int) -> Response:
    """The initData that the Mini App would get for this person, who is made up if need be."""
    telegram = _telegram()
    return jsonify(init_data=launch.init_data(telegram.chats.meet(user_id).person, telegram.config.token))


def mini_app(user_id: int) -> Redirect:
    """Opens the Mini App as this person; `?url=` another one than the bot's own."""
    telegram = _telegram()
    url = request.args.get("url") or telegram.config.mini_app_url
    if not url or not url.startswith(("http://", "https://")):
        raise ControlError("no Mini App is known: start with --mini-app-url, or set MINI_APP_URL")
    return redirect(launch.address(url, telegram.chats.meet(user_id).person, telegram.config.token))


def bot() -> Response:
    """The bot: who it is, whether it polls, what waits for it, what it has set up, and how often it called what."""
    telegram = _telegram()
    return jsonify(
        name=telegram.config.name,
        username=telegram.config.username,
        polls=telegram.updates.somebody_polls,
        pending=telegram.updates.pending,
        commands=telegram.commands,
        menu_button=telegram.menu_button,
        mini_app_url=telegram.config.mini_app_url,
        calls=telegram.mischief.calls(),
    )


def trouble() -> Response:
    """`{method, times?, hold?, error_code?, description?, retry_after?}`: what the next calls of a method run into."""
    body = _body("method", "times", "hold", "error_code", "description", "retry_after")
    try:
        _telegram().mischief.order(Trouble(**body))
    except TypeError:
        raise ControlError("method is missing") from None
    return jsonify(ok=True)


def release() -> Response:
    """Ends all trouble: held calls go on, ordered ones are forgotten."""
    _telegram().mischief.release()
    return jsonify(ok=True)


def webhook() -> Response:
    """`{url}`: as if somebody had set a webhook; polling is refused until it is deleted. Nothing is ever sent there."""
    _telegram().updates.webhook_url = _word(_body("url"), "url") or ""
    return jsonify(ok=True)


def _shown(talk: Chat, one: Message) -> dict[str, Any]:
    """A message for a person: what each button does is told by `opens`, `copies` or `callback_data`."""
    return {
        "message_id": one.id,
        "from": "bot" if one.by_bot else "user",
        "text": one.text,
        "entities": one.entities,
        "date": one.date,
        "edited": one.edit_date is not None,
        "buttons": [[_shown_button(talk, button) for button in row] for row in one.keyboard],
    }


def _shown_button(talk: Chat, button: dict[str, Any]) -> dict[str, str]:
    shown = {"text": button["text"]}
    if "copy_text" in button:
        return shown | {"copies": button["copy_text"]["text"]}
    if url := _telegram().mini_app_of(button):
        return shown | {"opens": url_for("control.mini_app", user_id=talk.person.id, url=url), "mini_app": url}
    if "url" in button:
        return shown | {"opens": button["url"]}
    return shown | {"callback_data": button["callback_data"]}


def _chat(user_id: int) -> Chat:
    try:
        return _telegram().chats.of(user_id)
    except KeyError:
        raise ControlError(f"nobody here has the id {user_id}") from None


def _body(*known: str) -> dict[str, Any]:
    body = request.get_json(silent=True) if request.get_data() else {}
    if not isinstance(body, dict):
        raise ControlError("the body has to be a JSON object")
    if unknown := body.keys() - set(known):
        raise ControlError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return body


def _whole(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ControlError(f"{name} has to be a whole number above 0")
    return value


def _word(body: dict[str, Any], name: str) -> str | None:
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
    return None if here else _refusal("the control API answers on this machine only", 403)


def _refusal(text: str, status: int) -> tuple[Response, int]:
    return jsonify(error=text), status


def _telegram() -> Telegram:
    telegram: Telegram = current_app.extensions["telegram_sandbox"]
    return telegram
