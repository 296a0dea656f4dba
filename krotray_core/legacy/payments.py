"""The payments of the old service: history, and those that may still be paid. They never add days a second time.

A payment that had counted there has its opening line in the ledger and no days. One that waits is taken over waiting: YooKassa is
asked, and what it says of amount, currency and shop decides (our id is not in its metadata, so that is not compared).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from krotray_core import billing, yookassa
from krotray_core.legacy import rows
from krotray_core.legacy.report import Report
from krotray_core.legacy.rows import OldPayment
from krotray_core.legacy.values import Unfit
from krotray_core.models import Payment

# Ours of a payment of theirs: the same at every run.
NAMESPACE = UUID("b8b7c4d0-6a55-5f0c-9d1e-6b0a3f4e2c71")
# Where the old database does not say when. Not now: nobody earned all that today, and YooKassa need not be asked about it.
UNKNOWN = datetime(2000, 1, 1, tzinfo=UTC)
# YooKassa lets an unpaid payment run out after an hour; with all delays nobody pays one that is older than this.
PAYABLE = timedelta(days=1)
DAYS_A_MONTH = 30


@dataclass(slots=True)
class Batch:
    """What a batch of rows comes to: new rows of ours, and rows of ours that have come to an end there since."""

    new: list[dict[str, Any]] = field(default_factory=list)
    ended: list[tuple[UUID, str, datetime]] = field(default_factory=list)


class Planner:
    """Goes from batch to batch. `ids`: which of our users an old user id means; `days` of a tariff by its months."""

    def __init__(self, ids: Mapping[int, int], days: Mapping[int, int], now: datetime, report: Report) -> None:
        self._ids, self._days, self._now, self._report = ids, days, now, report
        self._notes: Counter[str] = Counter()
        # Hashes of ids and external ids, not the texts: there may be millions.
        self._seen: set[int] = set()

    def batch(
        self,
        given: Sequence[Mapping[str, Any]],
        known: Callable[[Sequence[UUID], Sequence[str]], Sequence[Payment]],
    ) -> Batch:
        """Plans these rows. `known` finds payments of ours by their ids and external ids."""
        read: list[OldPayment] = []
        for row in given:
            self._report.count("payments", "read")
            try:
                payment = rows.payment(dict(row))
            except Unfit as fault:
                self._report.refuse("payments", rows.label(dict(row)), str(fault))
                continue
            if payment.user_id in self._ids:
                read.append(payment)
            else:
                reason = f"there is no user {payment.user_id}, or none that is taken"
                self._report.refuse("payments", payment.label, reason)
        found = known([_id(one) for one in read], [one.external_id for one in read if one.external_id])
        by_id = {payment.id: payment for payment in found}
        by_external = {payment.external_id: payment for payment in found if payment.external_id}
        result = Batch()
        for one in read:
            self._one(one, by_id, by_external, result)
        return result

    def _one(
        self,
        one: OldPayment,
        by_id: Mapping[UUID, Payment],
        by_external: Mapping[str, Payment],
        result: Batch,
    ) -> None:
        ours = by_id.get(_id(one))
        twin = by_external.get(one.external_id) if one.external_id else None
        if not self._first(f"id {one.identity}"):
            self._report.refuse("payments", one.label, "the same id once more")
        elif twin and twin is not ours:
            self._report.refuse("payments", one.label, f"its external id belongs to payment {twin.id} here")
        elif one.external_id and not self._first(f"external {one.external_id}"):
            self._report.refuse("payments", one.label, "the same external id once more")
        elif ours is not None:
            self._again(one, ours, result)
        else:
            result.new.append(self._new(one))
            self._report.count("payments", "added")

    def _first(self, name: str) -> bool:
        new = hash(name) not in self._seen
        self._seen.add(hash(name))
        return new

    def _again(self, one: OldPayment, ours: Payment, result: Batch) -> None:
        waits = ours.status in ("pending", "canceled") and ours.flagged_at is None
        if (ours.amount_kopecks, ours.user_id) != (one.kopecks, self._ids[one.user_id]):
            self._report.refuse("payments", one.label, f"known here as {ours.id}, with another amount or person")
        elif one.status == "succeeded" and waits and ours.cancel_reason not in billing.EXCUSED:
            # Counted there: its days are in the end that was taken over.
            result.ended.append((ours.id, "succeeded", one.paid_at or self._now))
            self._report.count("payments", "changed")
        elif one.status == "canceled" and ours.status == "pending" and ours.flagged_at is None:
            result.ended.append((ours.id, "canceled", self._now))
            self._report.count("payments", "changed")
        else:
            self._report.count("payments", "same")

    def _new(self, one: OldPayment) -> dict[str, Any]:
        months = one.months or 1
        status, why = self._status(one)
        counted = status in billing.COUNTED
        if one.created_at is None:
            self._notes["payments of unknown date (dated 2000-01-01)"] += 1
        if one.months is None:
            self._notes["payments without tariff_months (kept as one month)"] += 1
        if one.other_method:
            self._notes["payments by another method (kept as card)"] += 1
        return {
            "id": _id(one),
            "user_id": self._ids[one.user_id],
            "external_id": one.external_id,
            "status": status,
            "plan_code": f"{months}m",
            "months": months,
            "days": self._days.get(months, months * DAYS_A_MONTH),
            "amount_kopecks": one.kopecks,
            "refunded_kopecks": one.kopecks if status == "refunded" else 0,
            "currency": "RUB",
            "method": one.method,
            "request": {billing.IMPORTED: one.label},
            "cancel_reason": why,
            "next_check_at": self._now,
            "created_at": one.created_at or UNKNOWN,
            "paid_at": (one.paid_at or UNKNOWN) if counted else None,
        }

    def _status(self, one: OldPayment) -> tuple[str, str | None]:
        if one.status == "canceled":
            return "canceled", "unknown"
        if one.status != "pending":
            return one.status, None
        if one.external_id is None or not yookassa.ID.fullmatch(one.external_id):
            self._notes["waiting payments that YooKassa never made (kept as canceled)"] += 1
            return "canceled", "not_created"
        if one.created_at is not None and one.created_at < self._now - PAYABLE:
            self._notes["waiting payments older than a day (kept as canceled)"] += 1
            return "canceled", "expired_on_confirmation"
        if one.months is None:
            reason = "waits, but nobody knows for which tariff: kept as canceled; if it was paid, flask payments settle honours it"
            self._report.remark("changed", "payments", one.label, reason)
            return "canceled", "unknown"
        self._notes["waiting payments about which YooKassa is asked"] += 1
        return "pending", None

    def finish(self) -> None:
        """Writes the notes into the report."""
        for what, number in sorted(self._notes.items()):
            self._report.note(what, number)


def _id(one: OldPayment) -> UUID:
    return uuid5(NAMESPACE, one.identity)
