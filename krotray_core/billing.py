"""Money: payments are started here, and `settle` is the one door through which they count.

A webhook, a "check payment" button and the sweep are only hints that call the same door; it asks YooKassa and applies what it
hears exactly once.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from krotray_core import clock, money, plans, settings, subscriptions, yookassa
from krotray_core.db import transaction
from krotray_core.errors import GatewayDenied, GatewayError, NotFound
from krotray_core.models import Payment
from krotray_core.yookassa import Found

log = logging.getLogger(__name__)

PAYMENT_METHOD_TYPES = {"sbp": "sbp", "card": "bank_card"}
SWEEP_BATCH = 200

# The first request goes out right after the row is written; until then the sweep keeps its hands off.
CREATION_GRACE = timedelta(seconds=20)
# YooKassa remembers an Idempotence-Key for 24 hours; repeating later would make a second payment.
KEY_LIFETIME = timedelta(hours=23)
# An unpaid payment lives one hour there; until then the payer may pay at any moment.
PAYABLE = timedelta(minutes=75)


@dataclass(frozen=True, slots=True)
class Settled:
    """A payment as it stands after a look at YooKassa; `servers` want a converge."""

    payment: Payment
    servers: frozenset[int] = frozenset()


def start(user_id: int, plan_code: str, method: str) -> Payment:
    """A new payment of this user, with the `confirmation_url` to pay at.

    Raises UnknownPlan, UnknownMethod; GatewayError when YooKassa refuses; GatewayUnavailable when it is away. In the last
    case the payment stays: the sweep repeats the request with the same key.
    """
    plan = plans.find(plan_code)
    plans.check_method(method)
    now = clock.now()
    payment = Payment(
        id=uuid.uuid4(),
        user_id=user_id,
        status="pending",
        plan_code=plan.code,
        months=plan.months,
        days=plan.days,
        amount_kopecks=plan.amount_kopecks,
        currency=plans.CURRENCY,
        method=method,
        created_at=now,
        next_check_at=now + CREATION_GRACE,
    )
    payment.request = {
        "amount": {"value": money.to_text(plan.amount_kopecks), "currency": plans.CURRENCY},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": settings.get().payment_return_url},
        "description": f"KrotRay, {plan.days} дней",
        "metadata": {"payment_id": str(payment.id)},
        "payment_method_data": {"type": PAYMENT_METHOD_TYPES[method]},
    }
    with transaction() as session:
        session.add(payment)
    try:
        found = yookassa.create(payment.request, str(payment.id))
    except GatewayError as error:
        log.warning("payment %s was refused at creation: %s", payment.id, error)
        _cancel(payment.id, "not_created")
        raise
    return _apply(payment.id, found).payment


def settle(payment_id: UUID) -> Settled:
    """Asks YooKassa about one of our payments and applies the answer, once however often it is called.

    Raises NotFound; GatewayUnavailable (try again), GatewayError.
    """
    payment = find(payment_id)
    if payment.status in ("succeeded", "refunded"):
        return Settled(payment)
    if payment.external_id is not None:
        return _apply(payment.id, yookassa.fetch(payment.external_id))
    return _create_again(payment)


def settle_external(external_id: str) -> Settled:
    """The same, by YooKassa's id: for a webhook that came before we had stored that id. Raises as `settle` does."""
    found = yookassa.fetch(external_id)
    try:
        payment_id = UUID(found.payment_id or "")
    except ValueError:
        raise NotFound("a payment at YooKassa that did not come from here") from None
    return _apply(payment_id, found)


def note_hint(external_id: str, ours: UUID | None = None) -> UUID | None:
    """Something may have happened to a payment: the next sweep asks about it, also when we believed it dead.

    `external_id` is YooKassa's id; `ours`, if the notification names it, finds a payment whose external id is not stored yet.
    Returns our id of it, or None where we know no such payment.
    """
    known = or_(Payment.external_id == external_id, and_(Payment.id == ours, Payment.external_id.is_(None)))
    with transaction() as session:
        payment = session.scalars(select(Payment).where(known).with_for_update()).first()
        if payment is None:
            return None
        payment.next_check_at = payment.created_at  # before all that merely wait for their turn
        if payment.status == "canceled":
            payment.status = "pending"
        return payment.id


