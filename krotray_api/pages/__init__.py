"""Pages for browsers beside the Mini App: made here in the reader's language, their few scripts and styles under /pages/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, Response, render_template, request, send_from_directory

from krotray_api.pages import texts
from krotray_core import speech

blueprint = Blueprint("pages", __name__, template_folder="templates")

FILES = Path(__file__).parent / "static"
CACHE_SECONDS = 300
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@blueprint.get("/pages/<path:name>")
def file(name: str) -> Response:
    """Scripts and styles."""
    response = send_from_directory(FILES, name)
    response.headers["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
    return response


def language() -> texts.Language:
    """What the reader chose by `?lang=`, else what the browser or program prefers; Russian where it says nothing."""
    chosen = request.args.get("lang")
    if chosen in ("ru", "en"):
        return "en" if chosen == "en" else "ru"
    preferred = request.accept_languages.best
    return "ru" if speech.reads_russian(preferred if preferred != "*" else None) else "en"


def render(template: str, status: int = 200, **context: Any) -> Response:
    """A page: kept by nobody, found by no search engine, sending nobody its address (which may be a login)."""
    lang = language()
    body = render_template(template, lang=lang, t=texts.WORDS[lang], **context)
    response = Response(body, status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _CSP
    response.headers["Content-Language"] = lang
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return private(response)


def private(response: Response) -> Response:
    """Adds what every answer at an address that is a login must carry. `headers` adds the rest."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Vary"] = "Accept, Accept-Language, User-Agent"
    return response
