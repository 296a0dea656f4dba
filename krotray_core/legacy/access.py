"""What becomes of everybody's subscription: new here, longer than here, or as it is. Pure.

The key and the end of the old service are kept wherever that is possible. What was changed here since the last takeover counts more
than what stood there before; only what the old service has sold since is added.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from krotray_core.legacy import values
from krotray_core.legacy.fleet import Fleet, Place
from krotray_core.legacy.people import Matched, Person
from krotray_core.legacy.present import Held, Present
from krotray_core.legacy.report import Report
from krotray_core.legacy.rows import ENDED, OldSubscription


@dataclass(slots=True)
class Opening:
    """A subscription that is made. `place` None with `active`: nobody has room, it waits. `told`: its key is a new one."""

    user_id: int
    status: str
    expires_at: datetime
    key: UUID
    months: int | None
    place: Place | None = None
    # Under this name Xray still holds the key; it has to go first, for it would take the key along.
    old_email: str | None = None
    told: bool = False


@dataclass(slots=True)
class Change:
    """A subscription of ours that gets a later end, or the key that the old service has given out since, or both."""

    held: Held
    expires_at: datetime | None = None
    key: UUID | None = None
    place: Place | None = None
    old_email: str | None = None


@dataclass(slots=True)
class Access:
    """All of them."""

    openings: list[Opening] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


def masked(key: UUID) -> bytes:
    """What Xray tells keys apart by."""
    return key.bytes[:6] + key.bytes[8:]


class Planner:
    """Goes from person to person, who runs longest first."""

    def __init__(self, matched: Matched, present: Present, fleet: Fleet, now: datetime, report: Report) -> None:
        self._present, self._fleet, self._now, self._report = present, fleet, now, report
        self._ids = present.telegram_ids.keys() - matched.moves.keys()
        self._ids |= {*matched.moves.values(), *(person.id for person in matched.people)}
        self._homeless: list[tuple[Opening | Change, OldSubscription]] = []
        self._keys = {masked(held.key): user_id for user_id, held in present.subscriptions.items()}
        self.access = Access()
        # Where two have one key, who runs longest keeps it.
        for person in sorted(matched.people, key=self._rank, reverse=True):
            if person.best is not None:
                self._one(person, person.best)
        # Last, when it is known how many have a place: who has none must not take one that somebody needs.
        for given, best in self._homeless:
            given.place = self._emptiest(best)

    def _rank(self, person: Person) -> tuple[bool, datetime, int]:
        if person.best is None:
            return False, self._now, 0
        return person.best.runs(self._now), person.best.expires_at, -person.row.id

    def _one(self, person: Person, best: OldSubscription) -> None:
        if best.cut:
            self._changed(best, "its end is beyond the year 3000: cut there")
        held = self._present.subscriptions.get(person.was) if person.was is not None else None
        if held is None:
            self._open(person, best)
        elif not best.runs(self._now):
            self._report.count("subscriptions", "same")
        elif held.status == "revoked":
            self._report.count("subscriptions", "same")
            if held.taken_until is None or best.expires_at > held.taken_until:
                self._changed(best, "revoked here: not let in again")
        else:
            self._go_on(person, best, held)

    def _open(self, person: Person, best: OldSubscription) -> None:
        runs, now = best.runs(self._now), self._now
        status = "active" if runs else "expired" if best.status in ("active", *ENDED) else "revoked"
        end = best.expires_at if runs else min(best.expires_at, now)
        if not runs and best.expires_at > now:
            self._changed(best, f"its status is {values.shown(best.status)} with an end still to come: not let in")
        opening = Opening(person.id, status, end, uuid.UUID(int=0), best.months)
        opening.old_email = self._other_email(person, best)
        fault = self._why_not_the_key(person, best)
        if fault:
            self._report.remark(
                "changed" if runs else "skipped", "subscriptions", best.label, f"{fault}: gets a new key"
            )
            opening.key, opening.told, opening.old_email = uuid.uuid4(), runs, None
        else:
            opening.key = best.key or opening.key
        self._keys[masked(opening.key)] = person.id
        if runs:
            self._seat(opening, best)
        self.access.openings.append(opening)
        self._report.count("subscriptions", "added")

    def _why_not_the_key(self, person: Person, best: OldSubscription) -> str | None:
        if best.key is None:
            return "the uuid is missing or none"
        if self._keys.get(masked(best.key), person.id) != person.id:
            return "somebody else has the same uuid"
        if best.user_id != person.id and best.user_id in self._ids:
            return f"in Xray it is user_{best.user_id}, which is somebody else here"
        return None

    def _other_email(self, person: Person, best: OldSubscription) -> str | None:
        return f"user_{best.user_id}" if best.user_id != person.id and best.runs(self._now) else None

    def _go_on(self, person: Person, best: OldSubscription, held: Held) -> None:
        """A subscription that runs there and is known here."""
        change = Change(held)
        longer = best.expires_at > (held.taken_until or held.expires_at)
        if longer and best.expires_at > held.expires_at:
            change.expires_at = best.expires_at
        if longer and held.taken_until not in (None, held.expires_at):
            self._changed(
                best, "days were added there and here since the last takeover: the later end counts, look at both"
            )
        if best.key is not None and masked(best.key) != masked(held.key):
            self._take_key(change, person, best, held)
        if change.expires_at is None and change.key is None:
            self._report.count("subscriptions", "same")
            return
        if change.expires_at and held.status == "expired":
            self._seat(change, best)
        self.access.changes.append(change)
        self._report.count("subscriptions", "changed")

    def _take_key(self, change: Change, person: Person, best: OldSubscription, held: Held) -> None:
        """Another key there: taken if it is the old service that has changed it, or nobody uses ours."""
        stale = held.taken_until is None and held.status == "expired"
        if held.rotated and held.opened:
            return  # the one from there has been replaced here on purpose
        fault = self._why_not_the_key(person, best)
        if not fault and (stale or (held.opened and best.user_id == person.id)):
            change.key = best.key
            change.old_email = self._other_email(person, best)
            self._keys[masked(best.key or held.key)] = person.id
        else:
            self._changed(best, "has another key here, which stays: the one of the old service ends")

    def _seat(self, given: Opening | Change, best: OldSubscription) -> None:
        given.place = self._fleet.by_old_id.get(best.server_id) if best.server_id is not None else None
        if given.place is None:
            self._homeless.append((given, best))
        else:
            given.place.coming += 1

    def _emptiest(self, best: OldSubscription) -> Place | None:
        place = self._fleet.emptiest()
        if place is None:
            self._changed(best, "its server is unknown, and none has room: waits for a place, the days stand still")
        else:
            place.coming += 1
            self._changed(best, f"its server is unknown: seated on {place.name}, where an old link does not lead")
        return place

    def _changed(self, best: OldSubscription, reason: str) -> None:
        self._report.remark("changed", "subscriptions", best.label, reason)
