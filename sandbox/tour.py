"""The guided tour: one purchase from nothing to a page through the tunnel, and to being refused when it has run out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import requests

from krotray_core import money
from sandbox.parts import VpnClient, vpn
from sandbox.person import Person
from sandbox.process import PartFailed, wait_until
from sandbox.service import Service
from sandbox.world import World

CUT_SECONDS = 15


class Tour:
    """Walks through it and says each step with the seconds since the walk began. Raises PartFailed at the first wrong one."""

    def __init__(self, world: World, service: Service, say: Callable[[str], None]) -> None:
        self._world, self._service, self._say = world, service, say
        self._person = Person(world)
        self._began = time.monotonic()

    def walk(self) -> None:
        """The whole tour; leaves behind a person whose subscription has expired."""
        self._step("a person opens the Mini App: no subscription", self._person.me()["state"] == "no_subscription")
        vless_url = self._purchase()
        clients = self._world.folder / "clients"
        with vpn(vless_url.replace(self._key(vless_url), str(uuid.uuid4())), clients) as stranger:
            self._step("a made-up key is refused", self._fetch(stranger) is None)
        with vpn(vless_url, clients) as client, vpn(vless_url, clients, mux=True) as connected:
            self._step("a real VPN client with the key fetches a page", self._is_page(self._fetch(client)))
            self._step("so does one that keeps its connection open (mux)", self._is_page(self._fetch(connected)))
            self._expire()
            self._refused("the key is refused", client)
            self._refused("the open connection is cut off", connected)
        self._service.flask("ledger", "verify")
        self._step("the ledger adds up: every kopeck and every day has its line")

    def _purchase(self) -> str:
        plans = self._person.plans()
        self._step(f"tariffs on sale: {', '.join(plan['code'] for plan in plans) or 'none'}", bool(plans))
        bought = self._person.buy(plans[0]["code"], "card")
        self._step("payment created, YooKassa gave the address to pay at", bool(bought["confirmation_url"]))
        external_id = self._person.pay(bought["confirmation_url"])
        self._step(f"the person pays {money.to_rubles(money.from_text(plans[0]['amount']))} by card")
        self._wait("webhook delivered", lambda: self._delivered(external_id))
        self._wait("settled: YooKassa was asked and confirms it", lambda: self._paid(bought["payment_id"]))
        me = self._person.wait_for("active")
        subscription = me["subscription"]
        self._step(
            f"added to Xray {subscription['server']['name']}: {subscription['days_left']} days, the key is ready"
        )
        return str(subscription["vless_url"])

    def _expire(self) -> None:
        telegram_id, now = str(self._person.telegram_id), datetime.now(UTC).isoformat()
        self._service.flask("subscriptions", "set-expiry", telegram_id, now)
        self._service.flask("subscriptions", "expire-due")
        self._step("the time is up: expired", self._person.me()["state"] == "expired")

    def _delivered(self, external_id: str) -> bool:
        answer = requests.get(f"{self._world.yookassa_url}/sandbox/deliveries", timeout=5).json()
        return any(d["payment_id"] == external_id and d["http_status"] == 200 for d in answer["items"])

    def _paid(self, payment_id: str) -> bool:
        return self._person.payment(payment_id)["status"] == "succeeded"

    def _refused(self, what: str, client: VpnClient) -> None:
        self._wait(what, lambda: self._fetch(client) is None)

    def _fetch(self, client: VpnClient) -> str | None:
        return client.fetch(f"{self._world.web_url}/app/")

    @staticmethod
    def _is_page(text: str | None) -> bool:
        return text is not None and "KrotRay" in text

    @staticmethod
    def _key(vless_url: str) -> str:
        return vless_url.removeprefix("vless://").partition("@")[0]

    def _wait(self, what: str, true: Callable[[], bool]) -> None:
        wait_until(true, seconds=CUT_SECONDS, what=what, pause=0.05)
        self._step(what)

    def _step(self, what: str, right: bool = True) -> None:
        if not right:
            raise PartFailed(f"not so: {what}")
        self._say(f"{time.monotonic() - self._began:7.2f} s  {what}")
