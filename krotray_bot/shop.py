"""The purchase in the chat: tariff, way to pay, payment, and how it ended. From visits to replies over core verbs."""

from __future__ import annotations

from uuid import UUID

from krotray_bot import screens
from krotray_bot.bills import Bills
from krotray_bot.checks import Checks
from krotray_bot.visit import Reply, Visit
from krotray_core import billing, cabinet, checkout, clock, plans, settings
from krotray_core.cabinet import Cabinet
from krotray_core.checkout import Noted
from krotray_core.errors import (
    EmailInvalid,
    EmailRequired,
    Invalid,
    NotFound,
    TooManyOpenPayments,
    UnknownPlan,
)
from krotray_core.models import Payment, Plan
from krotray_tasks import money


def tariffs(visit: Visit, *, changed: bool = False) -> Reply:
    """What is on sale; `changed` when it is not what the person pressed on."""
    return Reply(screens.tariffs(visit.words, plans.on_sale(), changed=changed))


def methods(visit: Visit, code: str, seen: str) -> Reply:
    """How to pay for a tariff. Raises UnknownPlan when it is not sold as it was seen."""
    return Reply(screens.methods(visit.words, _as_seen(code, seen)))


def pay(visit: Visit, code: str, seen: str, method: str, bills: Bills) -> Reply:
    """Where to pay, or that it will stand here in a moment. Handled twice (two taps, a crash in between) it leads to one address.

    Raises as `checkout.start` does.
    """
    noted = _noted(visit, code, seen, method)
    if noted.payment.confirmation_url:
        return Reply(screens.to_pay(visit.words, noted.payment))
    again = f"pay:{code}:{seen}:{method}"
    bill = bills.ask(noted, visit.chat_id, visit.words, again)
    if bill.done.is_set():
        return Reply(screens.to_pay(visit.words, bill.outcome()))
    return Reply(screens.making_bill(visit.words, again), shown=lambda message_id: bills.show_in(bill, message_id))


def check(visit: Visit, payment_id: str, checks: Checks) -> Reply:
    """ "I have paid": has a worker ask YooKassa soon; what it hears will stand here in a moment. Raises NotFound."""
    user = visit.user()
    payment = billing.of_user(user.id, _id(payment_id))
    if payment.status == "pending" and payment.flagged_at is None:
        money.check(payment)
        if visit.message_id is not None:
            checks.watch(payment, visit.chat_id, visit.message_id, visit.words)
        return Reply(toast=visit.words.checking)
    return Reply(screens.checked(visit.words, payment, cabinet.of_user(user.id), clock.now()))


def way_on(visit: Visit, error: Invalid | TooManyOpenPayments) -> Reply:
    """What somebody sees who cannot have what they asked for in this way."""
    match error:
        case EmailRequired():
            return Reply(screens.ask_email(visit.words, settings.get().receipt_consent))
        case EmailInvalid():
            return Reply(screens.email_wrong(visit.words))
        case TooManyOpenPayments():
            return Reply(screens.too_many_open(visit.words, payable(cabinet.of_user(visit.user().id))))
        case _:  # a tariff withdrawn or sold on other terms by now, or a way to pay that we no longer offer
            return tariffs(visit, changed=isinstance(error, UnknownPlan))


def payable(seen: Cabinet) -> Payment | None:
    """The payment that somebody could still pay."""
    return billing.find(seen.payment_id) if seen.payment_id else None


def _noted(visit: Visit, code: str, seen: str, method: str) -> Noted:
    """Raises UnknownPlan when the tariff is not sold as it was seen, unless its payment was begun before that."""
    user = visit.user()
    try:
        plan = _as_seen(code, seen)
    except UnknownPlan:
        begun = payable(cabinet.of_user(user.id))
        if begun is None or not _is_of(begun, code, seen, method):
            raise
        return Noted(begun, new=False)
    noted = checkout.note(user.id, plan.code, method)
    if screens.terms(noted.payment) != seen:  # changed between these two lines: nobody is sent to pay it
        raise UnknownPlan("the tariff has just changed")
    return noted


def _as_seen(code: str, seen: str) -> Plan:
    plan = plans.find(code)
    if screens.terms(plan) != seen:
        raise UnknownPlan("not sold at this price or length any more")
    return plan


def _is_of(begun: Payment, code: str, seen: str, method: str) -> bool:
    """Whether a payment came from this very button, and there is time left to pay it."""
    same = (begun.plan_code, screens.terms(begun), begun.method) == (code, seen, method)
    return same and begun.confirmation_url is not None and clock.now() - begun.created_at < checkout.STILL_PAYABLE


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("no such payment") from None
