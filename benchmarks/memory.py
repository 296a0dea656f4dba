"""The memory of the whole Procfile, as PSS (shared pages count in parts), beside a bare application of as many processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import load, table
from benchmarks.load import Request
from benchmarks.stage import Stage, pss
from krotray_api import auth
from sandbox.person import Person
from sandbox.process import Process

SECONDS = 2
SETTLED_SECONDS = 6  # every worker process has had ticks by then


def rows(stage: Stage) -> Iterator[table.Row]:
    """The line about memory, after a little work on both sides."""
    login = {auth.HEADER: Person(stage.world, 10**10 + 1).init_data()}
    with stage.service("web", "worker", "beat", "bot", "flower") as service:
        load.shot(stage.world.web_url, [Request("/api/me", headers=login)], connections=16, seconds=SECONDS)
        time.sleep(SETTLED_SECONDS)
        ours, processes = pss(*(process.pid for process in service.values()))
    with ExitStack() as stack:
        bare, gunicorn = stack.enter_context(stage.bare_web())
        worker = stack.enter_context(stage.bare_worker())
        load.shot(bare, [Request("/row/1")], connections=16, seconds=SECONDS)
        roots = [gunicorn.pid, worker.pid]
        single = 0
        while (limit := pss(*roots))[1] < processes:
            single += 1
            process: Process = stack.enter_context(stage.bare_single(single))
            roots.append(process.pid)
    yield table.at_most(f"memory, whole Procfile, PSS, {processes} processes", ours, limit[0], 1.5, "MB", digits=0)
