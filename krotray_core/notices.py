"""What people and admins are told in Telegram. Rows first: noted in the transaction that makes the news. `delivery` sends them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.orm import Session

from krotray_core import notice_texts, settings
from krotray_core.models import Notice, User
from krotray_core.prepared import Prepared

log = logging.getLogger(__name__)

# How the reason begins in the row of one that was not true any more.
DROPPED = "dropped: "


@dataclass(frozen=True, slots=True)
class Ready:
    """At the moment of sending it is true: it goes out with these data."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Later:
    """It is not true yet, or its time has not come: it is looked at again then."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Dropped:
    """It is not true any more."""

    why: str


Verdict = Ready | Later | Dropped


@dataclass(frozen=True, slots=True)
class News:
    """What somebody is to be told, not before `due_at`. `data` is JSON and holds no secret; `key` names the event."""

    telegram_id: int
    kind: str
    key: str
    data: dict[str, Any]
    due_at: datetime


def note(
    session: Session,
    *,
    telegram_id: int,
    kind: str,
    key: str,
    data: dict[str, Any],
    now: datetime,
    due_at: datetime | None = None,
) -> None:
    """Notes that somebody is to be told, at once or from `due_at` on; once, however often it is noted under this key.

    `data` is JSON. Raises ValueError for a kind that has no text.
    """
    note_all(session, [News(telegram_id, kind, key, data, due_at or now)], now)


def note_all(session: Session, news: Iterable[News], now: datetime) -> int:
    """The same for many at once, in one statement. Returns how many were new. Raises ValueError."""
    told = list(news)
    for one in told:
        if one.kind not in notice_texts.KINDS:
            raise ValueError(f"a notice of an unknown kind: {one.kind}")
    if not told:
        return 0
    columns = {
        "whom": [one.telegram_id for one in told],
        "kinds": [one.kind for one in told],
        "keys": [one.key for one in told],
        "data": [json.dumps(one.data) for one in told],
        "due": [one.due_at for one in told],
    }
    return len(_noting().within(session, now=now, **columns))


@cache
def _noting() -> Prepared:
    kinds: dict[str, Any] = {
        "whom": BigInteger(),
        "kinds": Text(),
        "keys": Text(),
        "data": Text(),
        "due": DateTime(timezone=True),
    }
    arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in kinds.items()]
    news = (
        func.unnest(*arrays).table_valued(*(column(name, kind) for name, kind in kinds.items())).render_derived("news")
    )
    now = bindparam("now", type_=Notice.created_at.type)
    found = select(news.c.whom, news.c.kinds, news.c["keys"], cast(news.c.data, JSONB), now, news.c.due)
    return Prepared("notices noted", noting(found).returning(Notice.id))


def noting(found: Select[int, str, str, dict[str, Any], datetime, datetime]) -> Insert:
    """The statement that notes what a SELECT finds: whom to tell, the kind, the key, the data, now, and when it is due."""
    columns = ["telegram_id", "kind", "key", "data", "created_at", "next_try_at"]
    return insert(Notice).from_select(columns, found).on_conflict_do_nothing(index_elements=[Notice.key])


def tell_user(
    session: Session,
    user_id: int,
    *,
    kind: str,
    key: str,
    data: dict[str, Any],
    now: datetime,
    due_at: datetime | None = None,
) -> None:
    """The same by our own number of the user. Raises ValueError."""
    note(session, telegram_id=reader(session, user_id), kind=kind, key=key, data=data, now=now, due_at=due_at)


def reader(session: Session, user_id: int) -> int:
    """The Telegram id of a user of ours."""
    ((telegram_id,),) = _reader().within(session, whose=user_id)
    return int(telegram_id)


@cache
def _reader() -> Prepared:
    return Prepared("reader", select(User.telegram_id).where(User.id == bindparam("whose", type_=User.id.type)))


def tell_admins(session: Session, *, kind: str, key: str, data: dict[str, Any], now: datetime) -> None:
    """The same for every admin, each under a key of their own. Raises ValueError."""
    admins = settings.get().admin_telegram_ids
    if not admins:
        log.warning("no admin to tell of %s (%s): ADMIN_TELEGRAM_IDS is empty", kind, key)
    for telegram_id in admins:
        note(session, telegram_id=telegram_id, kind=kind, key=f"{key}:{telegram_id}", data=data, now=now)


def still_open() -> tuple[ColumnElement[bool], ...]:
    """Neither sent nor given up: what the index of due notices holds."""
    return Notice.sent_at.is_(None), Notice.given_up_at.is_(None)
