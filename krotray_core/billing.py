"""Money in: payments are started here, and `settle` is the one door through which they count.

A webhook, a "check payment" button and the sweep are only hints that call the same door; it asks YooKassa and applies what it
hears exactly once. Money that goes back is the affair of `refunds`, under the same row lock.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, exists, literal_column, or_, select, true, update
from sqlalchemy.orm import Session

from krotray_core import asking, clock, counts, ledger, notices, refunds, settings, subscriptions, yookassa
from krotray_core.db import reading, transaction
from krotray_core.errors import Conflict, GatewayDenied, GatewayError, NotFound
from krotray_core.models import Payment
from krotray_core.prepared import Prepared, literals
from krotray_core.yookassa import Found

log = logging.getLogger(__name__)

# An unpaid payment lives one hour there; until then the payer may pay at any moment.
PAYABLE = timedelta(minutes=75)
# "Check payment" asks YooKassa no more often than this, however often it is pressed.
BETWEEN_CHECKS = timedelta(seconds=3)

COUNTED = ("succeeded", "refunded")
# Why a payment with money in it at YooKassa may be cancelled here: it went back, or a person has dealt with it.
EXCUSED = ("returned", "closed")
TWICE = "paid a second time: "
# In `request` of a payment that another service made and `legacy` took over: its id there.
IMPORTED = "imported"
# Nobody was at the till any more.
RAN_OUT = ("expired_on_confirmation", "deal_expired")
# Who has no key after that long is told that it is on its way.
KEY_GRACE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Settled:
    """A payment as it stands after a look at YooKassa; `servers` want a converge."""

    payment: Payment
    servers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Hint:
    """What became of a notification: `known` tells whether we have a payment of that id, `look` which one to settle, if any."""

    known: bool
    look: UUID | None = None


def settle(payment_id: UUID, *, since: datetime | None = None, anew: bool = False) -> Settled:
    """Asks YooKassa about one of our payments and applies the answer, once however often it is called.

    One that has counted is asked about only with a hint that something has happened, or `anew`; any is left alone when it has
    been asked about since a moment (aware) after which the caller knows of no news. Raises NotFound; GatewayUnavailable (try
    again), GatewayError.
    """
    payment = find(payment_id)
    if payment.hinted_at is None and not anew:
        answered = since is not None and payment.asked_at is not None and payment.asked_at >= since
        if payment.status in COUNTED or answered:
            return Settled(payment)
    if payment.external_id is None:
        return create(payment)
    now = clock.now()
    return _apply(payment, yookassa.fetch(payment.external_id), hint=payment.hinted_at, asked_at=now)


def settle_external(external_id: str) -> Settled:
    """The same, by YooKassa's id: for a webhook that came before we had stored that id. Raises as `settle` does."""
    with transaction() as session:  # before YooKassa is asked: a hint that comes later must survive the answer
        known = session.scalar(select(Payment).where(Payment.external_id == external_id))
    found = yookassa.fetch(external_id)
    if known is not None:
        return _apply(known, found, hint=known.hinted_at)
    try:
        payment = find(UUID(found.payment_id or ""))
    except ValueError:
        raise NotFound("a payment at YooKassa that did not come from here") from None
    return _apply(payment, found, hint=None)


def create(payment: Payment) -> Settled:
    """Sends (or sends again) the request of a payment that has no external id yet: the same key and body, the same payment.

    Raises GatewayUnavailable (unknown what happened: the sweep repeats it), GatewayDenied; any other refusal cancels it.
    """
    if clock.now() - payment.created_at > asking.KEY_LIFETIME:
        # To send it again would make another one. Was it made? YooKassa's list knows; nobody was given an address, but a
        # webhook may have told us of money in it.
        made = _listed(payment)
        return _apply(payment, made, hint=payment.hinted_at) if made else Settled(cancel(payment.id, "not_created"))
    try:
        found = yookassa.create(payment.request, str(payment.id))
    except GatewayDenied:
        raise  # says nothing about this payment: it waits until our login works again
    except GatewayError as error:
        log.warning("payment %s was refused at creation: %s", payment.id, error)
        return Settled(cancel(payment.id, "not_created"))
    return _apply(payment, found, hint=None)


def _listed(payment: Payment) -> Found | None:
    """YooKassa's payment of this row, if it is in the list of the time in which it can have been made."""
    since = payment.created_at - timedelta(minutes=1)
    listed = yookassa.payments_between(since, payment.created_at + asking.KEY_LIFETIME + timedelta(hours=1))
    return next((found for found in listed if found.payment_id == str(payment.id)), None)


def cancel(payment_id: UUID, reason: str) -> Payment:
    """Gives up a payment that YooKassa never made; one that it did make is left as it is. Returns it as it stands."""
    with transaction() as session:
        payment = session.get_one(Payment, payment_id, with_for_update=True)
        if payment.status == "pending" and payment.external_id is None:
            payment.status, payment.cancel_reason = "canceled", reason
            ledger.payment(session, payment, "canceled", clock.now(), note=reason)
        if payment.external_id is None:
            payment.hinted_at = None
        return payment


