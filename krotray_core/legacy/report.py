"""What a takeover found and did: counts, and every row that is not simply taken, with its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

# More of them say nothing that the counts do not say; a broken database must not fill our memory.
MOST_LISTED = 100_000
TABLES = ("servers", "users", "subscriptions", "payments")
OUTCOMES = ("read", "added", "changed", "same", "skipped", "refused")
# Why somebody should look before the old service goes; `skipped` rows are ones that have no counterpart here.
LEVELS = ("refused", "changed", "skipped")


@dataclass(frozen=True, slots=True)
class Remark:
    """One row of the old database (its table and id there) that is refused, or taken otherwise than it was."""

    level: str
    table: str
    id: str
    reason: str


@dataclass(slots=True)
class Report:
    """Counts by table, remarks by row (at most MOST_LISTED; `unlisted` counts the rest), notes about many rows at once."""

    dry_run: bool
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {table: Counter() for table in TABLES})
    remarks: list[Remark] = field(default_factory=list)
    unlisted: int = 0
    notes: list[str] = field(default_factory=list)
    servers: set[int] = field(default_factory=set)
    new_servers: set[int] = field(default_factory=set)
    # What must not happen, such as keys that would stop opening: nothing is written while there is one.
    stops: list[str] = field(default_factory=list)
    # Refused rows of people who are let in there now: the first audit after the takeover would end their keys.
    locked_out: list[str] = field(default_factory=list)
    _seen: Counter[str] = field(default_factory=Counter)

    def count(self, table: str, outcome: str, number: int = 1) -> None:
        """`number` rows of this table came to this end."""
        self.counts[table][outcome] += number

    def remark(self, level: str, table: str, row: object, reason: str) -> None:
        """A row that somebody may want to look at."""
        self._seen[level] += 1
        if len(self.remarks) < MOST_LISTED:
            self.remarks.append(Remark(level, table, str(row), reason))
        else:
            self.unlisted += 1

    def refuse(self, table: str, row: object, reason: str) -> None:
        """A row that is not taken."""
        self.count(table, "refused")
        self.remark("refused", table, row, reason)

    def lock_out(self, row: object) -> None:
        """A refused row whose key works in the old service."""
        self.locked_out.append(str(row))

    def note(self, what: str, number: int) -> None:
        """Something that is true of so many rows; none is no news."""
        if number:
            self.notes.append(f"{what}: {number}")

    @property
    def needs_a_look(self) -> bool:
        """Whether a row was refused or taken otherwise than it was, or the takeover was stopped."""
        return bool(self._seen["refused"] or self._seen["changed"] or self.stops)

    @property
    def news(self) -> int:
        """How many rows of ours are new or changed (or would be)."""
        return sum(counter["added"] + counter["changed"] for counter in self.counts.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "dry_run": self.dry_run,
            "written": self.news if not (self.dry_run or self.stops) else 0,
            "counts": {table: {name: self.counts[table][name] for name in OUTCOMES} for table in TABLES},
            "notes": self.notes,
            "stops": self.stops,
            "rows": [asdict(one) for one in self.remarks],
            "unlisted": self.unlisted,
        }
