"""GET /app/: the Mini App, plain files without a build step."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, redirect, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

blueprint = Blueprint("miniapp", __name__, url_prefix="/app")

FILES = Path(__file__).parent / "static"
CACHE_SECONDS = 300


@blueprint.get("/")
def index() -> Response:
    """The page."""
    return send_from_directory(FILES, "index.html")


@blueprint.get("")
def without_slash() -> AnyResponse:
    """The same address as people type it."""
    return redirect("/app/", 308)


@blueprint.get("/<path:name>")
def file(name: str) -> Response:
    """Its scripts, styles and pictures."""
    response = send_from_directory(FILES, name)
    response.headers["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
    return response
