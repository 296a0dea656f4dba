"""Reconciliation: YooKassa's list of payments and refunds against ours. What is safe is set right, the rest goes to the admins.

Safe is whatever the two doors would have done anyway, had the hint not been lost: `billing.settle` and `refunds.settle` ask
YooKassa again and apply what it says.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute

from krotray_core import billing, clock, leases, money, notices, refunds, settings, yookassa
from krotray_core.db import transaction
from krotray_core.errors import GatewayNotFound, GatewayUnavailable, GatewayUnreadable, NotFound
from krotray_core.models import Mark, Payment, Refund
from krotray_core.yookassa import Found, FoundRefund

log = logging.getLogger(__name__)

LEASE = "reconciliation"
# A run that dies is taken up again after this long.
RUN = timedelta(minutes=30)
# Each run looks that much further back: what was on its way yesterday has arrived today.
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
    """Compares what is new, unless that has been done within the last period, and tells the admins what is left open.

    It looks back over the days since the last run that came to its end, and some more. One that could not ask for everything
    does not count: the next call tries again.
    """
    run = secrets.token_hex(8)
    if not leases.take(LEASE, run, RUN):
        return None
    now, period = clock.now(), timedelta(seconds=settings.get().reconcile_seconds)
    try:
        report = compare(min(now - period, _last_complete() or now) - OVERLAP)
    except BaseException:
        leases.give_back(LEASE, run)
        raise
    _tell(report)
    if report.incomplete:
        log.warning("reconciliation will be tried again: %s", report.incomplete)
        leases.give_back(LEASE, run)
    else:
        _complete(report.until)
        leases.take(LEASE, run, period)  # nobody holds this name any more: it stays taken until the next period
    return report


def _last_complete() -> datetime | None:
    with transaction() as session:
        return session.scalar(select(Mark.at).where(Mark.name == LEASE))


def _complete(until: datetime) -> None:
    statement = insert(Mark).values(name=LEASE, at=until)
    with transaction() as session:
        session.execute(statement.on_conflict_do_update(index_elements=[Mark.name], set_={"at": until}))


def compare(since: datetime, until: datetime | None = None) -> Report:
    """Compares all payments and refunds made from `since` up to `until` (aware), by default a minute ago: what is being made at
    this moment is not a difference. Raises GatewayDenied when YooKassa does not let us in.
    """
    report = Report(since, until or clock.now() - timedelta(minutes=1))
    listed = set[str]()
    for found in _items(report, yookassa.payments_between(report.since, report.until)):
        report.payments += 1
        listed.add(found.external_id)
        _compare_payment(report, found)
    for refund in _items(report, yookassa.refunds_between(report.since, report.until)):
        report.refunds += 1
        listed.add(refund.external_id)
        _compare_refund(report, refund)
    if not report.incomplete:
        _look_for_the_rest(report, listed)
    return report


def _items(report: Report, items: Iterator[_Item]) -> list[_Item]:
    """All that can be read; what cannot is a difference, and a list without its end makes the report incomplete."""
    read: list[_Item] = []
    try:
        for item in items:
            read.append(item)
    except GatewayUnreadable as error:
        report.differences.append(Difference("unreadable", None, None, "—", str(error)))
    except GatewayUnavailable as error:
        report.incomplete = str(error)
    return read


def _compare_payment(report: Report, listed: Found) -> None:
    if _payment_difference(listed) is None:
        return
    # The list is minutes old by now: what counts is what YooKassa says at this moment.
    found = _asked(report, lambda: yookassa.fetch(listed.external_id))
    before = _payment_difference(found) if found else None
    if found is None or before is None:
        return
    with _tried(report):
        report.servers |= billing.settle_external(found.external_id).servers
    report.differences.append(replace(before, repaired=_payment_difference(found) is None))


def _payment_difference(found: Found) -> Difference | None:
    payment = _ours(found)
    if payment is None:
        if found.status != "succeeded" or found.refunded_kopecks >= found.amount_kopecks:
            return None
        return Difference("unknown here", found.external_id, None, "—", _theirs(found))
    what = _disagreement(payment, found)
    return Difference(what, found.external_id, payment.id, _state(payment), _theirs(found)) if what else None


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
    paid = found.status == "succeeded"
    if payment.external_id != found.external_id:
        return "paid a second time" if paid and found.refunded_kopecks < found.amount_kopecks else None
    if payment.cancel_reason in billing.EXCUSED:
        return None
    if (payment.amount_kopecks, payment.currency) != (found.amount_kopecks, found.currency):
        return "amount"
    counted = payment.status in billing.COUNTED
    if counted != paid or (found.status == "canceled" and payment.status != "canceled"):
        return "state"
    return "refunded" if counted and payment.refunded_kopecks != found.refunded_kopecks else None


def _compare_refund(report: Report, listed: FoundRefund) -> None:
    if listed.status == "pending" and _our_refund(listed) is None:
        # By the time the bank has made up its mind it may be too old for this list.
        report.servers |= refunds.note(listed)
        return
    if _refund_difference(listed) is None:
        return
    found = _asked(report, lambda: yookassa.fetch_refund(listed.external_id))
    before = _refund_difference(found) if found else None
    if found is None or before is None:
        return
    row = _our_refund(found)
    with _tried(report):
        if row is not None and row.status == "pending":
            report.servers |= refunds.settle(row.id).servers
        else:
            report.servers |= billing.settle_external(found.payment_external_id).servers
    report.differences.append(replace(before, repaired=_refund_difference(found) is None))


def _our_refund(found: FoundRefund) -> Refund | None:
    with transaction() as session:
        return session.scalar(select(Refund).where(Refund.external_id == found.external_id))


def _refund_difference(found: FoundRefund) -> Difference | None:
    row = _our_refund(found)
    if row is not None and (row.status, row.amount_kopecks) == (found.status, found.amount_kopecks):
        return None
    if row is None and found.status != "succeeded":
        return None  # made in the cabinet, and it has not given anything back
    with transaction() as session:
        payment = session.scalar(select(Payment).where(Payment.external_id == found.payment_external_id))
    if payment is not None and (payment.cancel_reason in billing.EXCUSED or payment.status == "refunded"):
        return None  # all of it went back, as our books have it
    ours = f"{row.status} {money.to_text(row.amount_kopecks)}" if row else "—"
    theirs = f"{found.status} {money.to_text(found.amount_kopecks)}"
    return Difference("refund", found.external_id, payment.id if payment else None, ours, theirs)


def _asked(report: Report, ask: Callable[[], _Item]) -> _Item | None:
    with _tried(report):
        return ask()
    return None


@contextlib.contextmanager
def _tried(report: Report) -> Iterator[None]:
    """A look at one thing: when YooKassa does not answer, the others still get theirs."""
    try:
        yield
    except GatewayUnavailable as error:
        report.incomplete = str(error)
    except (GatewayNotFound, NotFound):
        pass  # what it is about stays a difference


def _look_for_the_rest(report: Report, listed: set[str]) -> None:
    """Ours that YooKassa's list does not hold: made at its edge, or not there at all."""

    def look_for(kind: type[Payment | Refund], whose: InstrumentedAttribute[UUID], look: Callable[[str], None]) -> None:
        window = [kind.created_at >= report.since, kind.created_at < report.until, kind.external_id.is_not(None)]
        if kind is Payment:  # those of the service before us may have been made in another shop, or by other means
            window.append(~Payment.request.has_key(billing.IMPORTED))
        with transaction() as session:
            ours = session.execute(
                select(kind.external_id, whose, kind.status, kind.amount_kopecks).where(*window)
            ).all()
        for external_id, payment_id, status, kopecks in ours:
            if external_id is None or external_id in listed:
                continue
            with _tried(report):
                try:
                    look(external_id)
                except GatewayNotFound:
                    what = f"{kind.__name__.lower()} {status} {money.to_text(kopecks)}"
                    report.differences.append(Difference("unknown there", external_id, payment_id, what, "—"))

    look_for(Payment, Payment.id, lambda one: _compare_payment(report, yookassa.fetch(one)))
    look_for(Refund, Refund.payment_id, lambda one: _compare_refund(report, yookassa.fetch_refund(one)))


