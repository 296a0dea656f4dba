"""The control API's part that opens the Mini App."""

from __future__ import annotations

from flask import Response, jsonify, redirect, request
from werkzeug.wrappers import Response as Redirect

from . import launch
from .control_input import ControlError, body_of, chat_of, telegram_here, whole, word


def init_data(user_id: int) -> Response:
    """The initData that the Mini App would get for this person, who is made up if need be."""
    telegram = telegram_here()
    return jsonify(init_data=launch.init_data(telegram.chats.meet(user_id).person, telegram.config.token))


def mini_app(user_id: int) -> Redirect:
    """Opens the Mini App as this person; `?url=` another one than the bot's own."""
    telegram = telegram_here()
    url = _known(request.args.get("url"))
    return redirect(launch.address(url, telegram.chats.meet(user_id).person, telegram.config.token))


def opening() -> Response:
    """`{user_id, url?, theme?, platform?, start_param?}`: the address that a client opens, signed anew, and the theme's colours."""
    body = body_of("user_id", "url", "theme", "platform", "start_param")
    telegram, person = telegram_here(), chat_of(whole(body, "user_id")).person
    theme, platform = word(body, "theme") or "light", word(body, "platform") or launch.PLATFORMS[0]
    if theme not in launch.THEMES or platform not in launch.PLATFORMS:
        raise ControlError(f"themes: {', '.join(launch.THEMES)}; platforms: {', '.join(launch.PLATFORMS)}")
    address = launch.address(
        _known(word(body, "url")),
        person,
        telegram.config.token,
        platform=platform,
        theme=theme,
        start_param=word(body, "start_param"),
    )
    return jsonify(address=address, theme_params=launch.THEMES[theme])


def _known(url: str | None) -> str:
    """The Mini App that is meant. Raises ControlError."""
    url = url or telegram_here().config.mini_app_url
    if not url or not url.startswith(("http://", "https://")):
        raise ControlError("no Mini App is known: start with --mini-app-url, or set MINI_APP_URL")
    return url
