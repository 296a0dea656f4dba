"""Sends the notices that are due: one sender at a time, at a pace that Telegram takes, each looked at once more before it goes.

A row is sent once, with one exception: when Telegram took the message and we fell over (or its answer was lost) before that
was written down, it is sent again. Twice is better than never; only of a broadcast never is better than twice.
"""

from __future__ import annotations

import logging
import secrets
import time
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from krotray_core import (
    broadcasts,
    clock,
    leases,
    notice_checks,
    notice_texts,
    notices,
    quiet,
    settings,
    telegram_api,
    users,
)
from krotray_core.broadcasts import ON_ITS_WAY
from krotray_core.claims import Claim, claim_due
from krotray_core.db import reading, transaction
from krotray_core.errors import (
    TelegramBlocked,
    TelegramDenied,
    TelegramMalformed,
    TelegramRefused,
    TelegramUnavailable,
)
from krotray_core.models import Lease, Mark, Notice
from krotray_core.notice_texts import Message
from krotray_core.notices import Dropped, Later, Verdict
from krotray_core.prepared import Prepared

log = logging.getLogger(__name__)

# Who may send. One sender at a time, pacing itself, is what keeps all workers together below Telegram's 30 messages a
# second; the bot's own answers need some of them too.
LEASE = "notices"
# Renewed before a message when that was so long ago (s): what is left outlives any single one.
LEASE_LENGTH, RENEW_SECONDS = timedelta(seconds=30), 5.0
PACE_SECONDS = 1 / 25
# One chat takes one message in this time; kept as a lease too, for the next sender must know of the last message of this one.
CHAT_PACE = timedelta(seconds=1)
CHAT_AGAIN = timedelta(seconds=0.25)
# After that long the rest is left to the next call, far below the time limit of tasks.
BUDGET_SECONDS = 20.0
# What is due so soon is waited for.
SOON = timedelta(seconds=1.5)

# Doubled with each failure; the pauses between that many tries make two days.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
TRIES = 55
LONGEST_ERROR = 300
# With a wrong token nothing is tried for so long; it is said in the log as often as this.
DENIED_PAUSE, SAID_AGAIN = timedelta(minutes=1), timedelta(days=1)
DENIED = "telegram:denied"
_WHICH = Notice.id == bindparam("which", type_=Notice.id.type)


def send_due(budget_seconds: float | None = None) -> int:
    """Sends what is due until nothing is left or time is up; returns how many went out. Does nothing while another sends.

    A sender that is killed is followed by the next one when the lease runs out. When Telegram is away, the message that
    met it waits a growing pause, and the others wait for the next call. When it does not know our token, all wait.
    """
    ends = time.monotonic() + (BUDGET_SECONDS if budget_seconds is None else budget_seconds)
    sent = 0
    while True:
        turn = _Turn(ends)
        over = turn.spend()
        sent += turn.sent
        # Who noted something while we had the lease woke nobody (`is_sending`): we look again now that we have not.
        if over or not _something_due():
            return sent


def is_sending() -> bool:
    """Whether somebody has the lease. They send also what is noted now, so that nobody else need be asked to."""
    return leases.is_held(LEASE)


class _Turn:
    """One sender's time with the lease."""

    def __init__(self, ends: float) -> None:
        self.sent = 0
        self._ends, self._holder = ends, secrets.token_hex(8)
        self._renewed = float("-inf")
        self._answers = False  # whether Telegram has taken a message of ours
        self._slot = 0.0

    def spend(self) -> bool:
        """Sends what is due. True when there is no use in another turn at once: time is up, or others send, or all wait."""
        while time.monotonic() < self._ends:
            if not self._is_ours():
                return True
            claim = claim_due(clock.now())
            if claim is None:
                if not broadcasts.step() and not _something_soon():
                    break
                continue
            try:
                if not self._handle(claim):
                    return True
            except TelegramUnavailable as error:
                wait = _wait(claim, error)
                if wait is not None:
                    # One pause for all: the lease is kept for that long and not given back, so nobody sends.
                    leases.take(LEASE, self._holder, wait)
                else:
                    self._leave()
                return True
        self._leave()
        return time.monotonic() >= self._ends

    def _handle(self, claim: Claim) -> bool:
        """Sends one, if it is still to go out. False when somebody else has the lease. Raises TelegramUnavailable."""
        if claim.bulk and not self._answers:
            _ask_first(claim)
            self._hear()
            if not self._is_ours():  # it may have taken its time
                return False
        message = _prepared(claim)
        if message is None:
            return True
        _sleep_until(self._slot)
        self._slot = time.monotonic() + PACE_SECONDS
        self.sent += _send(claim, message)
        self._hear()
        return True

    def _hear(self) -> None:
        """Telegram has answered us."""
        if not self._answers:
            self._answers = True
            _forget_denial()

    def _is_ours(self) -> bool:
        now = clock.steady()
        if now - self._renewed > RENEW_SECONDS:
            self._renewed = now if leases.take(LEASE, self._holder, LEASE_LENGTH) else float("-inf")
        return self._renewed >= now - RENEW_SECONDS

    def _leave(self) -> None:
        _sleep_until(self._slot)  # before the lease passes on as well, or the next sender would be too quick after us
        _forget_chats()
        leases.give_back(LEASE, self._holder)


