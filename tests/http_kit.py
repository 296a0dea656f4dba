"""The application answering in this process, calls of the Mini App and of YooKassa, and errors in their form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import TestResponse

from krotray_core import users
from krotray_core.models import User
from sandbox.person import Person
from sandbox.world import World

HEADER = "X-Telegram-Init-Data"


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(app: Flask, world: World) -> Iterator[str]:
    """The application at the address that its own links have, in this process; that address."""
    server = make_server("127.0.0.1", world.web_port, app, threaded=True, request_handler=_Quiet)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield world.web_url
    server.shutdown()
    thread.join()
    server.server_close()


def get(client: FlaskClient, path: str, person: Person) -> dict[str, Any]:
    """A call of the Mini App that succeeds."""
    answer = client.get(path, headers={HEADER: person.init_data()})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def create(client: FlaskClient, person: Person, body: Any = None) -> TestResponse:
    """Asks for a payment."""
    body = {"tariff": "1m", "method": "card"} if body is None else body
    return client.post("/api/payments/create", json=body, headers={"Authorization": f"tma {person.init_data()}"})


def problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem, in the form of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    body = answer.get_json(force=True)
    assert body.keys() >= {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"]) == (status, code)
    return body


def user_of(person: Person) -> User:
    """Our row of this person."""
    return users.find(person.telegram_id)


def notification(external_id: str, event: str = "payment.succeeded", **more: Any) -> dict[str, Any]:
    """What YooKassa sends."""
    return {"type": "notification", "event": event, "object": {"id": external_id, "status": "succeeded", **more}}
