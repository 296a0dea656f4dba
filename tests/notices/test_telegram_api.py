"""The client against answers that no sandbox gives, and what it says about them."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from krotray_core import delivery, logs, settings, telegram_api
from krotray_core.errors import TelegramBlocked, TelegramDenied, TelegramMalformed, TelegramRefused, TelegramUnavailable
from sandbox.process import free_port
from sandbox.world import World
from tests.notices.kit import Telegram, note, rows

PAGES = (b"", b"<html>blocked by your administrator</html>", b'["?"]', b'{"ok": false}', b'{"error": "no"}')


def no(code: int, description: str, **more: object) -> bytes:
    """A refusal of Telegram's own."""
    return json.dumps({"ok": False, "error_code": code, "description": description} | more).encode()


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
            (413, b"", TelegramUnavailable),
            (503, b"\xff\xfe", TelegramUnavailable),
            # A filter's page, or a relay's own JSON: it is not Telegram that says so.
            *((status, body, TelegramUnavailable) for status in (400, 401, 403, 404) for body in PAGES),
            (403, no(400, "chat not found"), TelegramUnavailable),
            (400, no(403, "bot was blocked by the user"), TelegramUnavailable),
            (401, no(401, "Unauthorized"), TelegramDenied),
            (404, no(404, "Not Found"), TelegramDenied),
            (403, no(403, "Forbidden: bot was blocked by the user"), TelegramBlocked),
            (403, no(403, "Forbidden: user is deactivated"), TelegramBlocked),
            (403, no(403, "Forbidden: bot can't initiate conversation with a user"), TelegramBlocked),
            (400, no(400, "Bad Request: chat not found"), TelegramRefused),
            (400, no(400, "Bad Request: PEER_ID_INVALID"), TelegramRefused),
            (400, no(400, "Bad Request: something new"), TelegramRefused),
            (400, no(400, "Bad Request: message is too long"), TelegramMalformed),
            (400, no(400, "Bad Request: message text is empty"), TelegramMalformed),
            (400, no(400, "Bad Request: can't parse entities: Unsupported start tag"), TelegramMalformed),
            (400, no(400, "Bad Request: BUTTON_DATA_INVALID"), TelegramMalformed),
        ],
    )
    def test_an_answer_means_what_telegram_says_and_nobody_else(
        self, says: Callable[..., None], status: int, body: bytes, kind: type[Exception]
    ) -> None:
        with answering(status, body, ("Location", "http://127.0.0.1:9/")) as url:
            says(telegram_api_url=url)
            self.fails(kind)

    @pytest.mark.parametrize(
        ("status", "unsure"),
        [(200, True), (302, True), (403, False), (408, False), (500, True), (502, True), (503, False), (504, True)],
    )
    def test_what_may_have_gone_out_all_the_same(self, says: Callable[..., None], status: int, unsure: bool) -> None:
        with answering(status, b"<html></html>") as url:
            says(telegram_api_url=url)
            assert self.fails(TelegramUnavailable).unsure is unsure

    def test_a_group_of_admins_that_has_another_id_now(self, says: Callable[..., None]) -> None:
        said = "Bad Request: group chat was upgraded to a supergroup chat"
        with answering(400, no(400, said, parameters={"migrate_to_chat_id": -100777})) as url:
            says(telegram_api_url=url)
            assert "its id is -100777 now: change it in ADMIN_TELEGRAM_IDS" in str(self.fails(TelegramRefused))

    def test_a_ping_says_whether_there_is_any_use(self, telegram: Telegram, says: Callable[..., None]) -> None:
        assert telegram
        telegram_api.ping()
        for status, body, kind in (
            (400, no(400, "?"), TelegramUnavailable),
            (401, no(401, "Unauthorized"), TelegramDenied),
            (502, b"", TelegramUnavailable),
        ):
            with answering(status, body) as url:
                says(telegram_api_url=url)
                with pytest.raises(kind):
                    telegram_api.ping()

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
        body = b'{"ok": false, "error_code": 429, "parameters": ' + parameters + b"}"
        with answering(429, body) as url:
            says(telegram_api_url=url)
            assert self.fails(TelegramUnavailable).retry_after == seconds

    def test_a_relay_s_429_stops_nobody_for_a_day(self, says: Callable[..., None]) -> None:
        with answering(429, b'{"error": "slow down", "parameters": {"retry_after": 86400}}') as url:
            says(telegram_api_url=url)
            assert self.fails(TelegramUnavailable).retry_after == 5

    def test_a_message_that_quotes_the_address_is_blotted(self, says: Callable[..., None]) -> None:
        token = settings.get().bot_token.get_secret_value()
        quote = f"no /bot{token}/sendMessage\n, nor {token.replace(':', '%3A')}"
        for status, kind in ((400, TelegramRefused), (502, TelegramUnavailable)):
            with answering(status, no(status, quote)) as url:
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
