"""Who was seen at work, and when: the workers by what they do, the beat by its lease."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from krotray_core.db import transaction
from krotray_core.models import Lease, Mark

# The beat's lease: it is renewed far more often than it would run out.
BEAT, BEAT_LENGTH = "beat", timedelta(seconds=15)
WORKER = "worker:"
# Each process of a worker says so no more often than this.
NOTED_SECONDS = 10.0
# The sweeps give everybody something to do every few seconds.
LATELY_SECONDS = 60.0
FORGOTTEN = timedelta(days=1)
MOST = 100

_lock = threading.Lock()
_noted: dict[str, float] = {}


def note(worker: str) -> None:
    """A worker has just begun a task. Costs nothing for some seconds after the last time; never raises."""
    with _lock:
        now = time.monotonic()
        if now - _noted.get(worker, -NOTED_SECONDS) < NOTED_SECONDS:
            return
        _noted[worker] = now
    statement = insert(Mark).values(name=f"{WORKER}{worker[:200]}", at=func.now())
    statement = statement.on_conflict_do_update(index_elements=[Mark.name], set_={"at": func.now()})
    try:
        with transaction() as session:
            session.execute(statement)
            session.execute(delete(Mark).where(Mark.name.startswith(WORKER), Mark.at < func.now() - FORGOTTEN))
    except SQLAlchemyError:
        _noted.pop(worker, None)  # the task itself will say what is wrong


def workers() -> dict[str, float]:
    """Seconds since each worker of the last day was seen at work, the latest hundred."""
    seen = select(Mark.name, func.extract("epoch", func.now() - Mark.at)).where(
        Mark.name.startswith(WORKER, autoescape=True)
    )
    with transaction() as session:
        rows = session.execute(seen.order_by(Mark.at.desc()).limit(MOST)).all()
    return {row[0].removeprefix(WORKER): max(float(row[1]), 0.0) for row in rows}


def worker_seen() -> float | None:
    """Seconds since any worker was seen at work; None when none was within a day."""
    return min(workers().values(), default=None)


def beat_seen() -> float | None:
    """Seconds since a beat renewed its lease; None after a clean stop, and before the first start."""
    with transaction() as session:
        left = session.scalar(select(func.extract("epoch", Lease.until - func.now())).where(Lease.name == BEAT))
    return None if left is None else max(BEAT_LENGTH.total_seconds() - float(left), 0.0)
