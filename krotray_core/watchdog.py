"""What those who do the work cannot tell: that nobody does it. The beat and the bot look too, and tell it themselves.

An alarm goes out once when something has been wrong for ALARM_AFTER_SECONDS, then once a day while it lasts. What ends and begins
again within half an hour is one and the same.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from krotray_core import clock, delivery, figures, heartbeats, notices, settings, tracing
from krotray_core.db import transaction
from krotray_core.models import Mark

log = logging.getLogger(__name__)

QUIET = timedelta(minutes=30)
LOOK_SECONDS = 15.0
# What the beat or the bot may spend on sending what no worker sends.
SENDING_SECONDS = 5.0


def look() -> bool:
    """Writes a notice to the admins about what has been wrong for too long. Returns whether nobody has worked for so long."""
    after = timedelta(seconds=settings.get().alarm_after_seconds)
    seen, beat, stuck = heartbeats.worker_seen(), heartbeats.beat_seen(), figures.unprovisioned()
    lately = max(heartbeats.LATELY_SECONDS, after.total_seconds())
    now = clock.now()
    with transaction() as session:
        # Somebody was at work once: what is being set up for the first time is no alarm.
        idle = _tell(session, "workers_away", seen is not None and seen > lately, {"seconds": round(seen or 0)}, now)
        gone = beat is None or beat > heartbeats.BEAT_LENGTH.total_seconds()
        _tell(session, "beat_away", gone and seen is not None, {}, now, after=after)
        long = stuck.oldest_seconds > after.total_seconds()
        data = {"people": stuck.number, "seconds": round(stuck.oldest_seconds)}
        _tell(session, "paid_without_key", bool(stuck.number) and long, data, now)
    return idle


def _tell(
    session: Session, kind: str, wrong: bool, data: dict[str, Any], now: datetime, *, after: timedelta = timedelta()
) -> bool:
    """Notes what is wrong, and tells of it when it has been for long enough. Returns whether it was told of."""
    began, last = f"alarm:{kind}", f"alarm:{kind}:last"
    marks = {mark.name: mark.at for mark in session.scalars(select(Mark).where(Mark.name.in_((began, last))))}
    if not wrong:
        seen = marks.get(last)
        # What came to nothing is forgotten at once: several short moments do not make a long one.
        if seen is not None and (now - seen > QUIET or seen - marks.get(began, seen) < after):
            session.execute(delete(Mark).where(Mark.name.in_((began, last))))
        return False
    since = marks.get(began, now)
    for name, at in ((began, since), (last, now)):
        noted = insert(Mark).values(name=name, at=at)
        session.execute(noted.on_conflict_do_update(index_elements=[Mark.name], set_={"at": at}))
    if now - since < after:
        return False
    if settings.get().admin_telegram_ids:
        key = f"{kind}:{since.isoformat()}:{(now - since).days}"
        notices.tell_admins(session, kind=kind, key=key, data=data, now=now)
    return True


def start() -> threading.Thread:
    """Looks every few seconds for as long as this process lives, and sends what is due itself when no worker does."""
    thread = threading.Thread(target=_forever, name="watchdog", daemon=True)
    thread.start()
    return thread


def _forever() -> None:
    pause, failed = threading.Event(), False
    while not pause.wait(LOOK_SECONDS):
        with tracing.following():
            try:
                if look():
                    delivery.send_due(SENDING_SECONDS)
                failed = False
            except Exception as error:  # the watch goes on whatever happens
                if not failed:  # one line an outage
                    log.warning("nobody is watched over now: %s", type(error).__name__)
                failed = True
