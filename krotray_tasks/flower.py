"""`python -m krotray_tasks.flower`: Flower behind a login, whatever its environment says, on loopback unless FLOWER_ADDRESS is set.

Flower itself leaves /metrics, /healthcheck and its static files to everybody, reads any FLOWER_* variable and a flowerconfig.py in
the working directory, and lets who is logged in send any task. Here the login is asked for before anything else is looked at.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import os
import re
import signal
import sys
from typing import Any

from celery import Celery

from krotray_core import blotting, logs, sentry, settings
from krotray_core.errors import SettingsError

# All that an installation may say. Everything else would loosen something: other logins, an open API, debug pages ...
ALLOWED = ("FLOWER_ADDRESS", "FLOWER_PORT", "FLOWER_URL_PREFIX", "FLOWER_BASIC_AUTH")
_PREFIX = re.compile(r"/?([A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*)/?")
# To run any task with any arguments, past all our rules, is not for looking.
_NEVER = re.compile(r"/api/task/(apply|async-apply|send-task)/")
# What the pages and the API show of a task besides its name, state and times.
_PRIVATE, HIDDEN = ("args", "kwargs", "result"), "(hidden)"


def main() -> None:
    """Runs Flower until SIGTERM, or says why it may not."""
    try:
        login = settings.get().flower_basic_auth
        logs.configure()
        sentry.start()
    except SettingsError as error:
        sys.exit(str(error))
    if login is None:
        sys.exit("Flower does not start without a login: set FLOWER_BASIC_AUTH=user:password")
    if sys.argv[1:]:
        sys.exit(
            "Flower takes no options here: FLOWER_ADDRESS, FLOWER_PORT and FLOWER_URL_PREFIX are read from the environment"
        )
    address, port = os.environ.get("FLOWER_ADDRESS") or "127.0.0.1", os.environ.get("FLOWER_PORT") or "5555"
    prefix = _PREFIX.fullmatch(os.environ.get("FLOWER_URL_PREFIX") or "/-")
    if not port.isdigit() or not 0 < int(port) < 65536 or prefix is None:
        sys.exit("FLOWER_PORT should be a port, FLOWER_URL_PREFIX a path such as /flower")
    for name in [name for name in os.environ if name.upper().startswith("FLOWER_") and name not in ALLOWED]:
        print(f"{name} is not heeded", file=sys.stderr)
        del os.environ[name]
    made = _application(login.get_secret_value(), prefix[1] if os.environ.get("FLOWER_URL_PREFIX") else "")
    made.options.address, made.options.port = address, int(port)
    made.start_http_server()
    signal.signal(signal.SIGTERM, lambda *_: made.io_loop.add_callback_from_signal(made.stop))
    signal.signal(signal.SIGINT, lambda *_: made.io_loop.add_callback_from_signal(made.stop))
    made.start()
    logging.shutdown()
    os._exit(0)  # threads of Celery's wait for messages that may never come


def _application(login: str, prefix: str) -> Any:
    from flower import urls  # noqa: PLC0415 - only once the environment is clean
    from flower.app import Flower  # noqa: PLC0415
    from flower.options import default_options as options  # noqa: PLC0415
    from tornado.web import RequestHandler  # noqa: PLC0415

    # An application without tasks: it shows what workers tell, and the business would only take its memory.
    celery = Celery("krotray")
    celery.config_from_object("celeryconfig")

    class Refused(RequestHandler):
        """An answer that says nothing else."""

        def initialize(self, status: int) -> None:
            self._status = status

        def check_xsrf_cookie(self) -> None:
            """Nothing is done here that could be forged."""

        def prepare(self) -> None:
            self.set_status(self._status)
            if self._status == 401:
                self.set_header("WWW-Authenticate", 'Basic realm="flower", charset="UTF-8"')
            self.finish()

    class Locked(Flower):  # type: ignore[misc, unused-ignore]
        """Flower, with a door in front of every path that it has or will ever have."""

        def find_handler(self, request: Any, **kwargs: Any) -> Any:
            if not knows(login, request.headers.get("Authorization", "")):
                return self.get_handler_delegate(request, Refused, {"status": 401})
            if _NEVER.search(request.path):
                return self.get_handler_delegate(request, Refused, {"status": 403})
            return super().find_handler(request, **kwargs)

    options.basic_auth = [login]  # Flower's own check too, which also turns on its protection against forged requests
    options.auth, options.debug, options.unix_socket, options.persistent = "", False, "", False
    options.max_tasks, options.url_prefix = 4_000, prefix  # with four events of each: some 40 MB
    if prefix:
        for name in ("login_url", "static_url_prefix"):
            urls.settings[name] = f"/{prefix}{urls.settings[name]}"
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    made = Locked(capp=celery, options=options, **urls.settings)
    # What workers tell of their tasks comes in by these two ways.
    note, update = made.events.state.event, made.inspector._on_update
    made.events.state.event = lambda event: note(discreet(event))
    made.inspector._on_update = lambda worker, method, answer: update(worker, method, discreet(answer))
    return made


def knows(login: str, header: str) -> bool:
    """Whether this Authorization header carries the login; takes as long for a wrong one as for the right one."""
    scheme, _, credentials = header.partition(" ")
    try:
        given = base64.b64decode(credentials.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(given, login.encode())


def discreet(told: Any) -> Any:
    """What a worker tells, without the arguments and results of tasks and without secrets."""
    match told:
        case dict():
            return {key: HIDDEN if key in _PRIVATE and value else discreet(value) for key, value in told.items()}
        case list() | tuple():
            return [discreet(one) for one in told]
        case str():
            return blotting.text(told)
        case _:
            return told


if __name__ == "__main__":
    main()
