"""A page on loopback, to be fetched through a tunnel."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = "hello from the other end"


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        size = self.path.removeprefix("/")
        self.wfile.write(b"x" * int(size) if size.isdigit() else TEXT.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A web server with one page, with TLS if a context is given; its port. `/<number>` is a page of so many bytes."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # REALITY breaks off some handshakes
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
