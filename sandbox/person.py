"""A person who uses the service: opens the Mini App, pays at the checkout, connects with their VPN program."""

from __future__ import annotations

import random
from typing import Any

import init_data_py
import requests

from sandbox.process import wait_until
from sandbox.world import World

CALL_SECONDS = 10


class Person:
    """Somebody in Telegram, with the initData that Telegram would sign for them."""

    def __init__(self, world: World, telegram_id: int | None = None, *, first_name: str = "Анна") -> None:
        self.telegram_id = telegram_id or random.randrange(10**8, 10**10)
        self._world, self._first_name = world, first_name

    def init_data(self, *, auth_date: int | None = None, **about: Any) -> str:
        """What Telegram hands to the Mini App; `about` says more of the user, or something else."""
        told = {"first_name": self._first_name, "language_code": "ru"} | about
        user = init_data_py.User(id=self.telegram_id, **told)
        payload = init_data_py.UnsignedInitData(user=user, query_id="sandbox")
        return init_data_py.sign(payload, self._world.bot_token, auth_date=auth_date)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = requests.request(
            method,
            self._world.web_url + path,
            json=body,
            headers={"X-Telegram-Init-Data": self.init_data()},
            timeout=CALL_SECONDS,
        )
        answer.raise_for_status()
        return answer.json()

    def me(self) -> dict[str, Any]:
        """GET /api/me."""
        return self._call("GET", "/api/me")

    def payment(self, payment_id: str) -> dict[str, Any]:
        """GET /api/payments/<payment_id>."""
        return self._call("GET", f"/api/payments/{payment_id}")

    def plans(self) -> list[dict[str, Any]]:
        """GET /api/plans."""
        return self._call("GET", "/api/plans")["plans"]

    def buy(self, tariff: str | None = None, method: str = "card") -> dict[str, Any]:
        """POST /api/payments/create; the shortest tariff if none is named."""
        tariff = tariff or self.plans()[0]["code"]
        return self._call("POST", "/api/payments/create", {"tariff": tariff, "method": method})

    def pay(self, confirmation_url: str) -> str:
        """Pays at the checkout behind this address. Returns YooKassa's id of the payment."""
        external_id = confirmation_url.rpartition("/")[2]
        requests.post(
            f"{self._world.yookassa_url}/sandbox/payments/{external_id}/pay", json={}, timeout=CALL_SECONDS
        ).raise_for_status()
        return external_id

    def wait_for(self, state: str, *, seconds: float = 20) -> dict[str, Any]:
        """Looks at /api/me until it says `state`, and returns it."""
        wait_until(
            lambda: self.me()["state"] == state, seconds=seconds, what=f"waiting for the state {state}", pause=0.05
        )
        return self.me()
