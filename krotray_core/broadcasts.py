"""One message of the owner's to many people: stopped and gone on with at any moment, and nobody gets it twice.

The words live in one row; people's notices point to it. They are noted a few at a time, in the order of the users' ids, so that a
queue never holds more than some seconds' worth. `delivery` sends each at most once: an advertisement is better lost than doubled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select, true, update
from sqlalchemy.orm import Session

from krotray_core import clock, notices, quiet, settings, telegram_html
from krotray_core.db import transaction
from krotray_core.errors import Conflict, Invalid, NotFound
from krotray_core.models import Broadcast, Notice, Subscription, User
from krotray_core.notice_texts import BROADCAST
from krotray_core.notices import Dropped, News, Ready, Verdict

Segment = Literal["active", "expired", "all"]
SEGMENTS: tuple[Segment, ...] = ("active", "expired", "all")

# As many as are sent in some seconds.
BATCH = 200
# The same words to the same people within this time are a slip of the hand.
SAME_AGAIN = timedelta(days=1)
STOPPED = "stopped"
# How it stands in a row: taken by `stop`, or met by the sender afterwards, who drops what is not to go out any more.
HELD = (STOPPED, f"{notices.DROPPED}{STOPPED}")
# Written down before Telegram is asked. Whoever finds it afterwards does not know whether it went out.
ON_ITS_WAY = "on its way"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a broadcast has come. `left`: neither sent nor failed yet, among those who are to get it."""

    broadcast: Broadcast
    noted: int
    sent: int
    failed: int
    left: int

    @property
    def people(self) -> int:
        """How many it is for, as far as that is known."""
        return self.sent + self.failed + self.left

    @property
    def state(self) -> str:
        """running, stopped or done."""
        if self.broadcast.stopped_at is not None:
            return "stopped"
        return "running" if self.left or self.broadcast.noted_at is None else "done"


