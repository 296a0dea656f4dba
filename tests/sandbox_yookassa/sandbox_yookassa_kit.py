"""What the sandbox's tests share: a running sandbox, a shop that receives notifications, and a payer's browser."""

from __future__ import annotations

import json
import queue
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
from flask import Flask

from sandbox.serving import listen, serve_on
from sandbox.yookassa import Config, create_app
from sandbox.yookassa.core import Sandbox

SHOP = ("100500", "test_secret")
RETURN_URL = "http://127.0.0.1:9/return?order=7"
GONE = "32965eb5-000f-5000-8000-000000000000"


def order(**changes: Any) -> dict[str, Any]:
    """The body of an ordinary payment; a change to None leaves the field out."""
    body: dict[str, Any] = {
        "amount": {"value": "250.00", "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": RETURN_URL},
        "description": "KrotRay, 3 месяца",
        "metadata": {"payment_id": "7"},
    }
    return {name: value for name, value in (body | changes).items() if value is not None}


@dataclass
class Till:
    """A running sandbox as its clients see it, with a way inside for the tests that need one."""

    url: str
    app: Flask

    @property
    def sandbox(self) -> Sandbox:
        """The inside."""
        inside: Sandbox = self.app.extensions["yookassa_sandbox"]
        return inside

    def api(self, method: str, path: str, *, key: str | None = None, **options: Any) -> requests.Response:
        """A request of the shop; a POST gets a new key unless it is given one."""
        headers = {"Idempotence-Key": key or str(uuid.uuid4())} if method == "POST" else {}
        usual = {"auth": SHOP, "headers": headers, "timeout": 10}
        return requests.request(method, f"{self.url}/v3{path}", **usual | options)  # noqa: S113 - it is among the usual

    def make(self, **changes: Any) -> dict[str, Any]:
        """A new payment."""
        answer = self.api("POST", "/payments", json=order(**changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, payment_id: str) -> dict[str, Any]:
        """The payment as the API shows it now."""
        return self.api("GET", f"/payments/{payment_id}").json()

    def control(self, path: str, *, expect: int = 200, **body: Any) -> dict[str, Any]:
        """A request to the control API."""
        answer = requests.post(f"{self.url}/sandbox{path}", json=body, timeout=20)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def paid(self, **changes: Any) -> str:
        """The id of a new payment that has been paid."""
        payment_id = self.make(**changes)["id"]
        self.control(f"/payments/{payment_id}/pay")
        return str(payment_id)

    def arm(self, operation: str, kind: str, **options: Any) -> int:
        """Arm a fault, and its id."""
        return int(self.control("/faults", operation=operation, kind=kind, **options)["id"])

    def fired(self) -> list[int]:
        """How often each fault has struck, in the order of their arming."""
        return [fault["fired"] for fault in self.look("/faults")["items"]]

    def look(self, path: str) -> dict[str, Any]:
        """A look into the control API."""
        return requests.get(f"{self.url}/sandbox{path}", timeout=20).json()

    def browser(self) -> Browser:
        """A payer's browser."""
        return Browser(self.url)


@contextmanager
def running(**settings: Any) -> Iterator[Till]:
    """A sandbox behind a real HTTP server on a free port."""
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = create_app(Config(shop_id=SHOP[0], secret_key=SHOP[1], public_url=url, **settings))
    with _served(serve_on(listening, app)):
        try:
            yield Till(url, app)
        finally:
            app.extensions["yookassa_sandbox"].close()


@dataclass
class Receiver:
    """The shop's webhook: keeps what arrives, answers what it is told to, 200 when it is told nothing."""

    url: str = ""
    arrived: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    answers: queue.Queue[int] = field(default_factory=queue.Queue)
    headers: list[set[str]] = field(default_factory=list)
    """The names of the header fields of each request, in small letters."""
    hold: threading.Event | None = None
    """While given and not set, nothing is answered."""

    def next(self) -> dict[str, Any]:
        """The next notification; fails when none comes."""
        return self.arrived.get(timeout=5)

    def answer(self, *statuses: int) -> None:
        """The statuses of the next answers."""
        for status in statuses:
            self.answers.put(status)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.headers.append({name.lower() for name in self.headers})
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.arrived.put(body)
            if receiver.hold is not None:
                receiver.hold.wait(5)
            try:
                status = receiver.answers.get_nowait()
            except queue.Empty:
                status = 200
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", receiver.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    with _served(server):
        yield receiver


@contextmanager
def _served(server: Any) -> Iterator[None]:
    # The short interval is what a test waits for at its end.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Form:
    """A form of a page: where it goes, what it holds, and its buttons."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(has["action"]))
        elif tag == "a":
            self.links.append(has["href"])
        elif tag == "input":
            self.forms[-1].fields[has["name"]] = has.get("value", "")
        elif tag == "button" and "name" in has:
            self.forms[-1].buttons[has["value"]] = has["name"]


class Browser:
    """Follows links, fills forms and presses buttons, without a script engine, as the page promises to allow."""

    def __init__(self, url: str) -> None:
        self._base = url
        self.page = ""
        self.url = ""
        self.status = 0

    def open(self, url: str) -> Browser:
        """Go to an address."""
        return self._shown(requests.get(url if url.startswith("http") else self._base + url, timeout=10))

    def follow(self, part: str) -> Browser:
        """Follow the one link whose address contains a text."""
        return self.open(next(link for link in self._parsed().links if part in link))

    def press(self, ending: str, button: str | None = None, **typed: str) -> Browser:
        """Send the form whose address ends so, with what is typed into it and by the button with that value."""
        form = next(form for form in self._parsed().forms if form.action.endswith(ending))
        unknown = typed.keys() - form.fields.keys() - {"reason"}
        assert not unknown, f"the form has no {unknown}"
        pressed = {form.buttons[button]: button} if button else {}
        return self._shown(requests.post(self._base + form.action, form.fields | typed | pressed, timeout=10))

    def links(self) -> list[str]:
        """Where the page's links go."""
        return self._parsed().links

    def _parsed(self) -> _Forms:
        parser = _Forms()
        parser.feed(self.page)
        return parser

    def _shown(self, answer: requests.Response) -> Browser:
        self.page, self.url, self.status = answer.text, answer.url, answer.status_code
        return self
