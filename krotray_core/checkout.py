"""The way to the till: a payment is made here, or an open one of the same kind is given back. `billing` counts it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from krotray_core import asking, billing, clock, ledger, money, plans, receipts, settings
from krotray_core.db import transaction
from krotray_core.errors import EmailRequired, GatewayDenied, GatewayError, TooManyOpenPayments
from krotray_core.models import Payment, Plan, User

PAYMENT_METHOD_TYPES = {"sbp": "sbp", "card": "bank_card"}

# Asking again for the same thing within this time gives the same payment.
SAME_AGAIN = timedelta(minutes=10)
# Who has this many open ones gets an older one of the same kind, as long as there is time left to pay it.
MOST_OPEN = 5
STILL_PAYABLE = timedelta(minutes=45)


@dataclass(frozen=True, slots=True)
class Noted:
    """A payment in our books; `new` while nobody can have asked YooKassa for it yet."""

    payment: Payment
    new: bool


def start(user_id: int, plan_code: str, method: str, email: str | None = None) -> Payment:
    """A payment of this user that can be paid at its `confirmation_url`: a new one, or one that was opened minutes ago.

    `email` is where the receipt goes, if the shop sends receipts; it is kept for the next time. Raises UnknownPlan, UnknownMethod,
    EmailRequired, EmailInvalid, TooManyOpenPayments; GatewayError when YooKassa refuses; GatewayUnavailable when it is away. In
    the last case the payment stays: asking again, or the sweep, repeats the request with the same key.
    """
    return make(note(user_id, plan_code, method, email))


def note(user_id: int, plan_code: str, method: str, email: str | None = None) -> Noted:
    """The first half of `start`, without YooKassa: the payment to go on with is in our books. Whoever falls over after it loses
    nothing: asking again gives the same one, and the sweep has it made.

    Raises UnknownPlan, UnknownMethod, EmailRequired, EmailInvalid, TooManyOpenPayments.
    """
    plan = plans.find(plan_code)
    plans.check_method(method)
    with ledger.acting("user"):
        return _open(user_id, plan, method, email)


def make(noted: Noted) -> Payment:
    """The second half: YooKassa is asked for it, unless it has been. May be called twice and at once.

    Raises GatewayError when YooKassa refuses; GatewayUnavailable when it is away, which may take `yookassa`'s deadlines.
    """
    payment = noted.payment
    if payment.confirmation_url:
        return payment
    with ledger.acting("user"):
        try:
            made = billing.create(payment).payment
        except GatewayDenied:  # nothing was made now; but an earlier request of the same payment may have been heard
            if noted.new:
                billing.cancel(payment.id, "not_created")
            raise
    if made.status == "canceled":
        raise GatewayError("YooKassa refused to make the payment")
    return made


def _open(user_id: int, plan: Plan, method: str, email: str | None) -> Noted:
    now = clock.now()
    with transaction() as session:
        # Two requests of one person wait for each other here.
        user = session.get_one(User, user_id, with_for_update={"key_share": True})
        address = _receipt_email(user, email)
        payment = _new(user_id, plan, method, address)
        same = _reusable(session, payment)
        if same:
            return Noted(same, new=False)
        session.add(payment)
        payment.created_at, payment.next_check_at = now, now + asking.CREATION_GRACE
        ledger.payment(session, payment, "created", now, note=f"{plan.code}, {method}")
    return Noted(payment, new=True)


def _receipt_email(user: User, email: str | None) -> str | None:
    if not receipts.required():
        return None
    if email is not None:
        user.receipt_email = receipts.check_email(email)
    if user.receipt_email is None:
        raise EmailRequired("an e-mail address for the receipt is needed")
    return user.receipt_email


def _reusable(session: Session, wanted: Payment) -> Payment | None:
    """The newest open payment that is the same to the letter. Raises TooManyOpenPayments when there is none, but many others."""
    now = clock.now()
    open_ones = session.scalars(
        select(Payment)
        .where(
            Payment.user_id == wanted.user_id,
            Payment.status == "pending",
            Payment.flagged_at.is_(None),
            Payment.created_at > now - billing.PAYABLE,
        )
        .order_by(Payment.created_at.desc())
    ).all()
    full = len(open_ones) >= MOST_OPEN
    oldest = now - (STILL_PAYABLE if full else SAME_AGAIN)
    for payment in open_ones:
        if payment.created_at > oldest and _terms(payment) == _terms(wanted):
            return payment
    if full:
        raise TooManyOpenPayments(f"{len(open_ones)} payments are open: pay one of them, or wait until they run out")
    return None


def _terms(payment: Payment) -> tuple[Any, ...]:
    """What is sold for how much, how it is paid, and the receipt: everything that YooKassa is told but the payment's own id."""
    request = {name: value for name, value in payment.request.items() if name != "metadata"}
    return payment.plan_code, payment.months, payment.days, payment.amount_kopecks, payment.method, request


def _new(user_id: int, plan: Plan, method: str, email: str | None) -> Payment:
    payment_id = uuid.uuid4()
    description = f"KrotRay, {plan.days} дн."
    request = {
        "amount": {"value": money.to_text(plan.amount_kopecks), "currency": plans.CURRENCY},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": settings.get().payment_return_url},
        "description": description,
        "metadata": {"payment_id": str(payment_id)},
        "payment_method_data": {"type": PAYMENT_METHOD_TYPES[method]},
    }
    if email is not None:
        request["receipt"] = receipts.make(email, description, plan.amount_kopecks, plans.CURRENCY)
    return Payment(
        id=payment_id,
        user_id=user_id,
        status="pending",
        plan_code=plan.code,
        months=plan.months,
        days=plan.days,
        amount_kopecks=plan.amount_kopecks,
        currency=plans.CURRENCY,
        method=method,
        request=request,
    )
