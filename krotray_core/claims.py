"""Who has a notice in their hands: the most urgent one that is due, taken by one sender for the time of one try."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import bindparam, case, literal_column, select, update

from krotray_core import notice_texts, notices
from krotray_core.models import Notice, User
from krotray_core.notice_checks import Subject
from krotray_core.notice_texts import Turn
from krotray_core.prepared import Prepared, literals

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
    until = now + CLAIM_LENGTH
    row = _claiming().first(now=now, until=until)
    if row is None:
        return None
    notice_id, telegram_id, kind, data, created_at, attempts, last_error, language_code, unreachable_since = row
    return Claim(
        subject=Subject(notice_id, telegram_id, kind, data, created_at),
        attempts=attempts,
        last_error=last_error,
        until=until,
        language_code=language_code,
        reachable=unreachable_since is None,
    )


@cache
def _claiming() -> Prepared:
    turn = case(
        (Notice.kind.in_(literals(notice_texts.of_turn(Turn.URGENT))), literal_column("0")),
        (Notice.kind.in_(literals(notice_texts.of_turn(Turn.BULK))), literal_column("2")),
        else_=literal_column("1"),
    )
    first = (
        select(Notice.id)
        .where(*notices.still_open(), Notice.next_try_at <= bindparam("now", type_=Notice.next_try_at.type))
        .order_by(turn, Notice.next_try_at, Notice.id)
        .limit(literal_column("1"))
        .with_for_update(skip_locked=True)
        .cte()
    )
    reader = User.telegram_id == Notice.telegram_id
    told = (
        Notice.id,
        Notice.telegram_id,
        Notice.kind,
        Notice.data,
        Notice.created_at,
        Notice.attempts,
        Notice.last_error,
    )
    return Prepared(
        "notice claimed",
        update(Notice)
        .where(Notice.id == first.c.id)
        .values(next_try_at=bindparam("until", type_=Notice.next_try_at.type))
        .returning(
            *told, *(select(of).where(reader).scalar_subquery() for of in (User.language_code, User.unreachable_since))
        ),
    )
