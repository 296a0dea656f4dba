"""A storm: many people, a YooKassa that misbehaves, messages that get lost, and a clock that runs a minute at a time."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from flask import Flask

from krotray_core import billing, checkout, clock, placement, provisioning, refunds, settings, subscriptions, yookassa
from krotray_core.errors import KrotRayError
from krotray_core.models import Payment, User
from krotray_core.yookassa import client as yookassa_client
from krotray_tasks import money, notices
from krotray_tasks.base import CoreTask
from sandbox import serving
from sandbox.world import World

MINUTE = timedelta(minutes=1)
AT_ONCE = 8

# How likely each fault is, for every single request or notification. The first that strikes counts.
FAULTS: tuple[dict[str, Any], ...] = (
    {"operation": "POST /v3/payments", "kind": "drop", "when": "after", "probability": 0.03},
    {"operation": "POST /v3/payments", "kind": "500", "when": "after", "probability": 0.03},
    {"operation": "POST /v3/payments", "kind": "202", "when": "before", "probability": 0.02},
    {"operation": "POST /v3/payments", "kind": "429", "retry_after": 1, "probability": 0.02},
    {"operation": "POST /v3/payments", "kind": "hang", "when": "after", "seconds": 1.5, "probability": 0.005},
    {"operation": "GET /v3/payments/{id}", "kind": "502", "when": "before", "probability": 0.03},
    {"operation": "GET /v3/payments/{id}", "kind": "truncated", "probability": 0.02},
    {"operation": "GET /v3/payments/{id}", "kind": "429", "probability": 0.02},
    {"operation": "POST /v3/refunds", "kind": "drop", "when": "after", "probability": 0.15},
    {"operation": "POST /v3/refunds", "kind": "500", "when": "after", "probability": 0.1},
    {"operation": "GET /v3/refunds", "kind": "502", "when": "before", "probability": 0.1},
    {"operation": "refund", "kind": "pending", "probability": 0.3},
    {"operation": "refund", "kind": "canceled", "reason": "insufficient_funds", "probability": 0.1},
    {"operation": "webhook payment.succeeded", "kind": "lost", "probability": 0.15},
    {"operation": "webhook payment.succeeded", "kind": "duplicated", "copies": 3, "probability": 0.15},
    {"operation": "webhook payment.succeeded", "kind": "delayed", "seconds": 420, "probability": 0.1},
    {
        "operation": "webhook payment.succeeded",
        "kind": "forged",
        "object_overrides": {"status": "canceled"},
        "probability": 0.05,
    },
    {"operation": "webhook payment.canceled", "kind": "forged", "event": "payment.succeeded", "probability": 0.3},
    {"operation": "webhook payment.canceled", "kind": "lost", "probability": 0.3},
    {"operation": "webhook refund.succeeded", "kind": "lost", "probability": 0.3},
    {"operation": "webhook refund.succeeded", "kind": "duplicated", "copies": 4, "probability": 0.3},
)


class Storm:
    """Everything that happens in one run is drawn from `seed`, but for the order in which threads come to do it."""

    def __init__(
        self, world: World, app: Flask, patch: pytest.MonkeyPatch, people: list[User], *, seed: int, minutes: int
    ) -> None:
        self.world, self.people, self._patch = world, people, patch
        # Most of the hour: the last to come can still run out and change their minds.
        self._a_minute = -(-len(people) * 10 // (minutes * 9))
        self.drawn = random.Random(seed)  # noqa: S311 - plays, keeps no secrets
        self.did: Counter[str] = Counter()
        self.moved = timedelta(0)
        self.open: dict[UUID, datetime] = {}
        self.paid: list[UUID] = []
        self._messages: list[tuple[CoreTask, tuple[str | int, ...]]] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        real = clock.now
        patch.setattr(clock, "now", lambda: real() + self.moved)

        def enqueue(task: CoreTask, *args: str | int, **_options: float | None) -> bool:
            return self._enqueue(task, *args)

        patch.setattr(CoreTask, "enqueue", enqueue)
        self._new_client = yookassa._client.__wrapped__
        self._usual_patience = yookassa_client.READ_SECONDS
        self._have_patience(0.7)
        self._server = serving.serve_on(serving.listen("127.0.0.1", world.web_port), app)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()
        self._server.shutdown()
        self._server.server_close()

    def arm(self) -> None:
        """From now on YooKassa misbehaves."""
        for fault in FAULTS:
            armed = fault | {"times": "forever", "seed": self.drawn.randrange(10**6)}
            self._sandbox("faults", armed).raise_for_status()

    def _have_patience(self, seconds: float) -> None:
        """How long our clients wait for a packet of YooKassa's from now on."""
        self._patch.setattr(yookassa_client, "READ_SECONDS", seconds)
        self._patch.setattr(yookassa, "_client", _each_thread(self._new_client))

    def calm(self) -> None:
        """From now on it does not."""
        self._have_patience(self._usual_patience)
        self._sandbox("faults/clear", {}).raise_for_status()
        self._sandbox("faults/release", {}).raise_for_status()

    def minute(self) -> None:
        """A minute in which people come, pay, change their minds and run out; at its end the sweeps come by."""
        batch = [self.people.pop() for _ in range(min(len(self.people), self._a_minute))]
        again = self.drawn.sample(self.paid, min(len(self.paid), 6))
        jobs: list[Callable[[], None]] = []
        for user in batch:
            jobs += [self._buys(user.id) for _ in range(self.drawn.choice((1, 1, 1, 2)))]
        jobs += [self._buys(self._user_of(payment_id)) for payment_id in again[:3]]
        jobs += [self._refunds(payment_id) for payment_id in again]
        for payment_id, at in list(self.open.items()):
            if at <= clock.now():
                del self.open[payment_id]
                jobs.append(self._at_the_till(payment_id))
        for user in batch[:3]:
            jobs.append(self._admin(user))
        self.drawn.shuffle(jobs)
        self._all(jobs)
        self.sweep()
        self.pass_time(MINUTE)

    def sweep(self) -> None:
        """What the beat asks for, and the workers do."""
        for beat in (money.sweep_payments, self._banks_answer, subscriptions.expire_due):
            beat()
        self.deliver()
        placement.seat_waiting(clock.now())
        for server_id in provisioning.dirty_servers():
            while provisioning.converge(server_id).more:
                pass

    def deliver(self) -> None:
        """The messages that were not lost, some of them twice, by many workers at once; again those that want to be."""
        while True:
            with self._lock:
                messages, self._messages = self._messages, []
            if not messages:
                return
            self._all([self._runs(task, args) for task, args in messages])

    def pass_time(self, by: timedelta) -> None:
        """Moves our clock and YooKassa's."""
        self.moved += by
        self._sandbox("clock", {"advance_seconds": by.total_seconds()})

    def quiet(self) -> bool:
        """Whether there is nothing left to ask YooKassa about."""
        self.sweep()
        with self._lock:
            return not self._messages

    def _buys(self, user_id: int) -> Callable[[], None]:
        kind = self.drawn.choice(("1m", "3m")), self.drawn.choice(("card", "sbp"))
        later = timedelta(minutes=self.drawn.choice((0, 1, 1, 3, 10, 50)))

        def buy() -> None:
            for _ in range(3):  # "try again in a minute", and people do so at once
                with contextlib.suppress(KrotRayError):
                    payment = checkout.start(user_id, *kind)
                    self.did["bought"] += 1
                    self.open[payment.id] = clock.now() + later
                    return
                self.did["turned away"] += 1

        return buy

    def _at_the_till(self, payment_id: UUID) -> Callable[[], None]:
        action = self.drawn.choices(("pay", "decline", "cancel", "leave"), (70, 10, 5, 15))[0]
        comes_back = self.drawn.random() < 0.5

        def act() -> None:
            payment = billing.find(payment_id)
            if action == "leave" or payment.external_id is None:
                return
            body = {"reason": "insufficient_funds"} if action in ("decline", "cancel") else {}
            answer = self._sandbox(f"payments/{payment.external_id}/{action}", body)
            self.did[f"{action} {answer.status_code}"] += 1
            if action == "decline":
                self.open[payment_id] = clock.now() + MINUTE
            if action == "pay" and answer.ok:
                self.paid.append(payment_id)
                if comes_back:  # "check payment"
                    money.settle.enqueue(str(payment_id), "user")

        return act

    def _refunds(self, payment_id: UUID) -> Callable[[], None]:
        share, by_admin = self.drawn.choice((1, 2, 3)), self.drawn.random() < 0.6

        def refund() -> None:
            payment = billing.find(payment_id)
            kopecks = payment.amount_kopecks // share
            if by_admin:
                with contextlib.suppress(KrotRayError):
                    refunds.start(payment_id, kopecks)
                    self.did["refunded by an admin"] += 1
            else:
                self.did[f"refunded in the cabinet {self._in_the_cabinet(payment, kopecks)}"] += 1

        return refund

    def _in_the_cabinet(self, payment: Payment, kopecks: int) -> int | None:
        s = settings.get()
        body = {
            "payment_id": payment.external_id,
            "amount": {"value": f"{kopecks // 100}.{kopecks % 100:02d}", "currency": "RUB"},
        }
        with contextlib.suppress(requests.RequestException):
            return requests.post(
                f"{s.yookassa_api_url}/refunds",
                json=body,
                auth=(s.yookassa_shop_id, s.yookassa_secret_key.get_secret_value()),
                headers={"Idempotence-Key": str(uuid4())},
                timeout=10,
            ).status_code
        return None

    def _admin(self, user: User) -> Callable[[], None]:
        what = self.drawn.randrange(4)

        def act() -> None:
            with contextlib.suppress(KrotRayError):
                if what == 0:
                    subscriptions.grant(user.telegram_id, 3)
                elif what == 1:
                    subscriptions.set_expiry(user.telegram_id, clock.now() + 5 * MINUTE)
                elif what == 2:
                    subscriptions.rotate_key(user.telegram_id)
                else:
                    subscriptions.revoke(user.telegram_id)
                self.did[f"admin {what}"] += 1

        return act

    def _banks_answer(self) -> None:
        with contextlib.suppress(KrotRayError):
            for found in yookassa.refunds_between(clock.now() - timedelta(days=1), clock.now() + timedelta(days=1)):
                if found.status == "pending" and self.drawn.random() < 0.3:
                    verdict = self.drawn.choice(("succeed", "succeed", "cancel"))
                    body = {"reason": "insufficient_funds"} if verdict == "cancel" else {}
                    self._sandbox(f"refunds/{found.external_id}/{verdict}", body)
                    self.did[f"bank: {verdict}"] += 1

    def _user_of(self, payment_id: UUID) -> int:
        return billing.find(payment_id).user_id

    def _enqueue(self, task: CoreTask, *args: str | int) -> bool:
        if task.name == notices.send_due.name:
            return False  # at 25 messages a second it would take longer than the storm, which is not about them
        luck = random.random()  # noqa: S311 - webhooks come when they come: this is not for the seed to decide
        if luck < 0.1:
            return False  # no broker
        with self._lock:
            if luck > 0.2:  # else lost on the way
                self._messages += [(task, args)] * (2 if luck > 0.9 else 1)
        return True

    def _runs(self, task: CoreTask, args: tuple[str | int, ...]) -> Callable[[], None]:
        def run() -> None:
            try:
                task(*args)
            except KrotRayError:
                self.did["task failed"] += 1

        return run

    def _all(self, jobs: list[Callable[[], None]]) -> None:
        for done in [self._pool.submit(job) for job in jobs]:
            done.result()

    def _sandbox(self, path: str, body: dict[str, Any]) -> requests.Response:
        return requests.post(f"{self.world.yookassa_url}/sandbox/{path}", json=body, timeout=20)


def _each_thread(make: Callable[[], Any]) -> Callable[[], Any]:
    """One client a thread: as many processes would have."""
    kept = threading.local()

    def made() -> Any:
        if not hasattr(kept, "client"):
            kept.client = make()
        return kept.client

    return made


@contextlib.contextmanager
def raging(
    world: World, app: Flask, patch: pytest.MonkeyPatch, people: list[User], *, seed: int, minutes: int
) -> Iterator[Storm]:
    """A storm that is over afterwards, whatever happens."""
    storm = Storm(world, app, patch, people, seed=seed, minutes=minutes)
    try:
        yield storm
    finally:
        storm.stop()
