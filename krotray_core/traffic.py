"""What each subscription has used in its present period, as far as its servers keep count. Bytes only, nothing about where.

A period begins when days are given: paid, a present, or an end that an admin sets after the days had run out. It does not end with
them, so that one sees afterwards what was used. Renewing early begins a new one too: "since I last paid" needs no explanation.

Xray counts by e-mail from its own start, up and down, and we add what its counters have gained since they were read last (they
are never reset: others may read them too). What we cannot be sure of is left out, never counted twice:

- What the counters hold when a server is read for the first time is from before, whoever's it was.
- After an Xray's restart (its uptime went back, or a counter did) they count from 0. What was used between the last reading and the
  restart is lost, and so is as much as was seen before, should the Xray be up again for longer than it was when read last.
- What was used between the last reading and a payment goes into the period that the payment begins.

An Xray without `stats`, or whose policy has no `statsUserUplink` and `statsUserDownlink`, answers with no counters: one call,
and what its people use stays unknown.

Locks: the row of the server, subscriptions (only those that are new here), traffic. Seats and servers are not touched.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from krotray_core import clock, provisioning
from krotray_core.db import transaction
from krotray_core.errors import XrayError
from krotray_core.models import Entry, Seat, Server, Subscription, Traffic, TrafficSeen, TrafficServer

log = logging.getLogger(__name__)

BATCH = 500
# No more than JavaScript's numbers hold exactly: nine petabytes.
MOST = 2**53 - 1
_UNSYNCHRONIZED = {"synchronize_session": False}


def begin_period(session: Session, subscription_id: int, now: datetime) -> None:
    """Days have been given to this (locked) subscription: from now on it counts from 0. Before its seats are locked."""
    mine = update(Traffic).where(Traffic.subscription_id == subscription_id)
    session.execute(mine.values(used_bytes=0, since=now), execution_options=_UNSYNCHRONIZED)


def forget(session: Session, server_id: int) -> None:
    """The server's counters mean nothing any more, it may be another Xray now: read them as if for the first time."""
    session.execute(delete(TrafficServer).where(TrafficServer.server_id == server_id))


def read(server_id: int) -> int:
    """Adds what everybody on a server has used since the last reading. Returns for how many that was anything.

    May run twice at once, or be killed: each byte counts once at most. Raises NotFound, XrayUnavailable.
    """
    server = provisioning.find(server_id)
    since_round = _begin(server_id)
    answer = _ask(server)
    if answer is None:
        return 0
    counters, uptime = answer
    with transaction() as session:
        seats = session.execute(select(Seat.email, Seat.subscription_id).where(Seat.server_id == server_id)).all()
    shown = {whose: min(counters[email], MOST) for email, whose in seats if email in counters}
    return _Reading(server_id, since_round + 1).note(shown, uptime)


def _ask(server: Server) -> tuple[Mapping[str, int], int | None] | None:
    """The counters by e-mail and the uptime of the Xray that holds them; None where that cannot be said of one Xray."""
    asked = time.monotonic()
    xray = provisioning.client(server)
    try:
        counters = xray.traffic()
        if not counters:
            return {}, None
        uptime = xray.uptime()
    except XrayError as error:
        log.info("%s says nothing about traffic: %s", server.name, error)
        return None
    # It may have started between the two calls: then these are the counters of the one before.
    return (counters, uptime) if uptime > time.monotonic() - asked else None


def _begin(server_id: int) -> int:
    """The round of the last reading; whoever counts something raises it."""
    with transaction() as session:
        # Not from 0: forgotten and read anew, it must not come by a round that a late reading still waits for.
        new = insert(TrafficServer).values(server_id=server_id, round=int(clock.now().timestamp()))
        session.execute(new.on_conflict_do_nothing())
        return session.scalars(select(TrafficServer.round).where(TrafficServer.server_id == server_id)).one()


