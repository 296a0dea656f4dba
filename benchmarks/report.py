"""Puts tables and the machine into docs/performance.md, each between its markers; the rest of the page is kept by hand."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from sqlalchemy import text as sql

from benchmarks import load
from krotray_core import db
from sandbox.world import ROOT

PAGE = ROOT / "docs" / "performance.md"


def machine() -> str:
    """What it was measured on, in one line."""
    with db.transaction() as session:
        postgres = str(session.scalar(sql("SHOW server_version"))).split()[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    tool = "wrk" if load.generator() else "Python threads (no wrk)"
    return (
        f"{cores} cores ({_processor()}), {memory:.0f} GiB, Linux {platform.release().split('-')[0]},"
        f" Python {platform.python_version()}, PostgreSQL {postgres} without disk syncs, Redis, Xray and the sandbox's YooKassa"
        f" on the same machine, load by {tool}"
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def write(target: str, text: str) -> None:
    """Replaces what `make <target>` has written between its markers before."""
    begin, end = f"<!-- written by `make {target}` -->", f"<!-- `make {target}`: end -->"
    before, found, rest = PAGE.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise RuntimeError(f"{PAGE.name} has no place for what `make {target}` measures: {begin} ... {end}")
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
