"""The sandbox Telegram behind a real HTTP server, and the real pyTelegramBotAPI pointed at it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sandbox_telegram_kit import MINI_APP, TOKEN, Phone
from telebot import TeleBot, apihelper

from sandbox.serving import listen, serve_on
from sandbox.telegram import Config, create_app


@pytest.fixture
def phone() -> Iterator[Phone]:
    """A sandbox behind a real HTTP server on a free port."""
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = serve_on(listening, create_app(Config(token=TOKEN, mini_app_url=MINI_APP)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Phone(url)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def bot(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> TeleBot:
    """The real library, pointed at the sandbox for one test."""
    monkeypatch.setattr(apihelper, "API_URL", phone.url + "/bot{0}/{1}")
    monkeypatch.setattr(apihelper, "FILE_URL", phone.url + "/file/bot{0}/{1}")
    # The library keeps one session a thread for ever; in a test it would be found unclosed at the end.
    monkeypatch.setattr(apihelper, "SESSION_TIME_TO_LIVE", 0)
    return TeleBot(TOKEN, threaded=False, parse_mode="HTML")
