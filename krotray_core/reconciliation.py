"""Reconciliation: YooKassa's list of payments and refunds against ours. What is safe is set right, the rest goes to the admins.

Safe is whatever the two doors would have done anyway, had the hint not been lost: `billing.settle` and `refunds.settle` ask
YooKassa again and apply what it says.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select

from krotray_core import billing, clock, leases, money, notices, refunds, settings, yookassa
from krotray_core.db import transaction
from krotray_core.errors import GatewayNotFound, GatewayUnavailable, KrotRayError
from krotray_core.models import Payment, Refund
from krotray_core.yookassa import Found, FoundRefund

LEASE = "reconciliation"
# A run that dies is taken up again after this long.
RUN = timedelta(minutes=30)
# Each daily run looks back over three days: what was on its way yesterday has arrived today.
OVERLAP = timedelta(days=2)
MOST_LINES = 30


_Item = TypeVar("_Item", Found, FoundRefund)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that we and YooKassa do not agree on; `repaired` tells whether we do by now. `external_id` is YooKassa's."""

    what: str
    external_id: str | None
    payment_id: UUID | None
    ours: str
    theirs: str
    repaired: bool = False


@dataclass(slots=True)
class Report:
    """What a comparison found; `servers` want a converge. `incomplete` says why YooKassa's list could not be read to its end."""

    since: datetime
    until: datetime
    payments: int = 0
    refunds: int = 0
    incomplete: str | None = None
    differences: list[Difference] = field(default_factory=list)
    servers: set[int] = field(default_factory=set)

    @property
    def open(self) -> list[Difference]:
        """What a person has to look at."""
        return [one for one in self.differences if not one.repaired]


def daily() -> Report | None:
    """Compares the last days, unless that has been done within the last period, and tells the admins what is left open.

    A run that could not read everything does not count: the next call tries again.
    """
    run = secrets.token_hex(8)
    if not leases.take(LEASE, run, RUN):
        return None
    period = timedelta(seconds=settings.get().reconcile_seconds)
    try:
        report = compare(clock.now() - period - OVERLAP)
    except BaseException:
        leases.give_back(LEASE, run)
        raise
    if report.open:
        _tell(report)
    if report.incomplete:
        leases.give_back(LEASE, run)
    else:
        leases.take(LEASE, run, period)  # nobody holds this name any more: it stays taken until the next period
    return report


def compare(since: datetime, until: datetime | None = None) -> Report:
    """Compares all payments and refunds made from `since` up to `until` (aware), by default a minute ago: what is being made at
    this moment is not a difference. Raises GatewayDenied when YooKassa does not let us in.
    """
    report = Report(since, until or clock.now() - timedelta(minutes=1))
    payments = _collect(report, yookassa.payments_between(report.since, report.until))
    report.payments = len(payments)
    for found in payments:
        _compare_payment(report, found)
    back = _collect(report, yookassa.refunds_between(report.since, report.until))
    report.refunds = len(back)
    for refund in back:
        _compare_refund(report, refund)
    if not report.incomplete:
        listed = {payment.external_id for payment in payments} | {refund.external_id for refund in back}
        _look_for_the_rest(report, listed)
    return report


def _collect(report: Report, items: Iterator[_Item]) -> list[_Item]:
    read: list[_Item] = []
    try:
        for item in items:
            read.append(item)
    except GatewayUnavailable as error:
        report.incomplete = str(error)
    return read


def _compare_payment(report: Report, found: Found) -> None:
    payment = _ours(found)
    if payment is None:
        if found.status == "succeeded" and found.refunded_kopecks < found.amount_kopecks:
            report.differences.append(Difference("unknown here", found.external_id, None, "—", _theirs(found)))
        return
    what = _disagreement(payment, found)
    if what is None:
        return
    ours = _state(payment)
    after = _repair(report, lambda: billing.settle_external(found.external_id).servers, lambda: _ours(found))
    repaired = after is not None and _disagreement(after, found) is None
    report.differences.append(Difference(what, found.external_id, payment.id, ours, _theirs(found), repaired))


def _ours(found: Found) -> Payment | None:
    """Our row of it: by YooKassa's id, or by ours in its metadata."""
    with transaction() as session:
        payment = session.scalar(select(Payment).where(Payment.external_id == found.external_id))
        if payment is None and found.payment_id is not None:
            try:
                payment = session.get(Payment, UUID(found.payment_id))
            except ValueError:
                return None
        return payment


