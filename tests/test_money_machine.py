"""A state machine over payments, refunds and subscriptions, with a YooKassa, a queue and two clocks that do as they like.

Whatever happens in whatever order, and wherever a process dies: the days that somebody has are those paid for less those refunded,
nothing counts twice, nothing is lost for ever.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, event
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text, update

from krotray_api.schemas import PaymentOut
from krotray_core import (
    asking,
    billing,
    cabinet,
    checkout,
    db,
    leases,
    ledger_audit,
    placement,
    plans,
    reconciliation,
    refunds,
    subscriptions,
)
from krotray_core.db import transaction
from krotray_core.errors import GatewayUnavailable, KrotRayError
from krotray_core.models import Payment, Plan, Refund, Seat, Server, Subscription, User
from krotray_tasks import money
from sandbox.person import Person
from sandbox.world import World
from sandbox.yookassa.records import PaymentRecord
from tests import http_kit
from tests.conftest import empty_tables, new_user
from tests.money_kit import (
    START,
    Bank,
    Deed,
    Has,
    Killed,
    Killer,
    after,
    given,
    looked_at,
    may_be_seated,
    revoked,
    run_out,
    running,
    taken,
)

PEOPLE = 3
SEATS = 2  # fewer than people: somebody may have to wait
TARIFFS = ("1m", "3m", "odd")
DAY_SECONDS = 86_400
COUNTED = ("succeeded", "refunded")

# What the contract calls them.
STATES = {"no_subscription", "payment_pending", "provisioning", "active", "expired"}
STATUSES = {"pending", "succeeded", "canceled", "refunded"}

someone = st.integers(0, PEOPLE - 1)
nth = st.integers(0, 9)  # counted from the newest
crash = st.one_of(st.none(), st.none(), st.integers(1, 50), st.integers(50, 150))
part = st.sampled_from([Decimal(1), Decimal("0.5"), Decimal("0.3333"), Decimal("0.0001")])
outcome = st.sampled_from(["succeeded", "succeeded", "pending", "canceled"])
what_then = st.sampled_from(["settled", "nothing", "paid", "told"])
# What others do between a request of ours and its answer's use: which of its requests, what, to which payment.
meanwhile = st.one_of(
    st.none(),
    st.none(),
    st.tuples(
        st.sampled_from([1, 1, 2, 3]), st.sampled_from(["paid", "settled", "refunded", "given back", "decided"]), nth
    ),
)
LOST = ("drop", "500", "502")  # made, but we do not get to know
FAULTS = (
    {"operation": "*", "kind": "drop", "when": "before"},
    {"operation": "*", "kind": "500", "when": "after"},
    {"operation": "*", "kind": "202", "when": "after"},
    {"operation": "*", "kind": "429"},
    {"operation": "*", "kind": "502", "when": "after"},
    {"operation": "*", "kind": "502", "when": "before"},
    {"operation": "*", "kind": "401"},
    {"operation": "*", "kind": "truncated"},
    {"operation": "*", "kind": "hang", "when": "after", "seconds": 0.02},
    {"operation": "GET /v3/refunds", "kind": "500", "when": "before"},
)


class Money(RuleBasedStateMachine):
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

    @initialize(
        first=st.tuples(*[st.tuples(st.sampled_from(TARIFFS), what_then, crash)] * 4),
        outage=st.sampled_from([timedelta(hours=2), timedelta(hours=26)]),
    )
    def some_have_bought(self, first: tuple[tuple[str, str, int | None], ...], outage: timedelta) -> None:
        self.outage = outage
        for who, (tariff, then, crash) in zip((0, 0, 1, 2), first, strict=True):
            self.buys(who=who, tariff=tariff, method="card", then=then, crash_then=crash)

    # The rules: people and their payments.

    @rule(
        who=someone,
        tariff=st.sampled_from(TARIFFS),
        method=st.sampled_from(plans.METHODS),
        then=what_then,
        crash=crash,
        meanwhile=meanwhile,
        crash_then=crash,
        lost=st.sampled_from([None, None, None, None, *LOST]),
    )
    def buys(
        self,
        *,
        who: int,
        tariff: str,
        method: str,
        then: str,
        crash: int | None = None,
        meanwhile: Any = None,
        crash_then: int | None = None,
        lost: str | None = None,
    ) -> None:
        plan = plans.find(tariff)
        user = self.people[who]
        with self.bank.answer_lost("POST /v3/payments", lost):
            made = self.process(lambda: checkout.start(user.id, tariff, method), crash=crash, meanwhile=meanwhile)
        if made:
            assert (made.user_id, made.plan_code, made.method) == (user.id, tariff, method)
            assert (made.days, made.amount_kopecks) == (plan.days, plan.amount_kopecks)
            assert made.status != "pending" or made.confirmation_url
        if then != "nothing" and self.bank.payments():  # we may not know of it, and the payer pays all the same
            self.pays(self.bank.payments()[-1], then, crash_then, None)

    def pays(self, record: PaymentRecord, then: str, crash: int | None, meanwhile: Any) -> None:
        self.bank.at_the_till(record, "pays")
        if then in ("told", "settled"):
            self.tell(0)
        if then == "settled":
            self.work(0, crash=crash, meanwhile=meanwhile)

    @rule(tariff=st.sampled_from(TARIFFS), kopecks=st.integers(1_00, 500_00), days=st.integers(1, 100))
    def prices_change(self, tariff: str, kopecks: int, days: int) -> None:
        plans.put(tariff, amount_kopecks=kopecks, days=days)

    @precondition(lambda self: self.waiting_at_the_till())
    @rule(
        nth=nth,
        what=st.sampled_from(["pays", "pays", "pays", "declined", "fails"]),
        then=what_then,
        crash=crash,
        meanwhile=meanwhile,
    )
    def comes_to_the_till(self, nth: int, what: str, then: str, crash: int | None, meanwhile: Any) -> None:
        record = self.pick(self.waiting_at_the_till(), nth)
        if what == "pays":
            self.pays(record, then, crash, meanwhile)
        else:
            self.bank.at_the_till(record, what)

    @rule(who=someone, nth=nth, check=st.booleans())
    def looks(self, who: int, nth: int, check: bool) -> None:
        """The Mini App of somebody, on a payment of theirs or of somebody else."""
        user = self.people[who]
        state = self.call(user, "/api/me")
        assert state["state"] in STATES
        payment = self.pick(list(self.payments.values()), nth)
        if payment is None:
            return
        path = f"/api/payments/{payment.id}"
        if payment.user_id != user.id:
            assert self.client.get(path, headers=self.headers(user)).status_code == 404
            return
        assert self.call(user, path)["status"] == payment.status
        if check:
            assert self.client.post(f"{path}/check", headers=self.headers(user)).status_code == 200

    # Webhooks, messages, workers.

    @precondition(lambda self: self.bank.told)
    @rule(nth=nth, broker=st.booleans(), crash=crash)
    def is_told(self, nth: int, broker: bool, crash: int | None) -> None:
        self.bank.broker_is_up = broker
        self.tell(nth, crash)
        self.bank.broker_is_up = True

    @precondition(lambda self: self.payments)
    @rule(
        nth=nth,
        other=nth,
        said=st.sampled_from(["payment.succeeded", "payment.canceled", "refund.succeeded"]),
        lie=st.sampled_from(["state", "unknown", "other", "made up"]),
    )
    def is_lied_to(self, nth: int, other: int, said: str, lie: str) -> None:
        payment, another = self.pick(list(self.payments.values()), nth), self.pick(list(self.payments.values()), other)
        names = another.id if lie == "other" else uuid4() if lie == "made up" else payment.id
        external_id = "unknown-there" if lie == "unknown" else payment.external_id or "never-heard-of"
        body = http_kit.notification(
            external_id, said, payment_id=external_id, paid=True, metadata={"payment_id": str(names)}
        )
        self.process(lambda: self.deliver(body))

    @precondition(lambda self: self.bank.messages)
    @rule(nth=nth, again=st.booleans(), crash=crash, meanwhile=meanwhile)
    def a_worker_takes_a_message(self, nth: int, again: bool, crash: int | None, meanwhile: Any) -> None:
        self.work(nth, again=again, crash=crash, meanwhile=meanwhile)

    @precondition(lambda self: self.bank.messages)
    @rule()
    def redis_forgets(self) -> None:
        self.bank.messages.clear()

    @precondition(lambda self: self.payments)
    @rule(crash=crash, meanwhile=meanwhile)
    def the_sweep_comes_by(self, crash: int | None, meanwhile: Any) -> None:
        self.sweep(crash, meanwhile)

    @precondition(lambda self: self.payments)
    @rule(days=st.sampled_from([1, 3, 60]), crash=crash, meanwhile=meanwhile)
    def books_are_compared(self, days: int, crash: int | None, meanwhile: Any) -> None:
        since = self.bank.ours - timedelta(days=days)
        self.process(lambda: reconciliation.compare(since), crash=crash, meanwhile=meanwhile)

    @precondition(lambda self: any(self.has.values()))
    @rule(crash=crash, confirms=st.booleans())
    def time_is_up(self, crash: int | None, confirms: bool) -> None:
        self.process(subscriptions.expire_due, deed=(None, run_out), crash=crash)
        self.process(lambda: placement.seat_waiting(self.bank.ours), deed=(None, may_be_seated), crash=crash)
        if confirms:  # Xray has heard of all that
            with transaction() as session:
                session.execute(update(Seat).values(observed_generation=Seat.generation))

    # Money back.

    @precondition(lambda self: self.payments)
    @rule(
        nth=nth,
        of=st.sampled_from(
            [None, Decimal(1), Decimal("0.5"), Decimal("0.3333"), Decimal("0.0001"), Decimal("1.01"), Decimal(0)]
        ),
        outcome=outcome,
        lost=st.sampled_from([None, None, None, None, *LOST]),
        crash=crash,
        meanwhile=meanwhile,
    )
    def an_admin_refunds(
        self, *, nth: int, of: Decimal | None, outcome: str, lost: str | None, crash: int | None, meanwhile: Any
    ) -> None:
        paid = [one for one in self.payments.values() if one.status in COUNTED]
        payment = self.pick(paid if paid and nth else list(self.payments.values()), nth)
        amount = None if of is None else int(payment.amount_kopecks * of)
        with self.bank.next_refund(outcome), self.bank.answer_lost("POST /v3/refunds", lost):
            self.process(lambda: refunds.start(payment.id, amount), crash=crash, meanwhile=meanwhile)

    @precondition(lambda self: any(one.flagged_at for one in self.payments.values()))
    @rule(nth=nth, crash=crash)
    def an_admin_has_dealt_with_it(self, nth: int, crash: int | None) -> None:
        payment = self.pick([one for one in self.payments.values() if one.flagged_at], nth)
        self.process(lambda: billing.close(payment.id, "it went back by hand"), crash=crash)

    @precondition(lambda self: self.paid_there())
    @rule(nth=nth, part=part, outcome=outcome)
    def somebody_refunds_in_the_cabinet(self, nth: int, part: Decimal, outcome: str) -> None:
        self.bank.give_back(self.pick(self.paid_there(), nth), part, outcome)

    @precondition(lambda self: self.undecided())
    @rule(nth=nth, accepts=st.booleans())
    def a_bank_decides(self, nth: int, accepts: bool) -> None:
        self.decide(nth, accepts)

    # Admins and their presents.

    @rule(who=someone, what=st.sampled_from(["grant", "revoke", "rotate"]), days=st.integers(1, 40), crash=crash)
    def an_admin_means_somebody(self, who: int, what: str, days: int, crash: int | None) -> None:
        user = self.people[who]
        verbs: dict[str, tuple[Callable[[], Any], Deed]] = {
            "grant": (lambda: subscriptions.grant(user.telegram_id, days), given(days * DAY_SECONDS)),
            "revoke": (lambda: subscriptions.revoke(user.telegram_id), revoked),
            "rotate": (lambda: subscriptions.rotate_key(user.telegram_id), looked_at),
        }
        verb, deed = verbs[what]
        self.process(verb, deed=(user.id, deed), crash=crash)

    # Time and bad weather.

    @rule(
        minutes=st.sampled_from(
            [1, 9, 11, 30, 46, 59, 61, 76, 5 * 60, 22 * 60, 25 * 60, 3 * 1440, 8 * 1440, 31 * 1440]
        ),
        ours=st.integers(0, 5),
        theirs=st.integers(0, 5),
    )
    def time_passes(self, minutes: int, ours: int, theirs: int) -> None:
        self.bank.pass_time(timedelta(minutes=minutes + ours), timedelta(minutes=minutes + theirs))
        self.seen = False

    @rule(fault=st.sampled_from(FAULTS), times=st.integers(1, 2))
    def yookassa_is_ill(self, fault: dict[str, Any], times: int) -> None:
        self.bank.break_next(fault | {"times": times})

    @precondition(lambda self: self.not_counted_yet())
    @rule(
        nth=nth,
        what=st.sampled_from(
            [
                {"amount": "1.00"},
                {"currency": "USD"},
                {"account_id": "1"},
                {"metadata": {"payment_id": str(UUID(int=1))}},
            ]
        ),
    )
    def somebody_tampers(self, nth: int, what: dict[str, Any]) -> None:
        record = self.pick(self.not_counted_yet(), nth)
        self.tampered.add(record.id)
        self.bank.sandbox.payments.tamper(record.id, what)

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

    # What has to be true.

    def look_at_the_rows(self, deed: tuple[int | None, Deed] | None = None) -> None:
        """Everybody has what the changes of their payments since the last look (and the deed, if it was done) lead to."""
        self.sound = False
        with transaction() as session:
            payments = {
                one.id: one for one in session.scalars(select(Payment).order_by(Payment.created_at, Payment.id))
            }
            back = session.scalars(select(Refund)).all()
            rows = {one.user_id: one for one in session.scalars(select(Subscription))}
            free = session.execute(select(Server.max_users - Server.active_users)).scalar_one()
        events = self.changes(payments, back)
        for user in self.people:
            row = rows.get(user.id)
            has = Has(row.status, row.expires_at, row.waiting_since) if row else None
            before = {self.has[user.id]}
            if deed and deed[0] in (None, user.id):  # it may have failed, or died too early
                before |= deed[1](self.has[user.id], self.bank.ours)
            possible = set().union(*(after(one, events[user.id], self.bank.ours) for one in before))
            assert has in possible, f"{has} is none of {possible}"
            has_to_wait = (
                has and has.waiting_since and has.waiting_since != getattr(self.has[user.id], "waiting_since", None)
            )
            if has_to_wait and len(events) < 2:
                assert not (free and self.free), "somebody waits though there is room"
            self.has[user.id] = has
        self.payments, self.free = payments, free
        self.sound = True

    def changes(self, payments: dict[UUID, Payment], back: list[Refund]) -> dict[int, list[tuple[UUID, str, Deed]]]:
        """What was given and taken since the last look, by user; each of it is true at YooKassa."""
        records = {record.id: record for record in self.bank.payments()}
        refunds_there = {one["id"]: one for one in self.bank.refunds()}
        events: dict[int, list[tuple[UUID, str, Deed]]] = defaultdict(list)
        assert payments.keys() >= self.payments.keys()
        sums = Counter[UUID]()
        for one in back:
            if one.status == "succeeded":
                there = refunds_there[one.external_id or ""]
                assert there["status"] == "succeeded"
                assert Decimal(there["amount"]["value"]) * 100 == one.amount_kopecks
                assert there["payment_id"] == payments[one.payment_id].external_id
                sums[one.payment_id] += one.amount_kopecks
        for payment in payments.values():
            before = self.payments.get(payment.id)
            counted_before = before is not None and before.status in COUNTED
            if payment.status not in COUNTED:
                assert not counted_before, "what has counted once counts for good"
                assert payment.refunded_kopecks == sums[payment.id] == 0
                assert payment.status != "canceled" or self.is_over(payment, records), payment.cancel_reason
                continue
            if not counted_before:
                record = records[payment.external_id or ""]
                assert record.status == "succeeded"
                assert record.id not in self.tampered
                assert record.wire["metadata"]["payment_id"] == str(payment.id)
                assert record.amount * 100 == payment.amount_kopecks
                events[payment.user_id].append((payment.id, "given", given(payment.days * DAY_SECONDS)))
            assert payment.refunded_kopecks == sums[payment.id]
            assert (payment.status == "refunded") == (payment.refunded_kopecks == payment.amount_kopecks)
            was = before.refunded_kopecks if before else 0
            seconds = [payment.days * DAY_SECONDS * sum_ // payment.amount_kopecks for sum_ in (was, sums[payment.id])]
            if sums[payment.id] != was:
                events[payment.user_id].append((payment.id, "taken", taken(seconds[1] - seconds[0])))
        return events

    def is_over(self, payment: Payment, records: dict[str, PaymentRecord]) -> bool:
        """Whether a payment that is cancelled here has a reason to be."""
        if payment.cancel_reason == "not_created":
            there = any(one.wire["metadata"]["payment_id"] == str(payment.id) for one in records.values())
            return not there or self.bank.ours - payment.created_at > asking.KEY_LIFETIME
        return payment.external_id in self.tampered or records[payment.external_id or ""].status == "canceled"

    @invariant()
    def all_is_well(self) -> None:
        if self.seen:
            return
        self.sound = False
        self.the_ledger_adds_up()
        self.seats_and_counters_agree()
        self.everything_has_a_name()
        self.sound = self.seen = True

    def the_ledger_adds_up(self) -> None:
        assert db.engine().pool.checkedout() == 0
        assert ledger_audit.verify().faults == ()
        twice = text(
            "SELECT payment_id FROM ledger WHERE subject = 'subscription' AND event = 'paid' GROUP BY 1 HAVING count(*) > 1"
        )
        with transaction() as session:
            assert not session.execute(twice).all()

    def seats_and_counters_agree(self) -> None:
        with transaction() as session:
            active = session.execute(select(Server.active_users)).scalar_one()
            seated = set(
                session.scalars(
                    select(Subscription.user_id).join(Seat, Seat.subscription_id == Subscription.id).where(Seat.wanted)
                )
            )
            wanted = session.scalar(select(func.count()).where(Seat.wanted))
        assert active == wanted == len(seated)
        should = {who for who, has in self.has.items() if has and has.status == "active" and not has.waiting_since}
        assert seated == should

    def everything_has_a_name(self) -> None:
        now = self.bank.ours
        for payment in self.payments.values():
            assert PaymentOut.of(payment).status in STATUSES
            assert not payment.flagged_at or payment.external_id in self.tampered, payment.flag_reason
        for user in self.people:
            state, has = cabinet.of_user(user.id).state, self.has[user.id]
            assert state in STATES
            runs = has and has.status == "active" and has.ends_at > (has.waiting_since or now)
            assert (state in ("provisioning", "active")) == bool(runs)

    # The end.

    def teardown(self) -> None:
        """The weather clears up, and the sweeps come by until there is nothing left to do."""
        if not self.sound:  # a step has failed, and that is what should be read about
            return
        self.bank.sandbox.faults.clear()
        self.bank.messages.clear()
        while waiting := self.undecided():
            self.decide(0, accepts=len(waiting) % 2 == 0)
        for pause in (self.outage, timedelta(hours=2), timedelta(days=1), timedelta(days=5)):
            self.bank.pass_time(pause)
            self.sweep()
        self.what_was_noted_was_not_lost()
        for _ in range(2):
            report = self.process(lambda: reconciliation.compare(START - timedelta(days=1)))
            assert report.incomplete is None
            assert not self.honest(report.open)
        assert not self.honest(report.differences), "what was set right stays right"
        self.bank.pass_time(timedelta(days=1))
        self.sweep()
        self.both_sides_agree()
        self.all_is_well()
        for _ in range(PEOPLE):  # in the end everybody has had their days, those who had to wait too
            self.bank.pass_time(timedelta(days=3650))
            self.time_is_up(None, confirms=True)
        assert not any(has and has.status == "active" for has in self.has.values())

    def honest(self, differences: list[reconciliation.Difference]) -> list[reconciliation.Difference]:
        """Those about payments that nobody has tampered with."""
        ours = {payment.id: payment.external_id for payment in self.payments.values()}
        return [
            one
            for one in differences
            if not {one.external_id, ours.get(one.payment_id) if one.payment_id else None} & self.tampered
        ]

    def what_was_noted_was_not_lost(self) -> None:
        """Neither Redis nor the books' comparison was needed for what a notification had told."""
        ours = {one.external_id: one for one in self.payments.values()}
        with transaction() as session:
            back = dict(session.execute(select(Refund.external_id, Refund.status)).all())
        for body in self.noted:
            thing = body["object"]
            external_id = thing.get("payment_id", thing["id"])
            if external_id in self.tampered:
                continue
            said = body["event"]
            payment = ours[external_id]
            if said == "refund.succeeded":
                assert back.get(thing["id"]) == "succeeded", f"{said} was noted, and then forgotten"
            else:
                is_so = payment.status in COUNTED if said == "payment.succeeded" else payment.status == "canceled"
                assert is_so, f"{said} was noted, and then forgotten: {payment.status}"

    def both_sides_agree(self) -> None:
        """Each payment and refund has ended here the way it has at YooKassa."""
        records = {record.id: record for record in self.bank.payments() if record.id not in self.tampered}
        ours = {str(payment.id): payment for payment in self.payments.values()}
        assert len({record.wire["metadata"]["payment_id"] for record in records.values()}) == len(records)
        for record in records.values():
            payment = ours[record.wire["metadata"]["payment_id"]]
            assert payment.external_id == record.id
            assert record.status in ("succeeded", "canceled")
            assert (payment.status in COUNTED) == (record.status == "succeeded")
            assert payment.refunded_kopecks == record.refunded * 100
        for payment in self.payments.values():
            if payment.external_id not in self.tampered:
                assert payment.status != "pending"
                hinted = payment.hinted_at is not None and payment.external_id is not None
                assert not hinted, "something is to be done, and nobody does it"
        names = Counter(one["metadata"]["refund_id"] for one in self.bank.refunds() if "metadata" in one)
        assert not names or max(names.values()) == 1, "one refund of ours, made twice"
        with transaction() as session:
            back = {one.external_id: one.status for one in session.scalars(select(Refund))}
        assert "pending" not in back.values()
        for one in self.bank.refunds():
            if one["payment_id"] not in self.tampered:
                assert back.get(one["id"], "canceled") == one["status"]


