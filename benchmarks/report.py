"""Puts the table and the machine into docs/performance.md, between its markers; the rest of the page is kept by hand."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import text

from benchmarks import load, table
from krotray_core import clock, db
from sandbox.world import ROOT

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: written by `make bench` -->", "<!-- measured: end -->"


def machine() -> str:
    """What it was measured on, in one line."""
    with db.transaction() as session:
        postgres = str(session.scalar(text("SHOW server_version"))).split()[0]
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


def write(rows: Sequence[table.Row], on: str, seconds: float) -> None:
    """Replaces what stands between the markers."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    told = f"{clock.now():%Y-%m-%d}, in {seconds / 60:.0f} minutes: {on}."
    PAGE.write_text(f"{before}{BEGIN}\n\n{told}\n\n{table.markdown(rows)}\n\n{END}{after}")
