"""The client against answers that no sandbox gives, and what it says about them."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from krotray_core import delivery, logs, settings, telegram_api
from krotray_core.errors import TelegramBlocked, TelegramRefused, TelegramUnavailable
from sandbox.process import free_port
from sandbox.world import World
from tests.notices.kit import Telegram, note, rows


@contextlib.contextmanager
def answering(status: int, body: bytes, *headers: tuple[str, str]) -> Iterator[str]:
    """The address of something that answers every call like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        telegram_api._session().close()
        server.server_close()


class TestClient:
    """The client against answers that no sandbox gives, and what it says about them."""

    @pytest.fixture(autouse=True)
    def _discreet(self, world: World, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        assert world
        with caplog.at_level(logging.DEBUG), caplog.at_level(logging.WARNING, "urllib3"):  # as `logs.configure` has it
            yield
        # Of the test itself: in here `caplog.records` are those of the cleaning up.
        for record in caplog.get_records("call"):
            self.silent(f"{record.getMessage()} {vars(record)!r}")

    def silent(self, said: str) -> None:
        """There is no token in it."""
        token = settings.get().bot_token.get_secret_value()
        assert token not in said
        assert token.partition(":")[2] not in said

    def fails(self, kind: type[Exception]) -> Any:
        """A message fails like this; nothing that hangs on the error holds the token."""
        with pytest.raises(kind) as caught:
            telegram_api.send_message(1, "text")
        assert caught.type is kind
        error: BaseException | None = caught.value
        while error is not None:
            self.silent(f"{error!s} {error!r} {vars(error)}")
            error = error.__cause__ or error.__context__
        return caught.value

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (200, b"<html>welcome to our hotel</html>", TelegramUnavailable),
            (200, b'{"ok": false}', TelegramUnavailable),
            (200, b"[" * 100_000, TelegramUnavailable),
            (200, b" " * (telegram_api.ANSWER_BYTES + 1), TelegramUnavailable),
            (302, b"", TelegramUnavailable),
            (400, b"nothing of JSON", TelegramRefused),
            (403, b'["?"]', TelegramBlocked),
            (401, b'{"description": "Unauthorized"}', TelegramUnavailable),
            (404, b'{"description": "Not Found"}', TelegramUnavailable),
            (413, b"", TelegramUnavailable),
            (503, b"\xff\xfe", TelegramUnavailable),
        ],
    )
    def test_an_answer_means_what_its_status_says(
        self, says: Callable[..., None], status: int, body: bytes, kind: type[Exception]
    ) -> None:
        with answering(status, body, ("Location", "http://127.0.0.1:9/")) as url:
            says(telegram_api_url=url)
            self.fails(kind)

    @pytest.mark.parametrize(
        ("parameters", "seconds"),
        [
            (b'{"retry_after": 17}', 17),
            (b'{"retry_after": 0}', 1),
            (b'{"retry_after": 1e300}', 86_400),
            (b'{"retry_after": NaN}', 5),
            (b'{"retry_after": "soon"}', 5),
            (b'{"retry_after": true}', 5),
            (b"[]", 5),
            (b"{}", 5),
        ],
    )
    def test_a_pause_is_always_one_that_can_be_kept(
        self, says: Callable[..., None], parameters: bytes, seconds: float
    ) -> None:
        with answering(429, b'{"ok": false, "parameters": ' + parameters + b"}") as url:
            says(telegram_api_url=url)
            assert self.fails(TelegramUnavailable).retry_after == seconds

    def test_a_message_that_quotes_the_address_is_blotted(self, says: Callable[..., None]) -> None:
        token = settings.get().bot_token.get_secret_value()
        quote = f'{{"description": "no /bot{token}/sendMessage\\n, nor {token.replace(":", "%3A")}"}}'
        for status, kind in ((400, TelegramRefused), (502, TelegramUnavailable)):
            with answering(status, quote.encode()) as url:
                says(telegram_api_url=url)
                assert "no /bot[token]/sendMessage , nor" in str(self.fails(kind))

    def test_nobody_there(self, says: Callable[..., None]) -> None:
        says(telegram_api_url=f"http://127.0.0.1:{free_port()}")
        error = self.fails(TelegramUnavailable)
        assert not error.unsure, "nothing can have gone out"
        assert str(error) == "Telegram did not answer: ConnectionError"
        assert (error.__context__, error.retry_after) == (None, None)

    def test_somebody_there_who_says_nothing(self, says: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(telegram_api, "READ_SECONDS", 0.2)
        telegram_api._session.cache_clear()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            says(telegram_api_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
            began = time.monotonic()
            assert self.fails(TelegramUnavailable).unsure
            assert time.monotonic() - began < 2
        telegram_api._session().close()
        telegram_api._session.cache_clear()

    def test_what_stays_of_it_in_the_log_and_the_row(
        self, telegram: Telegram, says: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        note(telegram.somebody(), ago=1)
        says(telegram_api_url=f"http://127.0.0.1:{free_port()}")
        assert delivery.send_due() == 0
        assert rows()[0].last_error == "Telegram did not answer: ConnectionError"
        assert "waits: Telegram did not answer: ConnectionError" in caplog.text
        for record in caplog.records:
            self.silent(logs.Text().format(record))
