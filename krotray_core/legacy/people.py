"""Who is who: old people matched with ours, and the id that each of them is to have. Pure.

Xray knows a person as user_<users.id>, so whoever comes from the old service keeps the id from there. Somebody here who is in the
way makes room if nothing but their name is known of them; who has paid or has days here keeps the id, for the ledger names it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from krotray_core.legacy.present import Present
from krotray_core.legacy.report import Report
from krotray_core.legacy.rows import OldSubscription, OldUser


@dataclass(slots=True)
class Person:
    """One person of the old service: their row, their best subscription, and the id here, which `was` another one so far."""

    row: OldUser
    best: OldSubscription | None = None
    id: int = 0
    was: int | None = None


@dataclass(slots=True)
class Matched:
    """The people; which of our ids change (old -> new); which old user ids mean which of ours; the last id that is in use."""

    people: list[Person] = field(default_factory=list)
    moves: dict[int, int] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)
    last_id: int = 0


def match(
    users: Iterable[OldUser], subscriptions: Iterable[OldSubscription], present: Present, now: datetime, report: Report
) -> Matched:
    """Everybody of the old service with an id here, and what became of their subscriptions but the best one."""
    rows: dict[int, list[OldUser]] = defaultdict(list)
    owner: dict[int, int] = {}
    for row in users:
        if row.id in owner:
            report.refuse("users", row.id, "the same id once more")
            continue
        owner[row.id] = row.telegram_id
        rows[row.telegram_id].append(row)
    theirs: dict[int, list[OldSubscription]] = defaultdict(list)
    for subscription in subscriptions:
        if subscription.user_id not in owner:
            report.refuse(
                "subscriptions", subscription.label, f"there is no user {subscription.user_id}, or none that is taken"
            )
            if subscription.key is not None and subscription.runs(now):
                report.lock_out(subscription.label)
            continue
        theirs[owner[subscription.user_id]].append(subscription)
    ours = {telegram_id: user_id for user_id, telegram_id in present.telegram_ids.items()}
    result = Matched()
    for telegram_id in sorted(rows, key=lambda one: min(row.id for row in rows[one])):
        person = _one(rows[telegram_id], theirs[telegram_id], ours.get(telegram_id), now, report)
        person.was = ours.get(telegram_id)
        result.people.append(person)
    _give_ids(result, present, report, max(owner, default=0))
    for person in result.people:
        for row in rows[person.row.telegram_id]:
            result.ids[row.id] = person.id
    return result


def _one(
    rows: list[OldUser], subscriptions: list[OldSubscription], ours: int | None, now: datetime, report: Report
) -> Person:
    """The rows of one Telegram id are one person; of their subscriptions the one that runs longest counts."""
    ranked = sorted(
        subscriptions, key=lambda one: (one.runs(now), one.expires_at, one.user_id, one.label), reverse=True
    )
    best = ranked[0] if ranked else None
    for other in ranked[1:]:
        report.count("subscriptions", "skipped")
        if best and other.runs(now) and other.key != best.key:
            report.remark(
                "changed", "subscriptions", other.label, f"runs as well, but {best.label} lasts longer: its key ends"
            )
    wanted = best.user_id if best else min(row.id for row in rows)
    if ours is not None and not (best and best.runs(now)) and any(row.id == ours for row in rows):
        wanted = ours
    chosen = next(row for row in rows if row.id == wanted)
    for row in rows:
        if row is not chosen:
            report.count("users", "skipped")
            report.remark("changed", "users", row.id, f"the same Telegram id as user {chosen.id}: one person here")
    return Person(chosen, best)


def _give_ids(matched: Matched, present: Present, report: Report, largest: int) -> None:
    fixed = present.telegram_ids.keys() & present.touched
    taken, free = set(fixed), max([largest, *present.telegram_ids]) + 1
    late: list[Person] = []
    for person in matched.people:
        if person.was is not None and person.was in fixed:
            person.id = person.was
            if person.was != person.row.id:
                reason = f"known here as user {person.was}, with payments or days: Xray gets user_{person.was}"
                report.remark("changed", "users", person.row.id, reason)
        elif person.row.id in taken:
            late.append(person)
        else:
            person.id = person.row.id
            taken.add(person.id)
    for person in late:
        if person.was is not None and person.was not in taken:
            person.id = person.was
        else:
            person.id, free = free, free + 1
        taken.add(person.id)
        reason = f"user {person.row.id} is somebody else here, with payments or days: is user {person.id} here"
        report.remark("changed", "users", person.row.id, reason)
    matched.moves = {one.was: one.id for one in matched.people if one.was is not None and one.was != one.id}
    # Those here whom the old service does not know, and who stand where somebody of it belongs.
    strangers = present.telegram_ids.keys() - fixed - {person.was for person in matched.people}
    for user_id in sorted(strangers & taken):
        matched.moves[user_id], free = free, free + 1
    matched.last_id = free - 1
    for person in matched.people:
        outcome = "added" if person.was is None else "changed" if person.was != person.id else "same"
        report.count("users", outcome)
