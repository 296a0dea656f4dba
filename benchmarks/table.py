"""What was measured beside its limit, as a table for people and for docs/performance.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `ratio` is ours to the limit; `met` is None for what has no goal and is only told."""

    what: str
    ours: str
    limit: str
    ratio: float | None
    goal: str
    met: bool | None

    def cells(self) -> tuple[str, ...]:
        """As text."""
        ratio = "" if self.ratio is None else f"{self.ratio:.0%}" if self.ratio < 1.2 else f"{self.ratio:.2f}x"
        return self.what, self.ours, self.limit, ratio, self.goal, {True: "yes", False: "NO", None: ""}[self.met]


HEAD = ("what", "ours", "limit", "ratio", "goal", "met")


def in_turns(*works: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """A B A B A B: what each work returns, the median of its turns. So a machine that is busy for a while is so for both."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, results in zip(works, taken, strict=True):
            results.append(work())
    return [median(results) for results in taken]


def at_least(what: str, ours: float, limit: float, share: float, unit: str = "/s") -> Row:
    """More is better."""
    ratio = ours / limit if limit else 0.0
    return Row(what, f"{ours:,.0f}{unit}", f"{limit:,.0f}{unit}", ratio, f"at least {share:.0%}", ratio >= share)


def at_most(what: str, ours: float, limit: float, times: float, unit: str, *, digits: int = 1) -> Row:
    """Less is better."""
    ratio = ours / limit if limit else 0.0
    shown = f"{ours:,.{digits}f} {unit}", f"{limit:,.{digits}f} {unit}"
    return Row(what, *shown, ratio, f"at most {times:g}x", ratio <= times)


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def plain(rows: Sequence[Row]) -> str:
    """For a terminal."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def markdown(rows: Sequence[Row]) -> str:
    """For a page."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
