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

from krotray_core import clock, figures, heartbeats, notices, settings, tracing
from krotray_core.db import transaction
from krotray_core.models import Mark

log = logging.getLogger(__name__)

QUIET = timedelta(minutes=30)
LOOK_SECONDS = 15.0
# What the beat or the bot may spend on sending what no worker sends.
SENDING_SECONDS = 5.0


def look() -> bool:
    """Writes a notice to the admins about what has been wrong for too long. Returns whether workers have been away for so long."""
    after = timedelta(seconds=settings.get().alarm_after_seconds)
    served, beat = heartbeats.served(), heartbeats.beat_seen()
    stuck, hinted = figures.unprovisioned(), figures.hinted()
    lately = max(heartbeats.LATELY_SECONDS, after.total_seconds())
    # Somebody was at work once: what is being set up for the first time is no alarm.
    away = {queue: seconds for queue, seconds in served.items() if seconds > lately}
    nobody = bool(away) and len(away) == len(served)
    now = clock.now()
    with transaction() as session:
        _tell(session, "workers_away", nobody, {"seconds": round(min(away.values(), default=0))}, now)
        for queue in served:
            gone_from_it = queue in away and not nobody
            data = {"queue": queue, "seconds": round(served[queue])}
            _tell(session, "queue_away", gone_from_it, data, now, name=f"queue_away:{queue}")
        gone = beat is None or beat > heartbeats.BEAT_LENGTH.total_seconds()
        _tell(session, "beat_away", gone and bool(served), {}, now, after=after)
        for kind, what, pile in (("paid_without_key", "people", stuck), ("payments_unheard", "payments", hinted)):
            long = pile.oldest_seconds > after.total_seconds()
            data = {what: pile.number, "seconds": round(pile.oldest_seconds)}
            _tell(session, kind, bool(pile.number) and long, data, now)
    return bool(away)


def _tell(
    session: Session,
    kind: str,
    wrong: bool,
    data: dict[str, Any],
    now: datetime,
    *,
    after: timedelta = timedelta(),
    name: str | None = None,
) -> None:
    """Notes what is wrong, and tells of it when it has been for long enough. `name` where there are several of a kind."""
    name = name or kind
    began, last = f"alarm:{name}", f"alarm:{name}:last"
    marks = {one.name: one.at for one in session.scalars(select(Mark).where(Mark.name.in_((began, last))))}
    if not wrong:
        seen = marks.get(last)
        # What came to nothing is forgotten at once: several short moments do not make a long one.
        if seen is not None and (now - seen > QUIET or seen - marks.get(began, seen) < after):
            session.execute(delete(Mark).where(Mark.name.in_((began, last))))
        return
    since = marks.get(began, now)
    for mark, at in ((began, since), (last, now)):
        noted = insert(Mark).values(name=mark, at=at)
        session.execute(noted.on_conflict_do_update(index_elements=[Mark.name], set_={"at": at}))
    if now - since >= after and settings.get().admin_telegram_ids:
        key = f"{name}:{since.isoformat()}:{(now - since).days}"
        notices.tell_admins(session, kind=kind, key=key, data=data, now=now)


def start(until: threading.Event | None = None) -> threading.Thread:
    """Looks every few seconds for as long as this process lives (or `until` is set), and sends what is due when no worker does."""
    thread = threading.Thread(target=_forever, args=[until or threading.Event()], name="watchdog", daemon=True)
    thread.start()
    return thread


def _forever(until: threading.Event) -> None:
    failed = False
    while not until.wait(LOOK_SECONDS):
        with tracing.following():
            try:
                if look():
                    # Here and not above: a beat that is never needed for it saves 20 MB.
                    from krotray_core import delivery  # noqa: PLC0415

                    delivery.send_due(SENDING_SECONDS)
                failed = False
            except Exception as error:  # the watch goes on whatever happens
                if not failed:  # one line an outage
                    log.warning("nobody is watched over now: %s", type(error).__name__)
                failed = True