def _disagreement(payment: Payment, found: Found) -> str | None:
    if payment.external_id is None:
        return "external id"
    if payment.external_id != found.external_id:
        paid = found.status == "succeeded" and found.refunded_kopecks < found.amount_kopecks
        return "paid a second time" if paid else None
    if (payment.amount_kopecks, payment.currency) != (found.amount_kopecks, found.currency):
        # Money that was never honoured and has gone back is nobody's any more.
        return None if payment.cancel_reason == "returned" else "amount"
    counted = payment.status in billing.COUNTED
    if counted != (found.status == "succeeded") and payment.cancel_reason != "returned":
        return "state"
    if found.status == "canceled" and payment.status != "canceled":
        return "state"
    return "refunded" if counted and payment.refunded_kopecks != found.refunded_kopecks else None


def _compare_refund(report: Report, found: FoundRefund) -> None:
    def ours() -> Refund | None:
        with transaction() as session:
            return session.scalar(select(Refund).where(Refund.external_id == found.external_id))

    row = ours()
    if row is not None and (row.status, row.amount_kopecks) == (found.status, found.amount_kopecks):
        return
    if row is None and found.status != "succeeded":
        return  # made in the cabinet, and it has not given anything back
    with transaction() as session:
        payment = session.scalar(select(Payment).where(Payment.external_id == found.payment_external_id))
    if payment is not None and payment.cancel_reason == "returned":
        return
    before = f"{row.status} {money.to_text(row.amount_kopecks)}" if row else "—"
    theirs = f"{found.status} {money.to_text(found.amount_kopecks)}"
    if row is not None and row.status == "pending":
        refund_id = row.id
        after = _repair(report, lambda: refunds.settle(refund_id).servers, ours)
    else:
        after = _repair(report, lambda: billing.settle_external(found.payment_external_id).servers, ours)
    repaired = after is not None and after.status == found.status
    payment_id = payment.id if payment else None
    report.differences.append(Difference("refund", found.external_id, payment_id, before, theirs, repaired))


_Row = TypeVar("_Row", Payment, Refund)


def _repair(report: Report, door: Callable[[], frozenset[int]], again: Callable[[], _Row | None]) -> _Row | None:
    """Goes through one of the two doors; returns our row as it is afterwards."""
    with contextlib.suppress(KrotRayError):  # what it is about stays a difference
        report.servers |= door()
    return again()


def _look_for_the_rest(report: Report, listed: set[str]) -> None:
    """Ours that YooKassa's list does not hold: made at its edge, or not there at all."""
    window = (Payment.created_at >= report.since, Payment.created_at < report.until)
    with transaction() as session:
        payments = session.scalars(select(Payment).where(*window, Payment.external_id.not_in(listed))).all()
        back = session.scalars(
            select(Refund).where(
                Refund.created_at >= report.since,
                Refund.created_at < report.until,
                Refund.external_id.not_in(listed),
            )
        ).all()
    for payment in payments:
        assert payment.external_id is not None  # noqa: S101 - NULL is in no list and out of none; for the type checker
        try:
            _compare_payment(report, yookassa.fetch(payment.external_id))
        except GatewayNotFound:
            state = _state(payment)
            report.differences.append(Difference("unknown there", payment.external_id, payment.id, state, "—"))
    for refund in back:
        assert refund.external_id is not None  # noqa: S101 - likewise
        try:
            _compare_refund(report, yookassa.fetch_refund(refund.external_id))
        except GatewayNotFound:
            state = f"refund {refund.status} {money.to_text(refund.amount_kopecks)}"
            report.differences.append(Difference("unknown there", refund.external_id, refund.payment_id, state, "—"))


def _state(payment: Payment) -> str:
    back = f", {money.to_text(payment.refunded_kopecks)} back" if payment.refunded_kopecks else ""
    flag = f", flagged: {payment.flag_reason}" if payment.flag_reason else ""
    return f"{payment.status} {money.to_text(payment.amount_kopecks)} {payment.currency}{back}{flag}"


def _theirs(found: Found) -> str:
    back = f", {money.to_text(found.refunded_kopecks)} back" if found.refunded_kopecks else ""
    return f"{found.status} {money.to_text(found.amount_kopecks)} {found.currency}{back}"


def _tell(report: Report) -> None:
    lines = [
        f"{one.what}: {one.payment_id or one.external_id}: {one.ours} / YooKassa: {one.theirs}"
        for one in report.open[:MOST_LINES]
    ]
    data = {"lines": lines, "more": len(report.open) - len(lines)}
    now = clock.now()
    with transaction() as session:
        notices.tell_admins(session, kind="reconciliation", key=f"reconciliation:{now.date()}", data=data, now=now)
