"""What stands around the Bot API: the Mini App's opening, the front before the service, and trying a key."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import init_data_py
import pytest
import requests
from flask import Flask, Response, request
from sandbox_telegram_kit import ANNA, TOKEN, Phone
from werkzeug.serving import make_server

from sandbox.telegram.front import create_front

TELEGRAM = "http://127.0.0.1:1"


@contextlib.contextmanager
def serving(app: Flask) -> Iterator[str]:
    """A Flask app behind a real server; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def front() -> Iterator[str]:
    """A front before a small service that tells what it was asked."""
    service = Flask(__name__)

    @service.route("/app/")
    def page() -> Response:
        body = '<script id="t" src="https://telegram.org/js/telegram-web-app.js" async></script>'
        response = Response(body, mimetype="text/html")
        response.headers["Content-Security-Policy"] = (
            "script-src 'self' https://telegram.org; frame-ancestors https://web.telegram.org 'self'"
        )
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    @service.route("/echo/<path:path>", methods=["GET", "POST"])
    def echo(path: str) -> tuple[dict[str, str], int]:
        said = {"path": path, "raw": str(request.environ["RAW_URI"]), "body": request.get_data(as_text=True)}
        return said | {"host": request.host, "init": request.headers.get("X-Telegram-Init-Data", "")}, 418

    with serving(service) as target, serving(create_front(target, TELEGRAM)) as url:
        yield url


class TestFront:
    """Telegram's addresses are this sandbox's, nothing else is touched."""

    def test_the_page_takes_this_sandbox_for_telegram(self, front: str) -> None:
        page = requests.get(f"{front}/app/", timeout=10)
        assert f'<script id="t" src="{TELEGRAM}/assets/telegram-web-app.js" async>' in page.text
        policy = page.headers["Content-Security-Policy"]
        assert policy == f"script-src 'self' {TELEGRAM}; frame-ancestors {TELEGRAM} 'self'"
        assert page.cookies.get_dict() == {"a": "1", "b": "2"}

    def test_calls_go_through_as_they_were_sent(self, front: str) -> None:
        answer = requests.post(
            f"{front}/echo/a%2Fb?x=%20y", data=b"{}", headers={"X-Telegram-Init-Data": "signed"}, timeout=10
        )
        assert answer.status_code == 418
        said = answer.json()
        assert (said["raw"], said["body"], said["init"]) == ("/echo/a%2Fb?x=%20y", "{}", "signed")
        assert f"http://{said['host']}" == front

    def test_without_a_service_it_says_so(self) -> None:
        with serving(create_front("http://127.0.0.1:9", TELEGRAM)) as url:
            assert requests.get(url, timeout=10).status_code == 502


class TestOpening:
    """The Mini App's address, as a client opens it."""

    def test_it_holds_the_theme_the_device_and_a_login_of_this_moment(self, phone: Phone) -> None:
        asked = {"user_id": ANNA, "theme": "dark", "platform": "ios", "start_param": "ref_7"}
        first, second = (phone.post("/open", **asked) for _ in range(2))
        hashed = parse_qs(urlsplit(first["address"]).fragment)
        assert hashed["tgWebAppPlatform"] == ["ios"]
        assert json.loads(hashed["tgWebAppThemeParams"][0]) == first["theme_params"]
        data = init_data_py.validate_by_hash(hashed["tgWebAppData"][0], TOKEN)
        assert (data.user.id, data.start_param) == (ANNA, "ref_7")
        assert first["address"] != second["address"]

    @pytest.mark.parametrize("wrong", [{"theme": "pink"}, {"platform": "fridge"}, {"url": "file:///etc/passwd"}])
    def test_nonsense_is_told_apart(self, phone: Phone, wrong: dict[str, str]) -> None:
        phone.post("/open", user_id=ANNA, expect=400, **wrong)


class TestTryingAKey:
    """What can be said without a tunnel; the walk goes through real ones."""

    @pytest.mark.parametrize(
        ("link", "problem"),
        [
            ("happ://add/x", "not_a_link"),
            ("vless://x@y:notaport", "not_a_link"),
            ("x" * 5000, "not_a_link"),
            ("http://127.0.0.1:9/sub/x", "subscription_unreadable"),
        ],
    )
    def test_what_is_no_key(self, phone: Phone, link: str, problem: str) -> None:
        assert phone.post("/try-key", user_id=ANNA, link=link)["problem"] == problem

    def test_a_page_that_is_no_subscription(self, phone: Phone) -> None:
        said = phone.post("/try-key", user_id=ANNA, link=f"{phone.url}/sandbox/bot")
        assert said["problem"] == "subscription_unreadable"

    def test_without_a_service_to_ask(self, phone: Phone) -> None:
        assert "does not answer" in phone.post("/try-key", user_id=ANNA, expect=400)["error"]
        phone.post("/try-key", expect=400)

    def test_the_page_at_the_other_end_says_who_came(self, phone: Phone) -> None:
        assert requests.get(f"{phone.url}/sandbox/hello/x-1", timeout=10).text == "x-1 127.0.0.1\n"