def note_hint(external_id: str, event: str, ours: UUID | None = None) -> Hint:
    """A notification says that something has happened to a payment: the next sweep asks, also when we believed it dead.

    `external_id` is YooKassa's id; `ours`, if the notification names it, finds a payment whose external id is not stored yet.
    Copies of what we know already (a success that has counted, a cancellation) wake nobody.
    """
    row = _hinted(_known_by(event)).first(theirs=external_id, ours=ours, now=clock.now())
    if row is None:
        with reading() as session:
            known = select(exists().where(_named()))
            return Hint(known=bool(session.scalar(known, {"theirs": external_id, "ours": ours})))
    payment_id, stored = row
    # Without its external id it can only be found by the one in the notification.
    return Hint(known=True, look=payment_id) if stored else Hint(known=False)


def _known_by(event: str) -> tuple[str, ...]:
    """The states of a payment in which this notification is no news; what is said of a refund is news in any."""
    if not event.startswith("payment."):
        return ()
    return (*COUNTED, "canceled") if event == "payment.canceled" else COUNTED


def _named() -> ColumnElement[bool]:
    """What a notification is about: `theirs`, or `ours` as long as the external id is not stored."""
    ours = Payment.id == bindparam("ours", type_=Payment.id.type)
    theirs = Payment.external_id == bindparam("theirs", type_=Payment.external_id.type)
    return or_(theirs, and_(ours, Payment.external_id.is_(None)))


@cache
def _hinted(told: tuple[str, ...]) -> Prepared:
    """Notes a hint about a payment, unless it is in one of these states."""
    is_news = Payment.status.not_in(literals(told)) if told else true()
    # Before all that merely wait for their turn.
    values = {"hinted_at": bindparam("now", type_=Payment.hinted_at.type), "next_check_at": Payment.created_at}
    hinted = update(Payment).where(_named(), is_news).values(values).returning(Payment.id, Payment.external_id)
    return Prepared(f"hint unless {' or '.join(told) or 'nothing'}", hinted)


def claim_open() -> list[UUID]:
    """Payments that it is time to ask about, oldest hint first; each is claimed until the next sweep or longer."""
    is_open = or_(
        Payment.status == literal_column("'pending'"), Payment.hinted_at.is_not(None), Payment.flagged_at.is_not(None)
    )
    return asking.claim(Payment, is_open)


def wait_to_ask(payment: Payment) -> float | None:
    """When somebody presses "check payment": in how many seconds YooKassa may be asked about it; None if it need not be."""
    if payment.status != "pending" or payment.flagged_at is not None:
        return None
    if payment.asked_at is None:
        return 0.0
    return max((payment.asked_at + BETWEEN_CHECKS - clock.now()).total_seconds(), 0.0)


def find(payment_id: UUID) -> Payment:
    """The payment with this id of ours. Raises NotFound."""
    with reading() as session:
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


def latest(
    *, user_id: int | None = None, status: str | None = None, flagged: bool = False, limit: int = 50
) -> list[Payment]:
    """The newest payments, of one user, of one state or only the flagged ones if so wished."""
    statement = select(Payment).order_by(Payment.created_at.desc(), Payment.id).limit(limit)
    if user_id is not None:
        statement = statement.where(Payment.user_id == user_id)
    if status is not None:
        statement = statement.where(Payment.status == status)
    if flagged:
        statement = statement.where(Payment.flagged_at.is_not(None))
    with transaction() as session:
        return list(session.scalars(statement))


def _apply(seen: Payment, found: Found, *, hint: datetime | None, asked_at: datetime | None = None) -> Settled:
    """Brings our row in line with what YooKassa said, all in one transaction: the state, the days, the seat.

    `hint` is the one that was known before YooKassa was asked: it has been followed now.
    """
    back = refunds.look(seen, found)
    now = clock.now()
    with transaction() as session:
        payment = session.get_one(Payment, seen.id, with_for_update=True)
        if payment.external_id is None:
            payment.external_id = found.external_id
            payment.next_check_at = now
        if payment.external_id != found.external_id:
            _count_stranger(session, payment, found, now)
            return Settled(payment)
        payment.asked_at = asked_at or payment.asked_at
        if payment.hinted_at == hint:  # a later hint may know of something later
            payment.hinted_at = None
        servers: set[int] = set()
        if payment.status not in COUNTED:
            payment.confirmation_url = found.confirmation_url or payment.confirmation_url
            if found.status == "succeeded":
                servers |= _succeed(session, payment, found, now, hint)
            elif found.status == "canceled" and payment.status == "pending":
                payment.status, payment.cancel_reason = "canceled", found.cancel_reason or "unknown"
                ledger.payment(session, payment, "canceled", now, note=payment.cancel_reason)
                if not is_imported(payment):  # whoever made it has told them
                    kind = "payment_ran_out" if found.cancel_reason in RAN_OUT else "payment_canceled"
                    _tell(session, payment, kind, now)
        if payment.status in COUNTED:
            for refund in back:
                servers |= refunds.apply(session, payment, refund, now)
        return Settled(payment, frozenset(servers))


