"""How calls reach Telegram, and how long they may take."""

from __future__ import annotations

import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs

import pytest
import requests

from krotray_bot import transport


def test_the_calls_of_one_update_share_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/bot7:token/sendMessage"
        began = time.monotonic()
        with transport.within(2):
            for _ in range(2):
                with pytest.raises(requests.RequestException):
                    transport.send("get", url, params={"chat_id": 7}, timeout=(5, 10))
    assert time.monotonic() - began < 2 + transport.SHORTEST_SECONDS + 5


def test_parameters_travel_in_the_body() -> None:
    seen: list[tuple[str, dict[str, list[str]]]] = []

    class Telegram(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append((self.path, parse_qs(body)))
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Telegram)
    thread = Thread(target=server.handle_request, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/bot7:token/sendMessage"
    answer = transport.send("get", url, params={"chat_id": 7, "text": "ж" * 4096}, timeout=(3, 3), proxies=None)
    thread.join(5)
    server.server_close()
    assert (answer.status_code, seen) == (302, [("/bot7:token/sendMessage", {"chat_id": ["7"], "text": ["ж" * 4096]})])
