"""The control API under /sandbox: what tests, the demo and the chat page use to play the people who talk to the bot."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for

from . import keys, launch, webview
from .chats import Chat, Message
from .control_input import ControlError, body_of, chat_of, only_from_here, refusal, telegram_here, whole, word
from .core import NoSuchButtonError
from .errors import ApiError
from .mischief import Trouble

LONGEST_WAIT_SECONDS = 25.0
LATEST_PRESSES = 30


def control_blueprint() -> Blueprint:
    """The routes of the control API."""
    blueprint = Blueprint("control", __name__, url_prefix="/sandbox")
    blueprint.before_request(only_from_here)
    blueprint.register_error_handler(ControlError, lambda error: refusal(str(error), 400))
    blueprint.register_error_handler(NoSuchButtonError, lambda error: refusal(str(error), 409))
    for rule, view, method in (
        ("/people", people, "GET"),
        ("/people", new_person, "POST"),
        ("/message", message, "POST"),
        ("/press", press, "POST"),
        ("/block", block, "POST"),
        ("/allow", allow, "POST"),
        ("/chat/<int:user_id>", chat, "GET"),
        ("/photo/<file_id>", photo, "GET"),
        ("/init-data/<int:user_id>", webview.init_data, "GET"),
        ("/mini-app/<int:user_id>", webview.mini_app, "GET"),
        ("/open", webview.opening, "POST"),
        ("/try-key", keys.try_key, "POST"),
        ("/hello/<word>", keys.hello, "GET"),
        ("/bot", bot, "GET"),
        ("/expire-presses", expire_presses, "POST"),
        ("/trouble", trouble, "POST"),
        ("/release", release, "POST"),
        ("/chat-limit", chat_limit, "POST"),
        ("/webhook", webhook, "POST"),
    ):
        blueprint.add_url_rule(rule, view_func=view, methods=[method])
    return blueprint


def people() -> Response:
    """Everybody who has an account here."""
    return jsonify(people=[person.wire for person in telegram_here().chats.people()])


def new_person() -> tuple[Response, int]:
    """`{first_name?, language_code?}`: somebody new; answers the user."""
    body = body_of("first_name", "language_code")
    made = telegram_here().chats.meet(
        None, first_name=word(body, "first_name"), language_code=word(body, "language_code")
    )
    return jsonify(made.person.wire), 201


def message() -> Response:
    """`{user_id, text, first_name?, language_code?}`: somebody writes to the bot; answers the ids of message and update."""
    body = body_of("user_id", "text", "first_name", "language_code")
    text = word(body, "text")
    if text is None or len(text) > 4096:
        raise ControlError("text has to be 1 to 4096 characters")
    telegram = telegram_here()
    talk = telegram.chats.meet(
        whole(body, "user_id"),
        first_name=word(body, "first_name"),
        language_code=word(body, "language_code"),
    )
    written, update_id = telegram.write(talk, text)
    return jsonify(message_id=written.id, update_id=update_id)


def press() -> Response:
    """`{user_id, message_id, button}`: a press on a button, by its text or callback data.

    Answers `{callback_query_id}`, `{url}` (signed, if it opens a Mini App) or `{copied}`: whatever the press did.
    """
    body = body_of("user_id", "message_id", "button")
    telegram, talk = telegram_here(), chat_of(whole(body, "user_id"))
    kind, value = telegram.press(talk, whole(body, "message_id"), word(body, "button") or "")
    if kind == "web_app":
        kind, value = "url", launch.address(value, talk.person, telegram.config.token)
    return jsonify({kind: value})


def block() -> Response:
    """`{user_id, blocked}`: somebody blocks the bot, or takes it back; the bot hears of it. Answers the update's id or null."""
    body = body_of("user_id", "blocked")
    update_id = telegram_here().block(chat_of(whole(body, "user_id")), body.get("blocked") is True)
    return jsonify(update_id=update_id)


def allow() -> Response:
    """`{user_id}`: somebody lets the bot write to them, as the Mini App has asked."""
    telegram = telegram_here()
    chat_of(whole(body_of("user_id"), "user_id")).person.allows = True
    telegram.chats.touch()
    return jsonify(ok=True)


def expire_presses() -> Response:
    """From now on nothing that was pressed can be answered any more."""
    telegram_here().chats.let_presses_expire()
    return jsonify(ok=True)