@pytest.mark.timeout(600)  # a minute; finding the shortest way to a failure takes up to five more
def test_money_is_right_after_anything(fresh: World, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch) as bank:
        machine = type("Everything", (Money,), {"bank": bank, "app": app, "world": fresh})
        run_state_machine_as_test(
            machine,
            settings=examples(
                max_examples=45,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            ),
        )


def _workers_have_their_turn(bank: Bank) -> None:
    money.sweep_payments()
    while bank.messages:
        task, arguments = bank.messages.pop(0)
        with contextlib.suppress(KrotRayError):
            task(*arguments)


@pytest.mark.usefixtures("fleet")
def test_news_of_a_payment_whose_id_we_never_learnt_outlive_their_message(
    app: Flask, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made, but the answer was lost; paid; noted with 200 when its key is too old to be repeated; then Redis forgets."""
    with running(monkeypatch) as bank:
        with bank.answer_lost("POST /v3/payments", "drop"), pytest.raises(GatewayUnavailable):
            checkout.start(user.id, "1m", "card")
        bank.at_the_till(bank.payments()[0], "pays")
        bank.pass_time(timedelta(hours=23, minutes=30))
        assert app.test_client().post("/api/payments/webhook", json=bank.told[0]).status_code == 200
        bank.messages.clear()
        for _ in range(3):
            _workers_have_their_turn(bank)
            bank.pass_time(timedelta(days=1))
        payment = billing.latest()[0]
        assert payment.status == "succeeded", "the sweeps find all that was noted"
        assert payment.hinted_at is None, "and come to an end"


@pytest.mark.usefixtures("fleet")
def test_a_refund_in_the_cabinet_that_takes_a_bank_days_is_found_without_its_webhook(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "take", lambda *_: True)  # they go by the database's clock
    with running(monkeypatch) as bank:
        payment = checkout.start(user.id, "1m", "card")
        bank.at_the_till(bank.payments()[0], "pays")
        _workers_have_their_turn(bank)
        bank.pass_time(timedelta(minutes=1))
        _workers_have_their_turn(bank)
        assert billing.find(payment.id).status == "succeeded"
        bank.give_back(bank.payments()[0], Decimal(1), "pending")
        for day in range(1, 11):
            bank.pass_time(timedelta(days=1))
            if day == 5:
                bank.sandbox.refunds.succeed(bank.refunds()[0]["id"])
            _workers_have_their_turn(bank)
            reconciliation.daily()
        assert billing.find(payment.id).status == "refunded"
