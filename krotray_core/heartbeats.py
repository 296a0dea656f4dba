"""Who lives, and since when they were heard of: the workers, each with its queues, by their own word; the beat by its lease."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from krotray_core.db import transaction
from krotray_core.models import Lease, Mark

log = logging.getLogger(__name__)

# The beat's lease: it is renewed far more often than it would run out.
BEAT, BEAT_LENGTH = "beat", timedelta(seconds=15)
# A mark is called "worker:<queues with commas> <name of the worker>".
WORKER = "worker:"
# A worker says that it lives several times within that.
LATELY_SECONDS = 60.0
FORGOTTEN = timedelta(days=1)
MOST = 100

_AGE = func.extract("epoch", func.now() - Mark.at)
_WORKERS = Mark.name.startswith(WORKER, autoescape=True)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker, the queues that it takes tasks from, and how many seconds ago it said so."""

    name: str
    queues: tuple[str, ...]
    seconds: float


def note(worker: str, queues: Iterable[str]) -> None:
    """This worker lives, and takes tasks from these queues. Never raises: what is wrong with the database others will say."""
    name = f"{WORKER}{','.join(sorted(queues))} {worker[:200]}"
    statement = insert(Mark).values(name=name, at=func.now())
    statement = statement.on_conflict_do_update(index_elements=[Mark.name], set_={"at": func.now()})
    try:
        with transaction() as session:
            session.execute(statement)
            session.execute(delete(Mark).where(_WORKERS, Mark.at < func.now() - FORGOTTEN))
    except SQLAlchemyError as error:
        log.debug("that this worker lives could not be noted: %s", type(error).__name__)


def workers() -> list[Worker]:
    """The workers of the last day, the latest hundred, who was heard of last first."""
    with transaction() as session:
        rows = session.execute(select(Mark.name, _AGE).where(_WORKERS).order_by(Mark.at.desc()).limit(MOST)).all()
    found = []
    for mark, age in rows:
        queues, _, name = mark.removeprefix(WORKER).partition(" ")
        found.append(Worker(name, tuple(queues.split(",")), max(float(age), 0.0)))
    return found


def served() -> dict[str, float]:
    """By queue: seconds since a worker on it last said that it lives. A queue that had none within a day is not in it."""
    queues = func.split_part(func.substr(Mark.name, len(WORKER) + 1), " ", 1).label("queues")
    with transaction() as session:
        rows = session.execute(select(queues, func.min(_AGE)).where(_WORKERS).group_by(queues)).all()
    found: dict[str, float] = {}
    for together, age in rows:
        for queue in together.split(","):
            found[queue] = min(found.get(queue, float("inf")), max(float(age), 0.0))
    return found


def beat_seen() -> float | None:
    """Seconds since a beat renewed its lease; None after a clean stop, and before the first start."""
    with transaction() as session:
        left = session.scalar(select(func.extract("epoch", Lease.until - func.now())).where(Lease.name == BEAT))
    return None if left is None else max(BEAT_LENGTH.total_seconds() - float(left), 0.0)
