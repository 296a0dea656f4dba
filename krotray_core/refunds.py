"""Money back: refunds that an admin starts here, and those that were made in YooKassa's own cabinet.

Whether one has happened is only ever known from YooKassa. Each takes its share of the payment's days once, under the payment's
row lock, in the transaction that notes it. A refund that fails is announced by nobody, so open ones are asked about by the sweep.
https://yookassa.ru/developers/payment-acceptance/after-the-payment/refunds
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import literal_column, select
from sqlalchemy.orm import Session

from krotray_core import asking, clock, ledger, money, notices, receipts, subscriptions, yookassa
from krotray_core.db import transaction
from krotray_core.errors import Conflict, GatewayDenied, GatewayError, GatewayUnavailable, Invalid, NotFound
from krotray_core.models import Payment, Refund, User
from krotray_core.yookassa import Found, FoundRefund

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
LONGEST_REASON = 250  # characters of `description`


@dataclass(frozen=True, slots=True)
class Returned:
    """A refund as it stands after a look at YooKassa; `servers` want a converge."""

    refund: Refund
    servers: frozenset[int] = frozenset()


def start(payment_id: UUID, amount_kopecks: int | None = None, *, reason: str | None = None) -> Returned:
    """Gives back money of a paid payment: this much (kopecks), by default all that is left of it.

    Raises NotFound; Conflict when there is nothing (or not as much) to give back, or when it is unknown how another refund of this
    payment ended; Invalid; GatewayError when YooKassa refuses. On GatewayUnavailable the refund stays and the sweep sees to it: it
    must not be started again.
    """
    if reason is not None and len(reason) > LONGEST_REASON:
        raise Invalid(f"the reason may have at most {LONGEST_REASON} characters")
    refund = _open(payment_id, amount_kopecks, reason)
    try:
        return _create(refund)
    except GatewayDenied:
        _cancel(refund.id, "not_created")
        raise


def settle(refund_id: UUID) -> Returned:
    """Asks YooKassa about one of our refunds and applies the answer, once however often it is called.

    Raises NotFound; GatewayUnavailable (try again), GatewayError.
    """
    refund = find(refund_id)
    if refund.status != "pending":
        return Returned(refund)
    if refund.external_id is None:
        return _create(refund)
    return _noted(refund, yookassa.fetch_refund(refund.external_id))


def look(payment: Payment, found: Found) -> Sequence[FoundRefund]:
    """The refunds of a payment at YooKassa, if one was announced or their sum is not the one that we know. Asks outside.

    Raises GatewayUnavailable, also while the list lags behind the sum: to give the days of money that has gone back, and take
    them later, would let somebody in for nothing.
    """
    if found.external_id != payment.external_id and payment.external_id is not None:
        return ()
    news = payment.hinted_at is not None and payment.paid_at is not None
    if found.refunded_kopecks == payment.refunded_kopecks and not news:
        return ()
    listed = yookassa.refunds_of(found.external_id)
    if sum(one.amount_kopecks for one in listed if one.status == "succeeded") < found.refunded_kopecks:
        raise GatewayUnavailable("YooKassa's list of refunds is behind the payment")
    return listed


def apply(session: Session, payment: Payment, found: FoundRefund, now: datetime) -> set[int]:
    """Brings our row of a refund in line with what YooKassa said. The payment is locked and has counted.

    Returns the servers that want a converge.
    """
    refund = _row_of(session, payment, found, now)
    if refund.status in ("succeeded", found.status):
        return set()
    if found.status == "canceled":
        _fail(session, payment, refund, found.cancel_reason or "unknown", now)
        return set()
    if found.status != "succeeded":
        return set()
    return _succeed(session, payment, refund, found, now)


def note(found: FoundRefund) -> frozenset[int]:
    """Takes up a refund of which nobody has told us, made in the cabinet and perhaps still with the bank: the sweep asks on.

    Nothing happens if its payment is none of ours or has not counted. Returns the servers that want a converge.
    """
    now = clock.now()
    with transaction() as session:
        theirs = select(Payment).where(Payment.external_id == found.payment_external_id, Payment.paid_at.is_not(None))
        payment = session.scalar(theirs.with_for_update())
        return frozenset(apply(session, payment, found, now)) if payment else frozenset()


def claim_open() -> list[UUID]:
    """Refunds without an end that it is time to ask about; each is claimed until the next sweep or longer."""
    return asking.claim(Refund, Refund.status == literal_column("'pending'"))


def find(refund_id: UUID) -> Refund:
    """The refund with this id of ours. Raises NotFound."""
    with transaction() as session:
        refund = session.get(Refund, refund_id)
    if refund is None:
        raise NotFound("no such refund")
    return refund


def of_payment(payment_id: UUID) -> list[Refund]:
    """All refunds of a payment, oldest first."""
    with transaction() as session:
        mine = select(Refund).where(Refund.payment_id == payment_id)
        return list(session.scalars(mine.order_by(Refund.created_at, Refund.id)))


def share(payment: Payment, refunded_kopecks: int) -> int:
    """How many seconds of a payment's days stand for this much of its money. All of the money stands for all of the days.

    Each refund takes the difference between two such shares, so that no rounding is lost however many there are.
    """
    return payment.days * DAY_SECONDS * refunded_kopecks // payment.amount_kopecks


def _open(payment_id: UUID, amount_kopecks: int | None, reason: str | None) -> Refund:
    now = clock.now()
    with transaction() as session:
        payment = session.get(Payment, payment_id, with_for_update=True)
        if payment is None:
            raise NotFound("no such payment")
        if payment.status == "refunded":
            raise Conflict("the payment has been refunded already")
        if payment.status != "succeeded":
            raise Conflict(f"only a paid payment can be refunded, this one is {payment.status}")
        on_the_way = select(Refund).where(Refund.payment_id == payment_id, Refund.status == "pending")
        waiting = session.scalars(on_the_way).all()
        if any(refund.external_id is None for refund in waiting):
            raise Conflict("another refund of this payment is still in doubt: wait until the sweep has settled it")
        left = payment.amount_kopecks - payment.refunded_kopecks - sum(refund.amount_kopecks for refund in waiting)
        amount = left if amount_kopecks is None else amount_kopecks
        if amount_kopecks is not None and amount_kopecks <= 0:
            raise Invalid("the amount must be more than nothing")
        if not 0 < amount <= left:
            raise Conflict(f"no more than {money.to_text(left)} {payment.currency} can still be refunded")
        refund_id = uuid.uuid4()
        refund = Refund(
            id=refund_id,
            payment_id=payment_id,
            status="pending",
            amount_kopecks=amount,
            request=_request(payment, refund_id, amount, reason),
            created_at=now,
            next_check_at=now + asking.CREATION_GRACE,
        )
        session.add(refund)
        ledger.refund(session, refund, payment.user_id, "created", now, note=reason)
    return refund


def _request(payment: Payment, refund_id: UUID, amount_kopecks: int, reason: str | None) -> dict[str, Any]:
    request: dict[str, Any] = {
        "payment_id": payment.external_id,
        "amount": {"value": money.to_text(amount_kopecks), "currency": payment.currency},
        "metadata": {"refund_id": str(refund_id)},
    }
    if reason:
        request["description"] = reason
    if "receipt" in payment.request:
        request["receipt"] = receipts.for_part(payment.request["receipt"], amount_kopecks)
    return request


def _create(refund: Refund) -> Returned:
    """Sends (or sends again) the request: the same key and body lead to the same refund at YooKassa."""
    assert refund.request is not None  # noqa: S101 - one without an external id has a request (a CHECK); for the type checker
    if clock.now() - refund.created_at > asking.KEY_LIFETIME:
        # To send it again would make another one. Was it made? YooKassa's list knows; only if not is it over.
        listed = yookassa.refunds_of(refund.request["payment_id"])
        made = next((one for one in listed if one.refund_id == str(refund.id)), None)
        return _noted(refund, made) if made else Returned(_cancel(refund.id, "not_created"))
    try:
        found = yookassa.create_refund(refund.request, str(refund.id))
    except GatewayDenied:
        raise  # says nothing about this refund: it waits until our login works again
    except GatewayError as error:
        log.warning("refund %s was refused: %s", refund.id, error)
        return Returned(_cancel(refund.id, "refused"))
    return _noted(refund, found)


def _cancel(refund_id: UUID, reason: str) -> Refund:
    now = clock.now()
    payment_id = find(refund_id).payment_id
    with transaction() as session:
        payment = session.get_one(Payment, payment_id, with_for_update=True)
        refund = session.get_one(Refund, refund_id)
        if refund.status == "pending" and refund.external_id is None:
            _fail(session, payment, refund, reason, now)
        return refund


def _noted(refund: Refund, found: FoundRefund) -> Returned:
    now = clock.now()
    with transaction() as session:
        payment = session.get_one(Payment, refund.payment_id, with_for_update=True)
        servers = apply(session, payment, found, now)
        mine = session.get_one(Refund, refund.id)
        if mine.status == "pending" and mine.external_id is None:  # it came without our mark and has a row of its own
            _fail(session, payment, mine, f"is refund {found.external_id}", now)
        return Returned(mine, frozenset(servers))


def _row_of(session: Session, payment: Payment, found: FoundRefund, now: datetime) -> Refund:
    """Our row of this refund: known by YooKassa's id, or by ours in its metadata; else it was made in the cabinet."""
    known = session.scalar(select(Refund).where(Refund.external_id == found.external_id))
    if known is not None:
        return known
    try:
        named = session.get(Refund, UUID(found.refund_id or ""))
    except ValueError:
        named = None
    if named is not None and named.payment_id == payment.id and named.external_id is None:
        named.external_id = found.external_id
        return named
    refund = Refund(
        id=uuid.uuid4(),
        payment_id=payment.id,
        external_id=found.external_id,
        status="pending",
        amount_kopecks=found.amount_kopecks,
        created_at=found.created_at or now,
        next_check_at=now,
    )
    session.add(refund)
    ledger.refund(session, refund, payment.user_id, "created", now, note="in YooKassa's cabinet")
    return refund


