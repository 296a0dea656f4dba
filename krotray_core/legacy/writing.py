"""A plan into the tables: everything in the caller's one transaction, many rows a statement, each with its line in the ledger."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from krotray_core import ledger, notices, placement, settings
from krotray_core.legacy.access import Access, Change, Opening
from krotray_core.legacy.fleet import Fleet, Place
from krotray_core.legacy.payments import Batch
from krotray_core.legacy.people import Matched
from krotray_core.models import Payment, Seat, Server, Subscription, User

AT_A_TIME = 1000
NOTE = "taken over from the old service"
# In the order in which everybody locks; nobody sells, expires or seats anybody while this goes on.
TABLES = "users, payments, subscriptions, seats, servers, ledger"
_Item = TypeVar("_Item")


def lock(session: Session) -> None:
    """Readers go on, writers wait; so does a second takeover. This may take minutes where all else takes milliseconds."""
    session.execute(text("SET LOCAL statement_timeout = '10min'"))
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    session.execute(text(f"LOCK TABLE {TABLES} IN SHARE ROW EXCLUSIVE MODE"))


def servers(session: Session, fleet: Fleet) -> set[int]:
    """Adds those that are new; `known` of each place is set afterwards. Returns the ids of the new ones."""
    added: set[int] = set()
    for place in fleet.places:
        if place.known is None:
            place.known = Server(
                name=place.name,
                host=place.host,
                grpc_port=place.grpc_port,
                inbound_tag=settings.get().xray_inbound_tag,
                vless_url_template=place.template,
                max_users=max(place.max_users, 1),
                active_users=0,
                enabled=place.enabled,
            )
            session.add(place.known)
            session.flush()
            added.add(place.known.id)
    return added


def people(session: Session, matched: Matched) -> None:
    """Makes room, gives everybody their id, and lets the sequence go on behind the last one."""
    sequence = func.pg_get_serial_sequence("users", "id")
    last = session.scalar(select(func.max(User.id))) or 0
    session.execute(select(func.setval(sequence, max(matched.last_id, last, 1))))
    _move(session, matched.moves)
    new = [
        {
            "id": person.id,
            "telegram_id": person.row.telegram_id,
            "username": person.row.username,
            "first_name": person.row.first_name,
        }
        | ({"created_at": person.row.created_at} if person.row.created_at else {})
        for person in matched.people
        if person.was is None
    ]
    for keys in ({"created_at"}, set[str]()):  # one form of row at a time
        for batch in in_batches([row for row in new if keys == row.keys() & {"created_at"}]):
            session.execute(insert(User).returning(User.id), batch)


def _move(session: Session, moves: Mapping[int, int]) -> None:
    """Gives people of whom only the name is known another id: by way of ids that nobody has, so that they may swap."""
    if not moves:
        return
    brought = session.execute(select(User.telegram_id, User.invited_by_id).where(User.invited_by_id.in_(moves))).all()
    session.execute(update(User).where(User.invited_by_id.in_(moves)).values(invited_by_id=None))
    for sign in (-1, 1):
        for old, new in moves.items():
            before, after = (old, -new) if sign < 0 else (-new, new)
            session.execute(
                update(User).where(User.id == before).values(id=after).execution_options(synchronize_session=False)
            )
    for telegram_id, inviter in brought:
        mine = update(User).where(User.telegram_id == telegram_id).values(invited_by_id=moves[inviter or 0])
        session.execute(mine.execution_options(synchronize_session=False))


def access(session: Session, planned: Access, now: datetime) -> None:
    """Subscriptions, their lines, and seats for those who run."""
    _forget_old_emails(session, planned, _open(session, planned.openings, now))
    seated = list(_change(session, planned.changes, now))
    ids = {one.user_id: one for one in planned.openings if one.place is not None}
    for batch in in_batches(sorted(ids)):
        rows = session.scalars(select(Subscription).where(Subscription.user_id.in_(batch))).all()
        seated += [(row, _id(ids[row.user_id].place)) for row in rows]
    placement.settle(session, seated)


def _open(session: Session, openings: Sequence[Opening], now: datetime) -> dict[int, int]:
    """Inserts them. Returns the subscription's id by that of its user."""
    made: dict[int, int] = {}
    for batch in in_batches(openings):
        values = [
            {
                "user_id": one.user_id,
                "status": one.status,
                "expires_at": one.expires_at,
                "uuid": one.key,
                "token": secrets.token_urlsafe(24),
                "tariff_months": one.months,
                "waiting_since": now if one.status == "active" and one.place is None else None,
            }
            for one in batch
        ]
        rows = session.execute(insert(Subscription).returning(Subscription.user_id, Subscription.id), values)
        ids = {row.user_id: row.id for row in rows}
        ledger.opened(session, Subscription, list(ids.values()), now, NOTE)
        made |= ids
        for one in batch:
            if one.told:
                key = f"key_changed:{ids[one.user_id]}:{now.isoformat()}"
                notices.tell_user(session, one.user_id, kind="key_changed", key=key, data={}, now=now)
    return made