class _Reading:
    """One reading of a server's counters, which becomes round `number` unless another one does so first."""

    def __init__(self, server_id: int, number: int) -> None:
        self._server_id, self._number = server_id, number
        self._first = False  # of this server: all is from before

    def note(self, shown: Mapping[int, int], uptime: int | None) -> int:
        """Stores what the counters have shown, by subscription, in short transactions. Returns for how many it has changed."""
        seen = self._start(shown.keys(), uptime)
        if seen is None:
            return 0
        gained = {whose: _gain(value, seen.get(whose, 0)) for whose, value in shown.items() if seen.get(whose) != value}
        changed, noted = sorted(gained), 0
        for start in range(0, len(changed), BATCH):
            batch = changed[start : start + BATCH]
            with transaction() as session:
                server = self._mine(session, self._number)
                if server is None:
                    return noted
                self._add(session, server, {whose: 0 if self._first else gained[whose] for whose in batch})
                self._see(session, {whose: shown[whose] for whose in batch})
            noted += len(batch)
        if self._first:
            with transaction() as session:
                if server := self._mine(session, self._number):
                    server.counted_since = clock.now()
        return noted

    def _start(self, whose: Collection[int], uptime: int | None) -> dict[int, int] | None:
        """What has been seen before of this life of the Xray; None when another reading was first."""
        with transaction() as session:
            server = self._mine(session, self._number - 1)
            if server is None:
                return None
            restarted = uptime is not None and server.uptime is not None and uptime < server.uptime
            self._first = server.counted_since is None
            server.round, server.uptime = self._number, uptime
            if not whose and uptime is None:  # there is nothing to count from but now
                self._first, server.counted_since = False, clock.now()
            here = TrafficSeen.server_id == self._server_id
            rows = session.execute(select(TrafficSeen.subscription_id, TrafficSeen.bytes).where(here)).all()
            seen = {row.subscription_id: row.bytes for row in rows}
            # A counter that is gone starts from 0 when it comes back.
            gone = (
                list(seen)
                if restarted
                else [subscription_id for subscription_id in seen if subscription_id not in whose]
            )
            if gone:
                session.execute(delete(TrafficSeen).where(here, TrafficSeen.subscription_id.in_(gone)))
            return {} if restarted else seen

    def _mine(self, session: Session, number: int) -> TrafficServer | None:
        """The locked row of the server if it is still at this round."""
        row = session.get(TrafficServer, self._server_id, with_for_update=True)
        return row if row is not None and row.round == number else None

    def _add(self, session: Session, server: TrafficServer, gained: Mapping[int, int]) -> None:
        since = self._since(session, server, gained.keys())
        rows = [
            {"subscription_id": one, "used_bytes": gained[one], "since": since.get(one, clock.now())} for one in gained
        ]
        statement = insert(Traffic).values(rows)
        added = func.least(Traffic.used_bytes + statement.excluded.used_bytes, MOST)
        session.execute(statement.on_conflict_do_update(index_elements=["subscription_id"], set_={"used_bytes": added}))

    def _since(self, session: Session, server: TrafficServer, whose: Collection[int]) -> dict[int, datetime]:
        """When the present period of those began of whom nothing is known yet, or our counting, if that was later."""
        known = select(Traffic.subscription_id).where(Traffic.subscription_id.in_(whose))
        new = sorted(set(whose) - set(session.scalars(known)))
        if not new or server.counted_since is None:
            return {}
        # Who is being given days at this moment is waited for: that begins the period. One order, for many are locked.
        locked = select(Subscription.id).where(Subscription.id.in_(new)).order_by(Subscription.id)
        session.execute(locked.with_for_update(read=True, key_share=True))
        given = select(Entry.subscription_id, func.max(Entry.at)).where(
            Entry.subject == "subscription", Entry.event.in_(("paid", "granted")), Entry.subscription_id.in_(new)
        )
        began = {one: at for one, at in session.execute(given.group_by(Entry.subscription_id)) if one is not None}
        return {one: max(began.get(one, server.counted_since), server.counted_since) for one in new}

    def _see(self, session: Session, shown: Mapping[int, int]) -> None:
        rows = [{"server_id": self._server_id, "subscription_id": one, "bytes": value} for one, value in shown.items()]
        statement = insert(TrafficSeen).values(rows)
        keys = ["server_id", "subscription_id"]
        session.execute(statement.on_conflict_do_update(index_elements=keys, set_={"bytes": statement.excluded.bytes}))


def _gain(now: int, before: int) -> int:
    """What a counter has gained; one that went backwards has started from 0."""
    return now - before if now >= before else now
