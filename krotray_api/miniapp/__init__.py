"""GET /app/: the Mini App, plain files without a build step."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, redirect, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

blueprint = Blueprint("miniapp", __name__, url_prefix="/app")

FILES = Path(__file__).parent / "static"
CACHE_SECONDS = 300
# Text shrinks to a third; what is of other kinds is packed already.
PACKED = (".html", ".css", ".js", ".svg")


@blueprint.get("/")
def index() -> Response:
    """The page."""
    return _send("index.html")


@blueprint.get("")
def without_slash() -> AnyResponse:
    """The same address as people type it."""
    return redirect("/app/", 308)


@blueprint.get("/<path:name>")
def file(name: str) -> Response:
    """Its scripts, styles and pictures."""
    response = _send(name)
    response.headers["Cache-Control"] = f"public, max-age={CACHE_SECONDS}"
    return response


def _send(name: str) -> Response:
    """The file, packed for whoever can unpack it. Aborts with 404."""
    response = send_from_directory(FILES, name)
    if not name.endswith(PACKED):
        return response
    response.vary.add("Accept-Encoding")
    if response.status_code != 200 or not request.accept_encodings["gzip"]:
        return response
    path = FILES / name
    packed = Response(_packed(path, path.stat().st_mtime_ns), mimetype=response.mimetype)
    packed.vary.add("Accept-Encoding")
    packed.headers["Content-Encoding"] = "gzip"
    packed.add_etag()
    response.close()
    return packed.make_conditional(request)  # type: ignore[return-value] # it is the same one


@lru_cache(maxsize=128)
def _packed(path: Path, _changed: int) -> bytes:
    """The file's bytes after gzip; `_changed` makes a new version of it another one."""
    return gzip.compress(path.read_bytes(), mtime=0)