def _forget_old_emails(session: Session, planned: Access, made: Mapping[int, int]) -> None:
    """Xray still has these keys under another e-mail, which has to go before the same key comes under ours."""
    gone = [(made[one.user_id], one) for one in planned.openings if one.old_email and one.place]
    for subscription_id, one in gone:
        _leave(session, subscription_id, one)
    for change in planned.changes:
        if change.old_email and change.place:
            _leave(session, change.held.id, change)


def _leave(session: Session, subscription_id: int, given: Opening | Change) -> None:
    key = given.key
    chair = postgresql.insert(Seat).values(
        subscription_id=subscription_id,
        server_id=_id(given.place),
        email=given.old_email,
        uuid=key,
        wanted=False,
        removed_at=func.now(),
        cut_off=True,
    )
    session.execute(chair.on_conflict_do_nothing(index_elements=[Seat.server_id, Seat.email]))


def _change(session: Session, changes: Sequence[Change], now: datetime) -> Iterator[tuple[Subscription, int]]:
    """Later ends and other keys, one by one; yields who gets a seat, and where (the id of a server)."""
    for one in changes:
        row = session.get_one(Subscription, one.held.id, with_for_update=True)
        if one.key is not None:
            row.uuid = one.key
            ledger.subscription(session, row, "key_rotated", now, ended_at=row.expires_at, note=NOTE)
        if one.expires_at is not None:
            ran = row.status == "active"
            row.expires_at, row.status = one.expires_at, "active"
            if not ran and one.place is None:
                row.waiting_since = now
            ledger.adopt_subscription(session, row, NOTE, now)
            if not ran and one.place is not None:
                yield row, _id(one.place)
        if one.held.server_id is not None and one.key is not None:
            placement.take(session, row, now)  # the seat that it has gets the other key


def payments(session: Session, batch: Batch, now: datetime) -> None:
    """History and what waits; what has ended there since is adopted as it ended."""
    if batch.new:
        session.execute(insert(Payment).returning(Payment.id), batch.new)
        ledger.opened(session, Payment, [row["id"] for row in batch.new], now, NOTE)
    for payment_id, status, at in batch.ended:
        row = session.get_one(Payment, payment_id, with_for_update=True)
        row.status, row.hinted_at = status, None
        row.paid_at, row.cancel_reason = (at, None) if status == "succeeded" else (None, "unknown")
        ledger.adopt_payment(session, row, NOTE, now)


def in_batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """AT_A_TIME of them at a time."""
    for start in range(0, len(items), AT_A_TIME):
        yield items[start : start + AT_A_TIME]


def _id(place: Place | None) -> int:
    if place is None or place.known is None:
        raise RuntimeError("a place that has not been written")
    return place.known.id
