"""What the state machine over money works with: people, YooKassa, a queue, and processes that do a verb or die of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from flask import Flask
from hypothesis import event
from hypothesis.stateful import (
    RuleBasedStateMachine,
)

from krotray_core import (
    billing,
    refunds,
)
from krotray_core.db import transaction
from krotray_core.errors import KrotRayError
from krotray_core.models import Payment, Plan, Server, User
from krotray_tasks import money
from sandbox.person import Person
from sandbox.world import World
from sandbox.yookassa.records import PaymentRecord
from tests import http_kit
from tests.conftest import empty_tables, new_user
from tests.money_kit import (
    Bank,
    Deed,
    Has,
    Killed,
    Killer,
)

PEOPLE = 3
SEATS = 2  # fewer than people: somebody may have to wait
TARIFFS = ("1m", "3m", "odd")
DAY_SECONDS = 86_400
COUNTED = ("succeeded", "refunded")

# What the contract calls them.
STATES = {"no_subscription", "payment_pending", "provisioning", "active", "expired"}
STATUSES = {"pending", "succeeded", "canceled", "refunded"}


class MoneyLife(RuleBasedStateMachine):
    """Needs `bank`, `app` and `world` on a class made from it."""

    bank: Bank
    app: Flask
    world: World

    def __init__(self) -> None:
        super().__init__()
        empty_tables()
        with transaction() as session:
            session.add(Plan(code="odd", months=1, days=7, amount_kopecks=33_33))
            server = {"inbound_tag": "vless-in", "max_users": SEATS, "is_up": True}
            session.add(Server(name="Moon", host="127.0.0.1", grpc_port=1, **server))
        self.bank.reset()
        self.people: list[User] = [new_user() for _ in range(PEOPLE)]
        self.client = self.app.test_client()
        self.killer = Killer()
        # What our rows said when we last looked.
        self.payments: dict[UUID, Payment] = {}
        self.has: dict[int, Has | None] = {user.id: None for user in self.people}
        self.free = SEATS
        # YooKassa's ids of payments that somebody has tampered with.
        self.tampered: set[str] = set()
        # Notifications that were true, answered with 200, and about a payment that we knew.
        self.noted: list[dict[str, Any]] = []
        # How long nobody works before the end.
        self.outage = timedelta(hours=2)
        self.sound = True
        self.seen = False

    # What there is to choose from.

    def waiting_at_the_till(self) -> list[PaymentRecord]:
        return [one for one in self.bank.payments() if one.status == "pending"]

    def paid_there(self) -> list[PaymentRecord]:
        return [one for one in self.bank.payments() if one.status == "succeeded"]

    def undecided(self) -> list[dict[str, Any]]:
        return [one for one in self.bank.refunds() if one["status"] == "pending"]

    def not_counted_yet(self) -> list[PaymentRecord]:
        known = {one.external_id for one in self.payments.values() if one.status not in COUNTED}
        return [one for one in self.bank.payments() if one.id in known and not one.refunded]

    # How a step is taken.

    @staticmethod
    def pick(things: list[Any], nth: int) -> Any:
        """The nth from the end, or none."""
        return things[-1 - nth % len(things)] if things else None

    def process(
        self,
        verb: Callable[[], Any],
        *,
        deed: tuple[int | None, Deed] | None = None,
        crash: int | None = None,
        meanwhile: tuple[int, str, int] | None = None,
    ) -> Any:
        """Something that our service does; None if it said no, or died."""
        self.bank.pass_time(timedelta(seconds=1))
        return self.under(Killer(crash), verb, deed, meanwhile)

    def under(
        self,
        killer: Killer,
        verb: Callable[[], Any],
        deed: tuple[int | None, Deed] | None = None,
        meanwhile: tuple[int, str, int] | None = None,
    ) -> Any:
        self.sound = self.seen = False
        answer = None
        outer, self.killer = self.killer, killer
        if meanwhile:
            self.bank.after_request = self.others(*meanwhile)
        try:
            answer = killer.run(verb)
        except KrotRayError as error:
            event(f"{type(error).__name__}")
        except Killed:
            event("killed")
        finally:
            self.killer = outer
            if meanwhile:
                self.bank.after_request = lambda _path: None
        self.look_at_the_rows(deed)
        return answer

    def others(self, request: int, what: str, nth: int) -> Callable[[str], None]:
        """What happens between the nth request's answer and its use, to the payment that was asked about if there is one."""
        left = request

        def happen(path: str) -> None:
            nonlocal left
            left -= 1
            if left:
                return
            event(f"meanwhile {what}")
            with self.killer.sleeping():
                self.look_at_the_rows()
                self.bank.pass_time(timedelta(milliseconds=1))
                asked = [one for one in self.bank.payments() if one.id == path.rpartition("/")[2]]
                record = self.pick(asked or self.bank.payments(), nth)
                ours = {one.external_id: one for one in self.payments.values()}
                payment = ours.get(record.id) if record else None
                if what == "paid" and record:
                    self.pays(record, "settled", None, None)
                if what == "settled" and payment:
                    self.process(lambda: billing.settle(payment.id))
                if what == "refunded" and record:
                    self.bank.give_back(record, Decimal("0.5"), "succeeded")
                    self.tell(0)
                if what == "given back" and payment:
                    self.process(lambda: refunds.start(payment.id))
                if what == "decided":
                    self.decide(nth, accepts=True)
                self.sound = False

        return happen

    def tell(self, nth: int, crash: int | None = None) -> None:
        """One of all notifications is delivered (again)."""
        body = self.pick(self.bank.told, nth)
        if body is None:
            return
        thing = body["object"]
        external_id = thing.get("payment_id", thing["id"])
        known = any(one.external_id == external_id for one in self.payments.values())
        answer = self.process(lambda: self.deliver(body), crash=crash)
        assert answer in (None, 200 if known or self.bank.broker_is_up else 503)
        if answer == 200 and known:
            self.noted.append(body)
            news = [one for one in self.payments.values() if one.hinted_at == self.bank.ours]
            assert all(one.next_check_at <= self.bank.ours for one in news), "the next sweep asks"

    def deliver(self, body: Any) -> int:
        status = self.client.post("/api/payments/webhook", json=body).status_code
        assert status in (200, 503)
        return status

    def work(self, nth: int, *, again: bool = False, crash: int | None = None, meanwhile: Any = None) -> None:
        """A worker takes a message; it may come once more."""
        message = self.pick(self.bank.messages, nth)
        if message is None:
            return
        if not again:
            self.bank.messages.remove(message)
        task, arguments = message
        self.process(lambda: task(*arguments), crash=crash, meanwhile=meanwhile)

    def sweep(self, crash: int | None = None, meanwhile: Any = None) -> int:
        """The sweep, and the workers that it wakes, as one process; how many there were."""
        self.bank.pass_time(timedelta(seconds=1))
        waiting, self.bank.messages = self.bank.messages, []
        killer = Killer(crash)
        self.under(killer, money.sweep_payments)
        woken, self.bank.messages = self.bank.messages, waiting
        for number, (task, arguments) in enumerate(woken):
            if killer.has_struck:
                self.bank.messages += woken[number:]
                break
            self.under(killer, lambda task=task, arguments=arguments: task(*arguments), meanwhile=meanwhile)
        return len(woken)

    def decide(self, nth: int, accepts: bool) -> None:
        """A bank makes up its mind about a refund."""
        waiting = self.pick(self.undecided(), nth)
        if waiting and accepts:
            self.bank.sandbox.refunds.succeed(waiting["id"])
        elif waiting:
            self.bank.sandbox.refunds.cancel(waiting["id"], "general_decline")

    def headers(self, user: User) -> dict[str, str]:
        person = Person(self.world, user.telegram_id)
        return {http_kit.HEADER: person.init_data(auth_date=int(self.bank.ours.timestamp()))}

    def call(self, user: User, path: str) -> dict[str, Any]:
        answer = self.client.get(path, headers=self.headers(user))
        assert answer.status_code == 200, answer.text
        return answer.get_json()
