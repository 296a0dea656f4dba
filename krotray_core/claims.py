"""Who has a notice in their hands: the most urgent one that is due, taken by one sender for the time of one try."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, select

from krotray_core import notice_texts, notices
from krotray_core.db import transaction
from krotray_core.models import Notice, User
from krotray_core.notice_checks import Subject
from krotray_core.notice_texts import Turn

# How long a row is in the hands of a sender. Longer than the lease: whoever takes over leaves that row for later.
CLAIM_LENGTH = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Claim:
    """A notice in the hands of one sender until `until`, and what is known of who is to read it."""

    subject: Subject
    attempts: int
    last_error: str | None
    until: datetime
    language_code: str | None
    reachable: bool

    @property
    def bulk(self) -> bool:
        """Whether it is one of very many, and must not go out twice."""
        return self.subject.kind in notice_texts.of_turn(Turn.BULK)


def claim_due(now: datetime) -> Claim | None:
    """Takes the most urgent notice, of those the one that has waited longest, for the time of a claim.

    A killed sender's is due again after that. One at a time: then a pause or a crash leaves no others claimed.
    """
    turn = case(
        (Notice.kind.in_(notice_texts.of_turn(Turn.URGENT)), 0),
        (Notice.kind.in_(notice_texts.of_turn(Turn.BULK)), 2),
        else_=1,
    )
    with transaction() as session:
        notice = session.scalars(
            select(Notice)
            .where(*notices.still_open(), Notice.next_try_at <= now)
            .order_by(turn, Notice.next_try_at, Notice.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        if notice is None:
            return None
        notice.next_try_at = now + CLAIM_LENGTH
        reader = select(User.language_code, User.unreachable_since).where(User.telegram_id == notice.telegram_id)
        language_code, unreachable_since = session.execute(reader).one_or_none() or (None, None)
        return Claim(
            subject=Subject(notice.id, notice.telegram_id, notice.kind, notice.data, notice.created_at),
            attempts=notice.attempts,
            last_error=notice.last_error,
            until=notice.next_try_at,
            language_code=language_code,
            reachable=unreachable_since is None,
        )
