"""The service as it looks where Telegram is this sandbox: the same answers, in which telegram.org is here.

A page that Telegram shows in a frame says so in its Content-Security-Policy, and loads Telegram's script from
telegram.org. Neither can be true on one machine, so this front stands before the web process, as a proxy would, and puts the
sandbox's address in the place of Telegram's; nothing else is changed.
"""

from __future__ import annotations

import requests
from flask import Flask, Response, request

from .control_input import refusal

DEADLINE_SECONDS = 60
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes
SCRIPT = "https://telegram.org/js/telegram-web-app.js"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# Of one connection only, or no longer true after `requests` has unpacked the body.
_OWN = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-encoding", "content-length", "host", "server", "date"),
    }
)


def create_front(target: str, telegram: str) -> Flask:
    """A front before `target`, for a sandbox at `telegram`; both are http://host:port."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_ANSWER

    @app.route("/", defaults={"path": ""}, methods=METHODS)
    @app.route("/<path:path>", methods=METHODS)
    def pass_on(path: str) -> Response | tuple[Response, int]:
        """The service's answer."""
        del path  # as it was sent, %2F and all:
        raw = request.environ.get("RAW_URI") or request.full_path
        try:
            answer = requests.request(
                request.method,
                target + "/" + raw.lstrip("/"),
                data=request.get_data(),
                headers={name: value for name, value in request.headers if name.lower() not in _OWN}
                | {"Host": request.host},
                timeout=DEADLINE_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException:
            return refusal("the service does not answer", 502)
        return _as_here(answer, telegram)

    return app


def _as_here(answer: requests.Response, telegram: str) -> Response:
    content = answer.content
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        content = content.replace(SCRIPT.encode(), f"{telegram}/assets/telegram-web-app.js".encode())
    response = Response(content, status=answer.status_code)
    response.headers.clear()
    for name, value in answer.raw.headers.items():
        if name.lower() not in _OWN:
            response.headers.add(name, _policy(value, telegram) if name.lower() == "content-security-policy" else value)
    response.headers["Content-Length"] = str(len(content))
    return response


def _policy(policy: str, telegram: str) -> str:
    for theirs in ("https://web.telegram.org", "https://telegram.org"):
        policy = policy.replace(theirs, telegram)
    return policy