def check(text: str) -> str:
    """The words of a broadcast in their final form: Telegram's HTML, within Telegram's length. Raises Invalid."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").strip()
    telegram_html.check(text)
    return text


def size(segment: Segment) -> int:
    """How many people would get a message now."""
    with transaction() as session:
        return session.scalar(_members(segment, clock.now()).with_only_columns(func.count())) or 0


def start(text: str, segment: Segment, *, again: bool = False) -> Broadcast:
    """A new broadcast to everybody who belongs to the segment and can be reached; `step` and `delivery` do the rest.

    Raises Invalid; Conflict when the same words went to the same segment lately, unless `again`.
    """
    body = check(text)
    if segment not in SEGMENTS:
        raise Invalid(f"no such segment: {segment}")
    with transaction() as session:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext("broadcasts"))))
        lately = Broadcast.created_at > func.now() - SAME_AGAIN
        same = select(Broadcast.id).where(Broadcast.body == body, Broadcast.segment == segment, lately)
        known = session.scalar(same.order_by(Broadcast.id.desc()).limit(1))
        if known is not None and not again:
            raise Conflict(f"the same text went to the same people less than a day ago, as broadcast {known}")
        made = Broadcast(body=body, segment=segment)
        session.add(made)
        session.flush()
        session.refresh(made)
        return made


def step() -> int:
    """Notes the next people of the oldest broadcast that is not through, unless enough of them wait. Returns how many.

    Nothing in the quiet hours: who belongs to it is decided shortly before it goes out.
    """
    now = clock.now()
    if quiet.until(now, settings.get().quiet_hours):
        return 0
    with transaction() as session:
        waiting = session.scalar(select(func.count()).where(Notice.kind == BROADCAST, *notices.still_open())) or 0
        if waiting >= BATCH:
            return 0
        broadcast = session.scalar(
            select(Broadcast)
            .where(Broadcast.noted_at.is_(None), Broadcast.stopped_at.is_(None))
            .order_by(Broadcast.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if broadcast is None:
            return 0
        people = session.execute(_to_come(broadcast, now).order_by(User.id).limit(BATCH)).all()
        data = {"broadcast": broadcast.id}
        news = [News(chat, BROADCAST, f"{BROADCAST}:{broadcast.id}:{user_id}", data, now) for user_id, chat in people]
        notices.note_all(session, news, now)
        broadcast.people += len(people)
        if people:
            broadcast.last_user_id = people[-1].id
        if len(people) < BATCH:
            broadcast.noted_at = now
        return len(people)


def stop(broadcast_id: int) -> Progress:
    """Nobody gets it any more from now on, until `resume`. Raises NotFound; Conflict when it has come to its end."""
    now = clock.now()
    with transaction() as session:
        broadcast = _locked(session, broadcast_id)
        if broadcast.stopped_at is None:
            mine = update(Notice).where(_of(broadcast_id), *notices.still_open(), _not_begun())
            taken = session.scalars(mine.values(given_up_at=now, last_error=STOPPED).returning(Notice.id)).all()
            if broadcast.noted_at is not None and not taken:
                raise Conflict(f"broadcast {broadcast_id} has come to its end already")
            broadcast.stopped_at = now
    return progress(broadcast_id)


def resume(broadcast_id: int) -> Progress:
    """Goes on with a broadcast that was stopped, where it was; nothing changes for one that was not. Raises NotFound."""
    with transaction() as session:
        broadcast = _locked(session, broadcast_id)
        if broadcast.stopped_at is not None:
            broadcast.stopped_at = None
            mine = update(Notice).where(_of(broadcast_id), Notice.sent_at.is_(None))
            held = Notice.last_error.in_(HELD)
            # Also what is open: a sender that has just found it stopped, and is about to write that down, has lost it then.
            still_open = and_(*notices.still_open(), _not_begun())
            again = {"given_up_at": None, "last_error": None, "next_try_at": clock.now()}
            session.execute(
                mine.where(or_(held, still_open)).values(again), execution_options={"synchronize_session": False}
            )
    return progress(broadcast_id)


def look(broadcast_id: int, telegram_id: int, now: datetime) -> Verdict:
    """Whether this person is still to get it: stopped, or bought meanwhile what it offers, they are not."""
    with transaction() as session:
        broadcast = session.get(Broadcast, broadcast_id)
        if broadcast is None or broadcast.stopped_at is not None:
            return Dropped(STOPPED)
        if session.scalar(_members(broadcast.segment, now).where(User.telegram_id == telegram_id)) is None:
            return Dropped("not in the segment any more")
        return Ready({"html": broadcast.body})


def progress(broadcast_id: int) -> Progress:
    """How far it has come. Raises NotFound."""
    found = _counted(Broadcast.id == broadcast_id)
    if not found:
        raise NotFound(f"no broadcast {broadcast_id}")
    return found[0]


def latest(limit: int = 50) -> Sequence[Progress]:
    """The newest broadcasts, newest first."""
    return _counted(true(), limit)


def _counted(which: ColumnElement[bool], limit: int = 1) -> list[Progress]:
    counts = select(
        func.count(),
        func.count(Notice.sent_at),
        func.count(Notice.given_up_at).filter(Notice.last_error.not_in(HELD)),
    )
    now, counted = clock.now(), []
    with transaction() as session:
        for broadcast in session.scalars(
            select(Broadcast).where(which).order_by(Broadcast.id.desc()).limit(limit)
        ).all():
            noted, sent, failed = session.execute(counts.where(_of(broadcast.id))).one()
            rest = _to_come(broadcast, now).with_only_columns(func.count())
            to_come = 0 if broadcast.noted_at else session.scalar(rest) or 0
            counted.append(Progress(broadcast, noted, sent, failed, noted - sent - failed + to_come))
    return counted


def _to_come(broadcast: Broadcast, now: datetime) -> Select[int, int]:
    """Id and chat of those who have no notice of it yet. Who came after it began does not get it."""
    members = _members(broadcast.segment, now)
    return members.where(User.id > broadcast.last_user_id, User.created_at <= broadcast.created_at)


def _members(segment: str, now: datetime) -> Select[int, int]:
    """Id and chat of those who belong to a segment and can be reached."""
    reachable = select(User.id, User.telegram_id).where(User.unreachable_since.is_(None))
    if segment == "all":
        return reachable
    runs = (Subscription.status == literal_column("'active'")) & or_(
        Subscription.expires_at > now, Subscription.waiting_since.is_not(None)
    )
    ended = Subscription.status.in_(("active", "expired")) & ~runs
    return reachable.join(Subscription, Subscription.user_id == User.id).where(runs if segment == "active" else ended)


def _of(broadcast_id: int) -> ColumnElement[bool]:
    return and_(Notice.kind == BROADCAST, Notice.data["broadcast"].as_integer() == broadcast_id)


def _not_begun() -> ColumnElement[bool]:
    return Notice.last_error.is_distinct_from(ON_ITS_WAY)


def _locked(session: Session, broadcast_id: int) -> Broadcast:
    broadcast = session.get(Broadcast, broadcast_id, with_for_update=True)
    if broadcast is None:
        raise NotFound(f"no broadcast {broadcast_id}")
    return broadcast
