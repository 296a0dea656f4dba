"""Moving in: takes over the people, keys, servers and payments of the earlier KrotRay, so that nobody has to import a new key.

The old database is only read. Everything is written in one transaction: it is all there, or nothing is. It can be done again, and
then takes over what the old service has sold since. What is not taken as it was is reported, row by row. docs/moving-in.md
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.orm import Session

from krotray_core import clock, health, ledger, provisioning, settings
from krotray_core.db import transaction
from krotray_core.legacy import access, fleet, payments, people, present, rows, source, values, writing
from krotray_core.legacy.report import Report
from krotray_core.legacy.source import Source

__all__ = ["Report", "take_over"]

log = logging.getLogger(__name__)
_Row = TypeVar("_Row")
# So many rows are named in one line; all of them are in the report.
MOST_NAMED = 20


def take_over(url: str, *, dry_run: bool = False, without_refused: bool = False) -> Report:
    """Takes over the database at `url` (postgresql://... or sqlite:///path). Returns what was (or would be) done.

    `report.servers` want a converge. Nothing is written with `dry_run`, nor while `report.stops` says what must be set right first:
    refused rows of people whose keys work are among that, unless it is to go on `without_refused`. Raises Invalid when the old
    database cannot be read.
    """
    report, now = Report(dry_run), clock.now()
    with source.opened(url) as old, ledger.acting(present.ACTOR):
        found = _read(old, report, now)
        # The old database is read on inside our transaction, with a time limit to each of its answers: one snapshot there,
        # all or nothing here.
        with transaction() as session:
            if dry_run:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                session.execute(text("SET TRANSACTION READ ONLY"))
                session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                session.execute(text("SET LOCAL statement_timeout = '10min'"))
            else:
                writing.lock(session)
            _apply(session, old, found, now, report, without_refused=without_refused)
    if not (dry_run or report.stops):
        for server_id in sorted(report.new_servers):
            health.look(provisioning.find(server_id))
        log.info("taken over from the old service: %d rows new or changed", report.news)
    return report


class _Found:
    """What is kept of the old database in memory: some hundred bytes a person, payments not at all."""

    def __init__(
        self, users: list[rows.OldUser], subscriptions: list[rows.OldSubscription], servers: list[rows.OldServer]
    ) -> None:
        self.users, self.subscriptions, self.servers = users, subscriptions, servers


def _read(old: Source, report: Report, now: datetime) -> _Found:
    for name, columns in old.columns.items():
        if not columns:
            report.notes.append(f"the old database has no table {name}")
    return _Found(
        list(_taken(old, "users", rows.user, report, now)),
        list(_taken(old, "subscriptions", rows.subscription, report, now)),
        list(_taken(old, "servers", rows.server, report, now)),
    )


def _taken(old: Source, name: str, read: Callable[[source.Row], _Row], report: Report, now: datetime) -> Iterator[_Row]:
    for row in old.rows(name):
        report.count(name, "read")
        try:
            yield read(row)
        except values.Unfit as fault:
            _refuse(report, name, row, str(fault), now)


def _refuse(report: Report, name: str, row: dict[str, Any], reason: str, now: datetime) -> None:
    # A purchase that was never paid for has no end, and no key that anybody has.
    if name == "subscriptions" and row.get("expires_at") is None and values.word(row.get("status")) != "active":
        report.count(name, "skipped")
        report.remark("skipped", name, rows.label(row), "never began: it has no end")
    else:
        report.refuse(name, rows.label(row), reason)
        if name == "subscriptions" and rows.lets_in(row, now):
            report.lock_out(rows.label(row))


def _locked_out(labels: list[str]) -> str:
    shown = ", ".join(labels[:MOST_NAMED]) + (
        f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    )
    return (
        f"{len(labels)} active subscriptions with a key are refused: {shown}. The first audit would end their keys:"
        " mend the rows in the old database, or go on without these people (--without-refused)"
    )


def _apply(
    session: Session, old: Source, found: _Found, now: datetime, report: Report, *, without_refused: bool
) -> None:
    here = present.read(session)
    places = fleet.plan(found.servers, here, settings.get().vless_url_template, report)
    matched = people.match(found.users, found.subscriptions, here, now, report)
    planned = access.Planner(matched, here, places, now, report).access
    for place in places.places:
        if place.coming and place.taken > place.max_users:
            report.notes.append(f"server {place.name}: max_users raised from {place.max_users} to {place.taken}")
    till = payments.Planner(matched.ids, here.days, now, report)
    if report.locked_out and not without_refused:
        report.stops.append(_locked_out(report.locked_out))
    for_real = not (report.dry_run or report.stops)
    if for_real:
        report.new_servers = writing.servers(session, places)
        writing.people(session, matched)
        writing.access(session, planned, now)
        report.servers = {place.known.id for place in places.places if place.known}
    for batch in _batches(old):
        changes = till.batch(batch, partial(present.payments, session))
        if for_real:
            writing.payments(session, changes, now)
            session.expunge_all()  # what is written need not be remembered
    till.finish()


def _batches(old: Source) -> Iterable[list[source.Row]]:
    return old.batches("payments")
