"""The application factory."""

from __future__ import annotations

from typing import Any

from flask import Flask, Request
from flask_cors import CORS
from flask_migrate import Migrate
from werkzeug.exceptions import RequestEntityTooLarge

from krotray_api import (
    auth,
    cli,
    connect,
    headers,
    invite,
    limits,
    me,
    measure,
    metrics,
    miniapp,
    open,
    openapi,
    pages,
    payments,
    plans,
    problems,
    service,
    sub,
    webhook,
)
from krotray_core import db, logs, models, sentry, settings

LARGEST_BODY = 64 * 1024


class _Request(Request):
    """Refuses a body that is too large also where it comes in chunks: Werkzeug would cut it off there and say nothing."""

    def get_data(self, *args: Any, **options: Any) -> Any:
        data = super().get_data(*args, **options)
        if len(data) > LARGEST_BODY:
            raise RequestEntityTooLarge
        return data


class _Tables:
    """What Flask-Migrate asks of a `db`."""

    metadata = models.Base.metadata
    engine = property(lambda _: db.engine())


def create_app() -> Flask:
    """The web application; also what `flask` commands run in. Raises SettingsError."""
    s = settings.get()
    logs.configure()
    sentry.start()
    app = Flask("krotray_api", static_folder=None)
    app.request_class = _Request
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY + 1  # one more, to be able to tell
    app.json.ensure_ascii = False
    app.json.sort_keys = False
    Migrate(app, _Tables(), directory="migrations", render_as_batch=False)
    CORS(
        app,
        resources={r"/api/*": {"origins": list(s.allowed_origins)}},
        methods=["GET", "POST"],
        allow_headers=["Content-Type", "Authorization", auth.HEADER],
        max_age=600,
    )
    measure.install(app)  # first: it sees what the others answer
    problems.install(app)
    headers.install(app)
    limits.install(app)
    for module in (plans, me, payments, invite, connect, webhook, openapi, sub, open, pages, service, metrics, miniapp):
        app.register_blueprint(module.blueprint)
    cli.install(app)
    return app
