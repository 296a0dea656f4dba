"""The HTTP server around a sandbox: threaded, quiet, on a port of its own or a free one."""

from __future__ import annotations

import signal
import socket
import threading
from types import FrameType

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server


class QuietHandler(WSGIRequestHandler):
    """Writes no line for each request; the request counter and the delivery log tell more."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def listen(host: str, port: int) -> socket.socket:
    """Take a port before the app is made, because the app has to know its own address; 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def serve_on(listening: socket.socket, app: Flask, *, verbose: bool = False) -> BaseWSGIServer:
    """A server on a socket from `listen`, which it takes over; `serve_forever` runs it."""
    host, port = listening.getsockname()[:2]
    handler = WSGIRequestHandler if verbose else QuietHandler
    with listening:  # the server works on a duplicate
        return make_server(host, port, app, threaded=True, request_handler=handler, fd=listening.fileno())


def run_until_told(server: BaseWSGIServer) -> None:
    """Serves until SIGTERM or SIGINT, then closes; for the main thread of a process."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # shutdown() waits for the loop that this very thread is running.
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        server.serve_forever()
    finally:
        server.server_close()
