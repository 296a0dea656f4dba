"""Who is reminded that their days run out: 3 days before, 1 day before, at the end and the day after, each once a period.

A period begins when days are given (paid, a present, an end set by an admin) and lasts until they are given again; a refund or a
wait for a place moves its end only. A reminder before the end is for periods that are longer than it looks ahead. Rows are noted
by a tick and, at the end, together with it; whether a reminder is (still) true is decided at the moment of sending.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Interval,
    ScalarSelect,
    String,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    values,
)
from sqlalchemy.orm import Session, aliased

from krotray_core import clock, notices
from krotray_core.db import transaction
from krotray_core.models import Entry, Notice, Subscription, User
from krotray_core.notices import Dropped, Later, News, Ready, Verdict
from krotray_core.prepared import Prepared, literals

BATCH = 500
DAY = timedelta(days=1)
# From when until when each is true, counted from the end. They do not overlap: whoever was away hears the present one only.
WINDOWS = {
    "ends_in_3_days": (-3 * DAY, -DAY),
    "ends_in_1_day": (-DAY, 0 * DAY),
    "ended": (0 * DAY, DAY),
    "ended_yesterday": (DAY, 2 * DAY),
}
# How long to leave alone somebody who waits for a place: their days stand still.
WHILE_WAITING = timedelta(minutes=15)
_GIVEN = ("paid", "granted", "set")


def note_due() -> int:
    """Notes the reminders before the end for everybody who has reached the time for one, in short transactions.

    Returns how many. May run twice at once, or be killed: what is noted is noted once, what is not is found the next time.
    """
    total = 0
    while True:
        now = clock.now()
        with transaction() as session:
            noted = notices.note_all(session, [_news(*row) for row in _due(session, now)], now)
        total += noted
        if noted < BATCH:
            return total


def note_ended(session: Session, subscription_ids: Collection[int], now: datetime) -> None:
    """Notes, together with the end of these subscriptions, that their people are told now and the day after."""
    _noting_ended().within(session, ids=list(subscription_ids), now=now)


@cache
def _noting_ended() -> Prepared:
    now = bindparam("now", type_=Subscription.expires_at.type)
    ended = (
        select(Subscription.id, Subscription.expires_at, User.telegram_id, _period().label("period"))
        .join(User, User.id == Subscription.user_id)
        .where(Subscription.id == any_(bindparam("ids", type_=ARRAY(BigInteger))))
        .order_by(Subscription.id)
        .subquery()
    )
    kinds = values(column("kind", Text), column("opens", Interval), column("closes", Interval), name="kinds")
    kinds = kinds.data([(kind, *WINDOWS[kind]) for kind in ("ended", "ended_yesterday")])
    data = func.jsonb_build_object("subscription", ended.c.id, "period", ended.c.period)
    due_at = func.greatest(ended.c.expires_at + cast(kinds.c.opens, Interval), now)
    key = _key(kinds.c.kind, ended.c.id, ended.c.period)
    found = select(ended.c.telegram_id, kinds.c.kind, key, data, now, due_at).join(kinds, true())
    return Prepared(
        "ended noted", notices.noting(found.where(now < ended.c.expires_at + cast(kinds.c.closes, Interval)))
    )


def look(kind: str, data: dict[str, Any], now: datetime) -> Verdict:
    """Whether a reminder is true now, with what its text needs."""
    with transaction() as session:
        row = session.execute(
            select(Subscription, _period(), _last_event()).where(Subscription.id == data["subscription"])
        ).one_or_none()
    if row is None:
        return Dropped("no subscription")
    subscription, period, last_event = row
    if period != data["period"]:
        return Dropped("renewed")
    if subscription.status == "revoked" or (subscription.status == "expired" and last_event == "refunded"):
        return Dropped("ended in another way")
    if subscription.waiting_since is not None:
        return Later(now + WHILE_WAITING)
    return _at_this_time(kind, subscription.expires_at, now)


def _at_this_time(kind: str, end: datetime, now: datetime) -> Verdict:
    begins, ends = WINDOWS[kind]
    if now < end + begins:
        return Later(end + begins)
    if now >= end + ends:
        return Dropped("too late")
    return Ready({"ends_at": end.isoformat(), "days_left": max(-((now - end) // DAY), 0)})


def _due(session: Session, now: datetime) -> Sequence[Any]:
    """Who has reached the time for a reminder before the end that is not noted yet; soonest end first."""
    period = _period()
    kind = case((Subscription.expires_at > now + DAY, "ends_in_3_days"), else_="ends_in_1_day")
    key = _key(kind, Subscription.id, period)
    # Who has just been told of so few days (of a present of one, say) need not be told at once that they are few. Who has got
    # fewer by an admin's hand was told nothing.
    giving = aliased(Entry)
    reach = case((Subscription.expires_at > now + DAY, literal(3 * DAY)), else_=literal(DAY))
    told = and_(
        or_(giving.ended_at.is_(None), giving.ends_at > giving.ended_at), giving.at + reach >= Subscription.expires_at
    )
    statement = (
        select(Subscription.id, literal(now), User.telegram_id, period, kind)
        .join(User, User.id == Subscription.user_id)
        .outerjoin(giving, giving.id == period)
        .where(
            # The partial index serves only the literal, not a bound parameter (see docs/adr/0005).
            Subscription.status == literal_column("'active'"),
            Subscription.expires_at > now,
            Subscription.expires_at <= now + 3 * DAY,
            Subscription.waiting_since.is_(None),
            User.unreachable_since.is_(None),
            or_(giving.id.is_(None), ~told),
            ~select(Notice.id).where(Notice.key == key).exists(),
        )
        .order_by(Subscription.expires_at, Subscription.id)
        .limit(BATCH)
    )
    return session.execute(statement).all()


def _key(kind: ColumnElement[str], subscription_id: Any, period: ColumnElement[int]) -> ColumnElement[str]:
    """The same as in `_news`."""
    return func.concat(kind, ":", cast(subscription_id, String), ":", cast(period, String))


def _news(subscription_id: int, due_at: datetime, telegram_id: int, period: int, kind: str) -> News:
    data = {"subscription": subscription_id, "period": period}
    return News(telegram_id, kind, f"{kind}:{subscription_id}:{period}", data, due_at)


def _period() -> ScalarSelect[int]:
    """The line of the ledger that gave the present days, 0 where there is none."""
    given = select(func.coalesce(func.max(Entry.id), literal_column("0", BigInteger)))
    return given.where(*_lines(), Entry.event.in_(literals(_GIVEN))).correlate(Subscription).scalar_subquery()


def _last_event() -> ScalarSelect[str]:
    last = select(Entry.event).where(*_lines()).order_by(Entry.id.desc()).limit(1)
    return last.correlate(Subscription).scalar_subquery()


def _lines() -> tuple[Any, ...]:
    return Entry.subject == literal_column("'subscription'"), Entry.subscription_id == Subscription.id
