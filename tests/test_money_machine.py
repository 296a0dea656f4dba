"""A state machine over payments, refunds and subscriptions, with a YooKassa, a queue and two clocks that do as they like.

Whatever happens in whatever order, and wherever a process dies: the days that somebody has are those paid for less those refunded,
nothing counts twice, nothing is lost for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update

from krotray_core import (
    billing,
    checkout,
    placement,
    plans,
    reconciliation,
    refunds,
    subscriptions,
)
from krotray_core.db import transaction
from krotray_core.models import Seat
from sandbox.world import World
from sandbox.yookassa.records import PaymentRecord
from tests import http_kit
from tests.money_books import MoneyBooks
from tests.money_kit import (
    Deed,
    given,
    looked_at,
    may_be_seated,
    revoked,
    run_out,
    running,
)
from tests.money_life import COUNTED, DAY_SECONDS, PEOPLE, STATES, TARIFFS

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


class Money(MoneyBooks):
    """All that may happen."""

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
