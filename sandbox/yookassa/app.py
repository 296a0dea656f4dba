"""The Flask app around a sandbox."""

from __future__ import annotations

from flask import Flask, Response, request

from .api import api_blueprint
from .checkout import checkout_blueprint
from .config import Config
from .control import control_blueprint
from .core import Sandbox

# The pages need nothing from anywhere: no script, no frame, one style sheet of their own and inline pictures.
_PAGE_POLICY = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self'"


def create_app(config: Config) -> Flask:
    """Start a sandbox and open its doors; `app.extensions["yookassa_sandbox"].close()` stops it."""
    app = Flask(__name__, static_url_path="/assets")
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    sandbox = Sandbox(config)
    app.extensions["yookassa_sandbox"] = sandbox

    @app.before_request
    def age() -> None:
        if request.endpoint != "static":
            sandbox.payments.expire_due()

    @app.after_request
    def protect(response: Response) -> Response:
        if response.mimetype == "text/html":
            response.headers["Content-Security-Policy"] = _PAGE_POLICY
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["Cache-Control"] = "no-store"
        return response

    app.register_blueprint(api_blueprint())
    app.register_blueprint(checkout_blueprint())
    app.register_blueprint(control_blueprint())
    return app