def _fail(session: Session, payment: Payment, refund: Refund, reason: str, now: datetime) -> None:
    refund.status, refund.cancel_reason = "canceled", reason
    ledger.refund(session, refund, payment.user_id, "canceled", now, note=reason)
    data = {"payment_id": str(payment.id), "amount_kopecks": refund.amount_kopecks, "reason": reason}
    notices.tell_admins(session, kind="refund_failed", key=f"refund_failed:{refund.id}", data=data, now=now)


def _succeed(session: Session, payment: Payment, refund: Refund, found: FoundRefund, now: datetime) -> set[int]:
    """The money has gone back: its share of the days goes too."""
    refund.amount_kopecks = found.amount_kopecks
    total = payment.refunded_kopecks + found.amount_kopecks
    if total > payment.amount_kopecks or found.currency != payment.currency:
        raise GatewayUnavailable(f"YooKassa's refunds of payment {payment.id} do not add up")
    seconds = share(payment, total) - share(payment, payment.refunded_kopecks)
    payment.refunded_kopecks = total
    if total == payment.amount_kopecks:
        payment.status = "refunded"
    refund.status, refund.cancel_reason, refund.taken_seconds = "succeeded", None, seconds
    ledger.refund(session, refund, payment.user_id, "succeeded", now)
    ledger.payment(session, payment, "refunded", now, kopecks=-found.amount_kopecks)
    changed = subscriptions.take_back(
        session, payment.user_id, seconds=seconds, now=now, payment_id=payment.id, refund_id=refund.id
    )
    ends_at = changed.subscription.expires_at if changed.subscription.status == "active" else None
    notices.note(
        session,
        telegram_id=session.get_one(User, payment.user_id).telegram_id,
        kind="refunded",
        key=f"refunded:{refund.id}",
        data={
            "amount_kopecks": found.amount_kopecks,
            "taken_seconds": seconds,
            "ends_at": ends_at.isoformat() if ends_at else None,
        },
        now=now,
    )
    return changed.servers