def _state(payment: Payment) -> str:
    back = f", {money.to_text(payment.refunded_kopecks)} back" if payment.refunded_kopecks else ""
    flag = f", flagged: {payment.flag_reason}" if payment.flag_reason else ""
    return f"{payment.status} {money.to_text(payment.amount_kopecks)} {payment.currency}{back}{flag}"


def _theirs(found: Found) -> str:
    back = f", {money.to_text(found.refunded_kopecks)} back" if found.refunded_kopecks else ""
    return f"{found.status} {money.to_text(found.amount_kopecks)} {found.currency}{back}"


def _tell(report: Report) -> None:
    """To the admins, unless they know: the same open differences are told once a day."""
    lines = [
        f"{one.what}: {one.payment_id or one.external_id or ''}: {one.ours} / YooKassa: {one.theirs}"
        for one in report.open
    ]
    if report.incomplete:
        lines.append(f"incomplete: {report.incomplete}")
    if not lines:
        return
    now = clock.now()
    key = f"reconciliation:{now.date()}:{uuid5(NAMESPACE_OID, chr(10).join(sorted(lines)))}"
    data = {"lines": lines[:MOST_LINES], "more": max(len(lines) - MOST_LINES, 0)}
    with transaction() as session:
        notices.tell_admins(session, kind="reconciliation", key=key, data=data, now=now)
