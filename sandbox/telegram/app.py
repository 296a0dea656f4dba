"""The Flask app around a sandbox."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, render_template

from .api import api_blueprint
from .config import Config
from .control import control_blueprint, only_from_here
from .core import Telegram

LARGEST_CALL = 12 * 1024 * 1024  # bytes: a photo of the largest size that Telegram takes, and something around it

# Apart from the Mini App in its frame, the page needs nothing from anywhere else.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-src {frames}; base-uri 'none'; form-action 'none'"
)


def create_app(config: Config) -> Flask:
    """A sandbox with its doors open; all that it knows is in memory."""
    app = Flask(__name__, static_url_path="/assets")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_CALL
    mini_app = urlsplit(config.mini_app_url or "")
    policy = _PAGE_POLICY.format(frames=f"{mini_app.scheme}://{mini_app.netloc}" if config.framed else "'none'")
    app.extensions["telegram_sandbox"] = Telegram(config)
    app.register_blueprint(api_blueprint())
    app.register_blueprint(control_blueprint())

    @app.get("/")
    def page() -> str | tuple[Response, int]:
        """The chat, for a person."""
        return only_from_here() or render_template("chat.html", config=config)

    @app.after_request
    def protect(response: Response) -> Response:
        if response.mimetype == "text/html":
            response.headers["Content-Security-Policy"] = policy
            response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app
