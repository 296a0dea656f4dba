"""What has to be true of money after every step, and at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis.stateful import (
    invariant,
)
from sqlalchemy import func, select, text

from krotray_api.schemas import PaymentOut
from krotray_core import (
    asking,
    cabinet,
    db,
    ledger_audit,
    reconciliation,
)
from krotray_core.db import transaction
from krotray_core.models import Payment, Refund, Seat, Server, Subscription
from sandbox.yookassa.records import PaymentRecord
from tests.money_kit import (
    START,
    Deed,
    Has,
    after,
    given,
    may_be_seated,
    taken,
)
from tests.money_life import COUNTED, DAY_SECONDS, PEOPLE, STATES, STATUSES, MoneyLife


class MoneyBooks(MoneyLife):
    """Everybody has what was paid for them, and both sides agree."""

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
        events, queue = self.changes(payments, back), dict(self.has)
        for user in self.people:
            row = rows.get(user.id)
            has = Has(row.status, row.expires_at, row.waiting_since) if row else None
            before = may_be_seated(self.has[user.id], self.bank.ours)  # whoever frees a place looks who waits for one
            if deed and deed[0] in (None, user.id):  # it may have failed, or died too early
                before |= deed[1](self.has[user.id], self.bank.ours)
            possible = set().union(*(after(one, events[user.id], self.bank.ours) for one in before))
            assert has in possible, f"{has} is none of {possible}"
            has_to_wait = (
                has and has.waiting_since and has.waiting_since != getattr(self.has[user.id], "waiting_since", None)
            )
            others_wait = any(one and one.waiting_since for who, one in queue.items() if who != user.id)
            if has_to_wait and len(events) < 2 and not others_wait:  # else it is not their turn
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
