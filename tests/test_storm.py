"""An hour of hundreds of people with every fault on; afterwards each kopeck and each day is where it belongs."""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import timedelta

import pytest
import requests
from flask import Flask
from sqlalchemy import func, select

from krotray_core import clock, ledger_audit, provisioning, reconciliation, settings, yookassa
from krotray_core.db import transaction
from krotray_core.models import Entry, Payment, Refund, Seat, Server, Subscription
from sandbox.world import World
from tests.conftest import new_user
from tests.storm_kit import FAULTS, MINUTE, Storm, raging

# `make storm` has 2,000.
PEOPLE = int(os.environ.get("STORM_PEOPLE", "150"))
MINUTES = 60


@pytest.mark.timeout(900)
def test_after_the_storm_every_kopeck_and_every_day_is_where_it_belongs(
    fresh: World, app: Flask, fleet: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = settings.get().model_copy(update={"settle_sweep_seconds": 600})
    monkeypatch.setattr(settings, "get", lambda: patient)
    people = [new_user() for _ in range(PEOPLE)]
    everybody = {f"user_{user.id}" for user in people}
    with raging(fresh, app, monkeypatch, people, seed=2026, minutes=MINUTES) as storm:
        storm.arm()
        for _ in range(MINUTES):
            storm.minute()
        assert ledger_audit.verify().faults == (), "in the middle of it"
        fired = {(one["operation"], one["kind"]) for one in faults(fresh) if one["fired"]}
        assert fired == {(fault["operation"], fault["kind"]) for fault in FAULTS}, "no fault was for nothing"
        print(storm.did)
        storm.calm()
        calm_down(storm)
    audit = ledger_audit.verify()
    assert audit.faults == ()
    assert audit.lines > 3 * PEOPLE
    here_and_there()
    only_those_with_days_left_are_on_the_servers(fleet, everybody)


def faults(world: World) -> list[dict[str, object]]:
    """What YooKassa was told to do wrong, and how often it did."""
    return list(requests.get(f"{world.yookassa_url}/sandbox/faults", timeout=10).json()["items"])


def calm_down(storm: Storm) -> None:
    """Nothing is paid any more; the sweeps and one reconciliation have all the time they need."""
    for _ in range(8):
        storm.pass_time(20 * MINUTE)
        storm.sweep()
    since = clock.now() - timedelta(days=1)
    assert reconciliation.compare(since).open == []
    storm.sweep()
    report = reconciliation.compare(since)
    assert (report.differences, report.incomplete) == ([], None)


def here_and_there() -> None:
    """Our books against YooKassa's, line by line."""
    since = clock.now() - timedelta(days=1)
    theirs = {found.external_id: found for found in yookassa.payments_between(since, clock.now())}
    with transaction() as session:
        payments = session.scalars(select(Payment)).all()
        back = session.scalars(select(Refund).where(Refund.status == "succeeded")).all()
        lines = session.execute(
            select(Entry.user_id, Entry.event, func.sum(func.extract("epoch", Entry.ends_at - Entry.starts_at)))
            .where(Entry.subject == "subscription", Entry.event.in_(("paid", "refunded")))
            .group_by(Entry.user_id, Entry.event)
        ).all()
    ours = {payment.external_id: payment for payment in payments if payment.external_id}
    assert ours.keys() == theirs.keys()
    assert {payment.status for payment in payments} == {"succeeded", "canceled", "refunded"}
    due: dict[int, int] = defaultdict(int)
    for external_id, payment in ours.items():
        found = theirs[external_id]
        paid = payment.status in ("succeeded", "refunded")
        assert paid == (found.status == "succeeded")
        assert payment.refunded_kopecks == found.refunded_kopecks
        if paid:
            due[payment.user_id] += payment.days * 86_400
            due[payment.user_id] -= payment.days * 86_400 * found.refunded_kopecks // payment.amount_kopecks
    given: dict[int, int] = defaultdict(int)
    for user_id, _, seconds in lines:
        given[user_id] += int(seconds)
    assert given == due, "days granted = days paid for minus days refunded"
    they_gave_back = {
        found.external_id: found.amount_kopecks
        for found in yookassa.refunds_between(since, clock.now())
        if found.status == "succeeded"
    }
    assert {refund.external_id: refund.amount_kopecks for refund in back} == they_gave_back
    assert len(back) > PEOPLE // 40
    assert sum(due.values()) > 0


def only_those_with_days_left_are_on_the_servers(fleet: list[Server], everybody: set[str]) -> None:
    """Seats, counters and both Xrays agree."""
    with transaction() as session:
        for server in fleet:
            wanted = {
                seat.email: seat.uuid
                for seat in session.scalars(select(Seat).where(Seat.server_id == server.id, Seat.wanted))
            }
            row = session.get_one(Server, server.id)
            assert row.active_users == len(wanted)
            users = provisioning.client(server).users()
            assert {email: user.key for email, user in users.items() if email in everybody} == wanted
        active = session.scalar(select(func.count()).where(Subscription.status == "active"))
        seated = session.scalar(select(func.count()).where(Seat.wanted))
    assert active == seated
    assert seated
