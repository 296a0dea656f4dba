"""Security headers on every answer."""

from __future__ import annotations

from flask import Flask, Response, request

_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
# Telegram Web shows the page in a frame, and its script must come from there.
_MINI_APP = (
    "default-src 'none'; script-src 'self' https://telegram.org; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors https://web.telegram.org 'self'; base-uri 'none'; form-action 'none'"
)


def install(app: Flask) -> None:
    """Adds the headers to every answer of the application."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    in_mini_app = request.path.startswith("/app/")
    response.headers.setdefault("Content-Security-Policy", _MINI_APP if in_mini_app else _NOTHING)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-site" if in_mini_app else "same-origin")
    response.headers.setdefault("Cache-Control", "no-store")
    return response