def claim_open() -> list[UUID]:
    """Payments without an end that it is time to ask about, oldest hint first; each is claimed until the next sweep or longer."""
    now = clock.now()
    with transaction() as session:
        claimed = session.scalars(
            select(Payment)
            .where(Payment.status == "pending", Payment.flagged_at.is_(None), Payment.next_check_at <= now)
            .order_by(Payment.next_check_at)
            .limit(SWEEP_BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        for payment in claimed:
            payment.next_check_at = now + _pause(now - payment.created_at)
        return [payment.id for payment in claimed]


def _pause(age: timedelta) -> timedelta:
    """Every sweep while the payment can still be paid, then less and less often."""
    return timedelta(seconds=settings.get().settle_sweep_seconds / 2) if age < PAYABLE else age / 20


def find(payment_id: UUID) -> Payment:
    """The payment with this id of ours. Raises NotFound."""
    with transaction() as session:
        payment = session.get(Payment, payment_id)
    if payment is None:
        raise NotFound("no such payment")
    return payment


def of_user(user_id: int, payment_id: UUID) -> Payment:
    """A payment of this user. Raises NotFound, also for somebody else's."""
    payment = find(payment_id)
    if payment.user_id != user_id:
        raise NotFound("no such payment")
    return payment


def latest(*, status: str | None = None, flagged: bool = False, limit: int = 50) -> list[Payment]:
    """The newest payments, of one state or only the flagged ones if so wished."""
    statement = select(Payment).order_by(Payment.created_at.desc(), Payment.id).limit(limit)
    if status is not None:
        statement = statement.where(Payment.status == status)
    if flagged:
        statement = statement.where(Payment.flagged_at.is_not(None))
    with transaction() as session:
        return list(session.scalars(statement))


def _create_again(payment: Payment) -> Settled:
    """We never heard how the first request ended. The same key and body lead to the same payment at YooKassa."""
    if clock.now() - payment.created_at > KEY_LIFETIME:
        # Nobody was ever given an address to pay at. Should money have come all the same, the webhook still counts it.
        return Settled(_cancel(payment.id, "not_created"))
    try:
        found = yookassa.create(payment.request, str(payment.id))
    except GatewayDenied:
        raise  # says nothing about this payment: it waits until our login works again
    except GatewayError as error:
        log.warning("payment %s was refused at the second try: %s", payment.id, error)
        return Settled(_cancel(payment.id, "not_created"))
    return _apply(payment.id, found)


def _cancel(payment_id: UUID, reason: str) -> Payment:
    with transaction() as session:
        payment = session.get_one(Payment, payment_id, with_for_update=True)
        if payment.status == "pending" and payment.external_id is None:
            payment.status, payment.cancel_reason = "canceled", reason
        return payment


def _apply(payment_id: UUID, found: Found) -> Settled:
    """Brings our row in line with what YooKassa said, all in one transaction: the state, the days, the seat."""
    now = clock.now()
    with transaction() as session:
        payment = session.get(Payment, payment_id, with_for_update=True)
        if payment is None:
            raise NotFound("no such payment")
        if payment.status in ("succeeded", "refunded"):
            return Settled(payment)
        if payment.external_id is None:
            payment.external_id = found.external_id
            payment.next_check_at = now
        if payment.external_id != found.external_id and found.status != "succeeded":
            return Settled(
                payment
            )  # somebody made another payment with our metadata; only money in it would concern us
        payment.confirmation_url = found.confirmation_url or payment.confirmation_url
        match found.status:
            case "succeeded":
                return Settled(payment, frozenset(_succeed(session, payment, found, now)))
            case "canceled" if payment.status == "pending":
                payment.status = "canceled"
                payment.cancel_reason = found.cancel_reason or "unknown"
        return Settled(payment)


def _succeed(session: Session, payment: Payment, found: Found, now: datetime) -> set[int]:
    """The money is there: it counts, unless it is not the money that was asked for."""
    fault = _mismatch(payment, found)
    if fault:
        log.error("payment %s is NOT honoured: %s", payment.id, fault)
        payment.flagged_at, payment.flag_reason = payment.flagged_at or now, fault
        return set()
    payment.flagged_at = payment.flag_reason = payment.cancel_reason = None
    payment.paid_at = found.captured_at or now
    if found.refunded_kopecks >= payment.amount_kopecks:  # paid and given back before we ever counted it
        payment.status = "refunded"
        return set()
    payment.status = "succeeded"
    return subscriptions.extend(session, payment.user_id, days=payment.days, months=payment.months, now=now).servers


def _mismatch(payment: Payment, found: Found) -> str | None:
    """What keeps this success from being honoured, if anything."""
    ours = settings.get().yookassa_shop_id
    checks = (
        (found.external_id, payment.external_id, "YooKassa's id"),
        (found.payment_id, str(payment.id), "metadata.payment_id"),
        (found.amount_kopecks, payment.amount_kopecks, "amount in kopecks"),
        (found.currency, payment.currency, "currency"),
        (found.shop_id, ours, "shop"),
        (found.paid, True, "paid"),
    )
    return "; ".join(f"{what}: {said}, not {wanted}" for said, wanted, what in checks if said != wanted) or None