def _count_stranger(session: Session, payment: Payment, found: Found, now: datetime) -> None:
    """Another payment at YooKassa with our metadata: not ours to honour, but money in it is somebody's."""
    fault = f"{TWICE}{found.external_id}"
    if found.status == "succeeded" and found.refunded_kopecks < found.amount_kopecks:
        _flag(session, payment, fault, now)
    elif payment.flag_reason == fault:
        _unflag(session, payment, f"given back: {found.external_id}", now)


def _succeed(session: Session, payment: Payment, found: Found, now: datetime, hint: datetime | None) -> set[int]:
    """The money is there: it counts, unless it is not the money that was asked for."""
    fault = _mismatch(payment, found)
    if fault and found.refunded_kopecks >= found.amount_kopecks:  # it has gone back to where it came from
        if payment.cancel_reason not in EXCUSED:
            payment.status, payment.cancel_reason = "canceled", "returned"
            _unflag(session, payment, fault, now)
            _tell(session, payment, "payment_canceled", now)
        return set()
    if fault:
        _flag(session, payment, fault, now)
        return set()
    if payment.flag_reason and not payment.flag_reason.startswith(TWICE):
        payment.flagged_at = payment.flag_reason = None
    payment.cancel_reason = None
    payment.paid_at = found.captured_at or now
    payment.status = "succeeded"
    ledger.payment(session, payment, "succeeded", now, kopecks=payment.amount_kopecks)
    # Without a hint it has waited for us since the money was there.
    since = min(hint or payment.paid_at, now)
    counts.observe(session, "settle", now - since)
    changed = subscriptions.extend(
        session,
        payment.user_id,
        days=payment.days,
        months=payment.months,
        now=now,
        payment_id=payment.id,
        paid_since=since,
    )
    _tell(session, payment, "paid", now, later={"key_coming": now + KEY_GRACE})
    return changed.servers


def _tell(
    session: Session, payment: Payment, kind: str, now: datetime, *, later: dict[str, datetime] | None = None
) -> None:
    """This now, and each kind of `later` when its time comes."""
    reader, data = notices.reader(session, payment.user_id), {"payment_id": str(payment.id)}
    due = {kind: now} | (later or {})
    news = [notices.News(reader, one, f"{one}:{payment.id}", data, due_at) for one, due_at in due.items()]
    notices.note_all(session, news, now)


def close(payment_id: UUID, reason: str) -> Payment:
    """A person has dealt with a flagged payment: it waits for nobody any more; one that never counted is cancelled.

    Raises NotFound; Conflict for a payment that is not flagged.
    """
    now = clock.now()
    with transaction() as session:
        payment = session.get(Payment, payment_id, with_for_update=True)
        if payment is None:
            raise NotFound("no such payment")
        if payment.flagged_at is None:
            raise Conflict("this payment waits for nobody")
        if payment.status not in COUNTED:
            payment.status, payment.cancel_reason = "canceled", "closed"
        _unflag(session, payment, reason, now)
        return payment


def _flag(session: Session, payment: Payment, fault: str, now: datetime) -> None:
    """Money that we must not honour: a person has to look."""
    if payment.flag_reason == fault:
        return
    log.error("payment %s is NOT honoured: %s", payment.id, fault)
    payment.flagged_at, payment.flag_reason = payment.flagged_at or now, fault
    payment.next_check_at = now + asking.FLAGGED_PAUSE
    ledger.payment(session, payment, "flagged", now, note=fault)
    key = f"flagged:{uuid.uuid5(payment.id, fault)}"
    data = {"payment_id": str(payment.id), "reason": fault}
    notices.tell_admins(session, kind="payment_flagged", key=key, data=data, now=now)


def _unflag(session: Session, payment: Payment, note: str, now: datetime) -> None:
    payment.flagged_at = payment.flag_reason = None
    ledger.payment(session, payment, "canceled" if payment.status == "canceled" else "closed", now, note=note)


def is_imported(payment: Payment) -> bool:
    """Whether it was made by the service before us: YooKassa does not know it by our id."""
    return IMPORTED in payment.request


def _mismatch(payment: Payment, found: Found) -> str | None:
    """What keeps this success from being honoured, if anything."""
    ours = settings.get().yookassa_shop_id
    checks = (
        (found.external_id, payment.external_id, "YooKassa's id"),
        (found.payment_id, found.payment_id if is_imported(payment) else str(payment.id), "metadata.payment_id"),
        (found.amount_kopecks, payment.amount_kopecks, "amount in kopecks"),
        (found.currency, payment.currency, "currency"),
        (found.shop_id, ours, "shop"),
        (found.paid, True, "paid"),
    )
    return "; ".join(f"{what}: {said}, not {wanted}" for said, wanted, what in checks if said != wanted) or None
