"""What people and admins are told in Telegram. Rows first: noted in the transaction that makes the news. Sending second.

A row is sent once, with one exception: when Telegram took the message and we fell over (or its answer was lost) before that
was written down, it is sent again. Twice is better than never.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from krotray_core import clock, leases, notice_texts, settings, telegram_api
from krotray_core.db import transaction
from krotray_core.errors import TelegramRefused, TelegramUnavailable
from krotray_core.models import Notice, User

log = logging.getLogger(__name__)

# Who may send. One sender at a time, pacing itself, is what keeps all workers together below Telegram's 30 messages a
# second; the bot's own answers need some of them too.
LEASE = "notices"
# Renewed before each message, so it has to outlive a single one only.
LEASE_LENGTH = timedelta(seconds=30)
PACE_SECONDS = 1 / 25
# How long a row is in the hands of a sender. Longer than the lease: whoever takes over leaves that row for later.
CLAIM_LENGTH = timedelta(minutes=2)
# After that long the rest is left to the next call, far below the time limit of tasks.
BUDGET_SECONDS = 20.0

# Doubled with each failure; the pauses between that many tries make two days.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
TRIES = 55
LONGEST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Claim:
    """A notice in the hands of one sender until `until`, and the language of who is to read it."""

    id: int
    telegram_id: int
    kind: str
    data: dict[str, Any]
    attempts: int
    until: datetime
    language_code: str | None


def note(session: Session, *, telegram_id: int, kind: str, key: str, data: dict[str, Any], now: datetime) -> None:
    """Notes that somebody is to be told; once, however often it is noted under this key. `data` is JSON.

    Raises ValueError for a kind that has no text.
    """
    if kind not in notice_texts.KINDS:
        raise ValueError(f"a notice of an unknown kind: {kind}")
    row = {"telegram_id": telegram_id, "kind": kind, "key": key, "data": data, "created_at": now, "next_try_at": now}
    session.execute(insert(Notice).values(row).on_conflict_do_nothing(index_elements=[Notice.key]))


def tell_admins(session: Session, *, kind: str, key: str, data: dict[str, Any], now: datetime) -> None:
    """The same for every admin, each under a key of their own. Raises ValueError."""
    admins = settings.get().admin_telegram_ids
    if not admins:
        log.warning("no admin to tell of %s (%s): ADMIN_TELEGRAM_IDS is empty", kind, key)
    for telegram_id in admins:
        note(session, telegram_id=telegram_id, kind=kind, key=f"{key}:{telegram_id}", data=data, now=now)


def send_due() -> int:
    """Sends what is due until nothing is left or time is up; returns how many went out. Does nothing while another sends.

    A sender that is killed is followed by the next one when the lease runs out. When Telegram is away, the message that
    met it waits a growing pause, and the others wait for the next call.
    """
    holder, began, sent = secrets.token_hex(8), time.monotonic(), 0
    while time.monotonic() - began < BUDGET_SECONDS:
        if not leases.take(LEASE, holder, LEASE_LENGTH):
            return sent
        claim = claim_due(clock.now())
        if claim is None:
            break
        slot = time.monotonic() + PACE_SECONDS
        try:
            sent += _send(claim)
        except TelegramUnavailable as error:
            log.warning("notice %s waits: %s", claim.id, error)
            if error.retry_after is not None:
                # One pause for all: the lease is kept for that long and not given back, so nobody sends.
                leases.take(LEASE, holder, timedelta(seconds=error.retry_after))
                return sent
            break
        finally:
            # Before the lease passes on as well, or the next sender would be too quick after us.
            time.sleep(max(slot - time.monotonic(), 0))
    leases.give_back(LEASE, holder)
    return sent


def claim_due(now: datetime) -> Claim | None:
    """Takes the notice that has waited longest, for the time of a claim. A killed sender's is due again after that.

    One at a time: then a pause or a crash leaves no others claimed.
    """
    with transaction() as session:
        notice = session.scalars(
            select(Notice)
            .where(Notice.sent_at.is_(None), Notice.given_up_at.is_(None), Notice.next_try_at <= now)
            .order_by(Notice.next_try_at, Notice.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        if notice is None:
            return None
        notice.next_try_at = now + CLAIM_LENGTH
        language_code = session.scalar(select(User.language_code).where(User.telegram_id == notice.telegram_id))
        return Claim(
            id=notice.id,
            telegram_id=notice.telegram_id,
            kind=notice.kind,
            data=notice.data,
            attempts=notice.attempts,
            until=notice.next_try_at,
            language_code=language_code,
        )


def pause(failures: int) -> timedelta:
    """How long a notice waits after that many failures, 1 or more."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 16)), LONGEST_PAUSE)


def _send(claim: Claim) -> bool:
    """Sends one and writes down what became of it. Raises TelegramUnavailable when Telegram takes nothing now."""
    try:
        text = notice_texts.text(claim.kind, claim.data, claim.language_code, clock.now())
    except Exception as error:
        # Perhaps a newer version of us, running beside this one, knows the words.
        log.exception("notice %s (%s) cannot be put into words", claim.id, claim.kind)
        _failed(claim, f"no words: {type(error).__name__}")
        return False
    try:
        telegram_api.send_message(claim.telegram_id, text)
    except TelegramRefused as error:
        log.warning("notice %s (%s) is given up: %s", claim.id, claim.kind, error)
        _record(claim, given_up_at=clock.now(), attempts=claim.attempts + 1, last_error=str(error)[:LONGEST_ERROR])
        return False
    except TelegramUnavailable as error:
        if error.retry_after is None:
            _failed(claim, str(error))
        else:  # no failure of this message's
            _record(claim, next_try_at=clock.now() + timedelta(seconds=error.retry_after))
        raise
    with transaction() as session:
        # Also where the claim has run out meanwhile, or another sender has given it up: it did go out.
        session.execute(
            update(Notice)
            .where(Notice.id == claim.id, Notice.sent_at.is_(None))
            .values(sent_at=clock.now(), given_up_at=None, attempts=Notice.attempts + 1, last_error=None)
        )
    return True


def _failed(claim: Claim, said: str) -> None:
    """One more try went wrong: another one later, or none after the last."""
    now, failures = clock.now(), claim.attempts + 1
    outcome: dict[str, Any] = {"attempts": failures, "last_error": said[:LONGEST_ERROR]}
    if failures < TRIES:
        _record(claim, next_try_at=now + pause(failures), **outcome)
    else:
        log.error("notice %s (%s) is given up after %s tries: %s", claim.id, claim.kind, failures, said)
        _record(claim, given_up_at=now, **outcome)


def _record(claim: Claim, **outcome: Any) -> None:
    """Unless the claim has run out and somebody else has the notice now."""
    ours = (Notice.id == claim.id, Notice.next_try_at == claim.until, Notice.sent_at.is_(None))
    with transaction() as session:
        session.execute(update(Notice).where(*ours).values(**outcome))