def pause(failures: int) -> timedelta:
    """How long a notice waits after that many failures, 1 or more."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 16)), LONGEST_PAUSE)


def _prepared(claim: Claim) -> Message | None:
    """What is to go out now. None when it is not to, or not now, which is written down then."""
    now, subject = clock.now(), claim.subject
    try:
        verdict = _verdict(claim, now)
        match verdict:
            case Later(at):
                _record(claim, next_try_at=at)
                return None
            case Dropped(why):
                log.info("notice %s (%s) is dropped: %s", subject.id, subject.kind, why)
                _record(claim, given_up_at=now, last_error=f"{notices.DROPPED}{why}"[:LONGEST_ERROR])
                return None
        message = notice_texts.compose(subject.kind, verdict.data, claim.language_code, now)
    except SQLAlchemyError:
        raise
    except Exception as error:
        # Perhaps a newer version of us, running beside this one, knows the words.
        log.exception("notice %s (%s) cannot be put into words", subject.id, subject.kind)
        _failed(claim, f"no words: {type(error).__name__}")
        return None
    return message if _begun(claim) else None


def _verdict(claim: Claim, now: datetime) -> Verdict:
    if not claim.reachable:
        return Dropped("the person cannot be reached")
    if claim.bulk and claim.last_error == ON_ITS_WAY:
        return Dropped("it may have gone out already")
    morning = quiet.until(now, settings.get().quiet_hours)
    if morning and not notice_texts.KINDS[claim.subject.kind].by_night:
        return Later(morning)
    verdict = notice_checks.look(claim.subject, now)
    if isinstance(verdict, Later | Dropped):
        return verdict
    return verdict if leases.take(_chat(claim), _token(claim), CHAT_PACE) else Later(now + CHAT_AGAIN)


def _ask_first(claim: Claim) -> None:
    """One of very many is lost when Telegram fails in the middle of it, and an outage is long: it begins when Telegram answers.

    Raises TelegramUnavailable.
    """
    try:
        telegram_api.ping()
    except TelegramUnavailable:
        _record(claim, next_try_at=clock.now() + FIRST_PAUSE)
        raise


def _wait(claim: Claim, error: TelegramUnavailable) -> timedelta | None:
    """How long all are to wait because of this; None when the others need not. Says it in the log."""
    if not isinstance(error, TelegramDenied):
        log.warning("notice %s waits: %s", claim.subject.id, error)
        return None if error.retry_after is None else timedelta(seconds=error.retry_after)
    statement = insert(Mark).values(name=DENIED, at=clock.now())
    said = {"at": statement.excluded.at}
    news = Mark.at < statement.excluded.at - SAID_AGAIN
    statement = statement.on_conflict_do_update(index_elements=[Mark.name], set_=said, where=news)
    with transaction() as session:
        if session.scalar(statement.returning(Mark.name)):
            log.error("nobody is told anything: %s", error)
    return DENIED_PAUSE


def _begun(claim: Claim) -> bool:
    """Writes down that one of very many is on its way; False when it was stopped at the last moment."""
    return _record(claim, last_error=ON_ITS_WAY) if claim.bulk else True


def _send(claim: Claim, message: Message) -> bool:
    """Sends one and writes down what became of it. Raises TelegramUnavailable when Telegram takes nothing now."""
    subject = claim.subject
    try:
        telegram_api.send_message(subject.telegram_id, message.html, message.buttons)
    except TelegramMalformed as error:
        _malformed(claim, error)
        return False
    except TelegramRefused as error:
        log.warning("notice %s (%s) is given up: %s", subject.id, subject.kind, error)
        if isinstance(error, TelegramBlocked):
            users.lost(subject.telegram_id)
        _record(claim, given_up_at=clock.now(), attempts=claim.attempts + 1, last_error=str(error)[:LONGEST_ERROR])
        return False
    except TelegramUnavailable as error:
        if isinstance(error, TelegramDenied):
            _record(claim, next_try_at=clock.now() + DENIED_PAUSE, last_error=str(error)[:LONGEST_ERROR])
        elif error.retry_after is not None:  # no failure of this message's
            _record(claim, next_try_at=clock.now() + timedelta(seconds=error.retry_after), last_error=None)
        elif claim.bulk and error.unsure:
            said = f"it may have gone out: {error}"[:LONGEST_ERROR]
            _record(claim, given_up_at=clock.now(), attempts=claim.attempts + 1, last_error=said)
        else:
            _failed(claim, str(error))
        raise
    _went_out().rows(which=subject.id, now=clock.now())
    leases.take(_chat(claim), _token(claim), CHAT_PACE)  # counted from when Telegram had it
    return True


def _malformed(claim: Claim, error: TelegramMalformed) -> None:
    """Our own words are at fault, so somebody will mend them: a notice waits for that; a broadcast would fail with everybody."""
    log.error("notice %s (%s) is not taken as it is: %s", claim.subject.id, claim.subject.kind, error)
    if claim.bulk:
        if _record(claim, last_error=None, next_try_at=clock.now()):
            broadcasts.stop(claim.subject.data["broadcast"])
    else:
        _failed(claim, str(error))


def _failed(claim: Claim, said: str) -> None:
    """One more try went wrong: another one later, or none after the last."""
    now, failures = clock.now(), claim.attempts + 1
    outcome: dict[str, Any] = {"attempts": failures, "last_error": said[:LONGEST_ERROR]}
    if failures < TRIES:
        _record(claim, next_try_at=now + pause(failures), **outcome)
    else:
        log.error("notice %s (%s) is given up after %s tries: %s", claim.subject.id, claim.subject.kind, failures, said)
        _record(claim, given_up_at=now, **outcome)


def _record(claim: Claim, **outcome: Any) -> bool:
    """Unless the claim has run out and somebody else has the notice now, or it has come to an end. Returns whether it was ours."""
    return bool(_recording(tuple(outcome)).rows(which=claim.subject.id, claimed_until=claim.until, **outcome))


@cache
def _recording(columns: tuple[str, ...]) -> Prepared:
    ours = (
        _WHICH,
        Notice.next_try_at == bindparam("claimed_until", type_=Notice.next_try_at.type),
        *notices.still_open(),
    )
    return Prepared(f"notice {' '.join(columns)}", update(Notice).where(*ours).returning(Notice.id), columns)


@cache
def _went_out() -> Prepared:
    """Also where the claim has run out meanwhile, or another sender has given it up: it did go out."""
    sent = {"sent_at": bindparam("now", type_=Notice.sent_at.type), "given_up_at": null(), "last_error": null()}
    sent |= {"attempts": Notice.attempts + 1}
    return Prepared("notice sent", update(Notice).where(_WHICH, Notice.sent_at.is_(None)).values(sent))


def _forget_denial() -> None:
    with transaction() as session:
        session.execute(delete(Mark).where(Mark.name == DENIED))


def _something_due() -> bool:
    due = select(exists().where(*notices.still_open(), Notice.next_try_at <= clock.now()))
    with reading() as session:
        return bool(session.scalar(due))


def _something_soon() -> bool:
    """Waits for what becomes due in a moment; False when there is nothing."""
    now = clock.now()
    with transaction() as session:
        soonest = select(func.min(Notice.next_try_at)).where(*notices.still_open())
        at = session.scalar(soonest.where(Notice.next_try_at <= now + SOON))
    if at is None:
        return False
    time.sleep(min(max((at - now).total_seconds(), 0.02), SOON.total_seconds()))
    return True


def _sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))


def _chat(claim: Claim) -> str:
    return f"chat:{claim.subject.telegram_id}"


def _token(claim: Claim) -> str:
    return f"{claim.subject.id}:{claim.until.isoformat()}"


def _forget_chats() -> None:
    with transaction() as session:
        session.execute(delete(Lease).where(Lease.name.startswith("chat:"), Lease.until < func.now()))