def chat(user_id: int) -> Response:
    """The conversation as its person sees it; `?since=V&wait=S` waits until the version is no longer V, S seconds at most."""
    telegram = telegram_here()
    since, wait = request.args.get("since", type=int), request.args.get("wait", 0.0, type=float)
    if since is not None:
        telegram.chats.wait(since, min(wait, LONGEST_WAIT_SECONDS))
    version, talk = telegram.chats.version, chat_of(user_id)
    return jsonify(
        version=version,
        user=talk.person.wire,
        started=talk.person.started,
        blocked=talk.person.blocked,
        commands=telegram.profile.commands_seen_by(user_id, talk.person.language_code),
        menu_button=_menu_button(telegram.profile.button(user_id)),
        description=telegram.profile.text("description", talk.person.language_code),
        messages=[_shown(talk, one) for one in talk.messages],
        presses=[
            {
                "callback_query_id": p.id,
                "message_id": p.message_id,
                "data": p.data,
                "answer": p.answer,
                "waits": p.waits,
            }
            for p in talk.presses[-LATEST_PRESSES:]
        ],
    )


def photo(file_id: str) -> Response:
    """A picture, for the page."""
    try:
        found = telegram_here().files.find(file_id)
    except ApiError as error:
        raise ControlError(error.description) from None
    return Response(found.content, mimetype=found.mimetype)


def bot() -> Response:
    """The bot: who it is, whether it polls, what waits for it, what it has set up, and how often it called what."""
    telegram = telegram_here()
    return jsonify(
        name=telegram.config.name,
        username=telegram.config.username,
        polls=telegram.updates.somebody_polls,
        pending=telegram.updates.pending,
        commands=telegram.profile.commands_by_language(),
        menu_button=telegram.profile.button(0),
        mini_app_url=telegram.config.mini_app_url,
        calls=telegram.mischief.calls(),
    )


def trouble() -> Response:
    """`{method, times?, hold?, error_code?, description?, retry_after?, chat_id?}`: what the next calls of a method run into."""
    body = body_of("method", "times", "hold", "error_code", "description", "retry_after", "chat_id")
    try:
        telegram_here().mischief.order(Trouble(**body))
    except TypeError:
        raise ControlError("method is missing") from None
    return jsonify(ok=True)


def release() -> Response:
    """Ends all trouble: held calls go on, ordered ones are forgotten, chats take as much as they are sent."""
    telegram_here().mischief.release()
    telegram_here().flood.limit_chats(0)
    return jsonify(ok=True)


def chat_limit() -> Response:
    """`{burst}`: each chat takes one message or edit a second, after that many at once; beyond it: 429. Until a release."""
    telegram_here().flood.limit_chats(whole(body_of("burst"), "burst"))
    return jsonify(ok=True)


def webhook() -> Response:
    """`{url}`: as if somebody had set a webhook; polling is refused until it is deleted. Nothing is ever sent there."""
    telegram_here().updates.webhook_url = word(body_of("url"), "url") or ""
    return jsonify(ok=True)


def _menu_button(button: dict[str, Any] | None) -> dict[str, str] | None:
    """What the button beside the text field is: the bot's own word first, then what this sandbox was started with."""
    if button and button["type"] == "web_app":
        return {"text": button["text"], "mini_app": button["web_app"]["url"]}
    ours = telegram_here().config.mini_app_url
    return {"text": "", "mini_app": ours} if ours and not button else None


def _shown(talk: Chat, one: Message) -> dict[str, Any]:
    """A message for a person: what each button does is told by `opens`, `copies` or `callback_data`."""
    return {
        "message_id": one.id,
        "from": "bot" if one.by_bot else "user",
        "text": one.text,
        "photo": _picture(one),
        "entities": one.entities,
        "date": one.date,
        "edited": one.edit_date is not None,
        "buttons": [[_shown_button(talk, button) for button in row] for row in one.keyboard],
    }


def _picture(one: Message) -> dict[str, Any] | None:
    if one.photo is None:
        return None
    url = url_for("control.photo", file_id=one.photo.file_id)
    return {"url": url, "width": one.photo.width, "height": one.photo.height}


def _shown_button(talk: Chat, button: dict[str, Any]) -> dict[str, str]:
    shown = {"text": button["text"]}
    if "copy_text" in button:
        return shown | {"copies": button["copy_text"]["text"]}
    if url := telegram_here().mini_app_of(button):
        return shown | {"opens": url_for("control.mini_app", user_id=talk.person.id, url=url), "mini_app": url}
    if "url" in button:
        return shown | {"opens": button["url"]}
    return shown | {"callback_data": button["callback_data"]}
