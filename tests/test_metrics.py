"""/metrics: what is counted, that it costs little with many rows, and what stays readable when parts are away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete, func, select, update

from krotray_core import billing, clock, health, placement, provisioning, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Notice, Payment, Seat, Server, Subscription, User
from krotray_core.xray.operations import Remove
from sandbox.world import World
from tests.conftest import add_server, at_checkout, buy, converge_all

DAY = timedelta(days=1)
Ask = Callable[[], dict[str, float]]


def scraped(said: str) -> dict[str, float]:
    """Every sample, named as it stands there: name, or name{label="value"}."""
    found = {}
    for family in text_string_to_metric_families(said):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


@pytest.fixture
def ask(client: FlaskClient) -> Ask:
    """Asks for the figures."""
    return lambda: scraped(client.get("/metrics").text)


def test_a_purchase_in_numbers(fresh: World, fleet: list[Server], user: User, ask: Ask) -> None:
    assert fleet
    payment = buy(user)
    assert ask()['krotray_payments{status="pending"}'] == 1
    at_checkout(fresh, payment)
    billing.note_hint(payment.external_id or "", "payment.succeeded")
    with transaction() as session:
        session.execute(update(Payment).values(hinted_at=Payment.hinted_at - timedelta(seconds=50)))
    now = ask()
    assert now["krotray_hinted_payments"] == 1, "paid, and YooKassa was not asked yet: there is no seat to be seen"
    assert 50 <= now["krotray_hinted_payments_oldest_seconds"] < 80
    with transaction() as session:
        session.execute(update(Payment).values(hinted_at=Payment.hinted_at + timedelta(seconds=50)))
    billing.settle(payment.id)
    now = ask()
    assert now["krotray_hinted_payments"] == now["krotray_hinted_payments_oldest_seconds"] == 0
    assert now['krotray_payments{status="pending"}'] == 0
    assert now['krotray_payments{status="succeeded"}'] == 1
    assert now['krotray_subscriptions{status="active"}'] == 1
    assert now["krotray_settle_duration_seconds_count"] == 1
    assert now["krotray_unprovisioned_seats"] == now["krotray_dirty_seats"] == 1
    assert now["krotray_provisioning_duration_seconds_count"] == 0
    with transaction() as session:
        session.execute(update(Seat).values(dirty_since=Seat.dirty_since - timedelta(seconds=70)))
    assert 70 <= ask()["krotray_unprovisioned_seats_oldest_seconds"] < 100
    converge_all()
    now = ask()
    assert now["krotray_unprovisioned_seats"] == now["krotray_unprovisioned_seats_oldest_seconds"] == 0
    assert now['krotray_provisioning_duration_seconds_bucket{le="60.0"}'] == 0
    assert now['krotray_provisioning_duration_seconds_bucket{le="120.0"}'] == 1
    assert 70 <= now["krotray_provisioning_duration_seconds_sum"] < 100
    assert now['krotray_payment_to_key_duration_seconds_bucket{le="30.0"}'] == 1, "from the webhook, which was just now"
    assert all(value == 1 for name, value in now.items() if name.startswith("krotray_scrape_part_up"))


@pytest.mark.writes_past_the_ledger
def test_who_waited_for_a_place_has_waited_since_then(fresh: World, user: User, ask: Ask) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    billing.settle(payment.id)
    with transaction() as session:
        session.execute(update(Subscription).values(waiting_since=Subscription.waiting_since - timedelta(minutes=4)))
    now = ask()
    assert now["krotray_waiting_subscriptions"] == 1
    assert 240 <= now["krotray_waiting_subscriptions_oldest_seconds"] < 270
    add_server(fresh.nodes[0])
    placement.seat_waiting(clock.now())
    converge_all()
    now = ask()
    assert now['krotray_payment_to_key_duration_seconds_bucket{le="120.0"}'] == 0
    assert now['krotray_payment_to_key_duration_seconds_bucket{le="300.0"}'] == 1
    with transaction() as session:
        assert session.scalar(select(Seat.paid_since)) is None


def test_a_seat_is_dirty_since_it_became_so_whoever_made_it(fleet: list[Server], user: User) -> None:
    assert fleet
    subscriptions.grant(user.telegram_id, 30)

    def since() -> Any:
        with transaction() as session:
            return session.scalar(select(Seat.dirty_since).where(Seat.wanted))

    first = since()
    assert first is not None
    with transaction() as session:
        session.execute(update(Seat).values(generation=Seat.generation + 1))
    assert since() == first, "it has been dirty all along"
    converge_all()
    assert since() is None
    subscriptions.revoke(user.telegram_id)
    with transaction() as session:
        session.execute(update(Seat).values(dirty_since=func.now() - DAY))
    subscriptions.grant(user.telegram_id, 30)
    assert since() > clock.now() - timedelta(minutes=1), "the person waits since now, not since they left"


@pytest.mark.writes_past_the_ledger
def test_expiry_drift_flags_notices_and_servers(fleet: list[Server], user: User, ask: Ask) -> None:
    subscriptions.grant(user.telegram_id, 1)
    converge_all()
    with transaction() as session:
        server_id = session.scalars(select(Seat.server_id)).one()
    server = provisioning.find(server_id)
    provisioning.client(server).apply([Remove(f"user_{user.id}")])
    assert not health.audit(server_id).clean
    with transaction() as session:
        session.execute(update(Subscription).values(expires_at=func.now() - timedelta(minutes=10)))
        session.execute(delete(Notice))  # of the present
        session.add(Notice(telegram_id=1, kind="x", key="x", data={}, next_try_at=clock.now() - timedelta(minutes=5)))
        session.add(Notice(telegram_id=1, kind="x", key="y", data={}, next_try_at=clock.now() + DAY))
        other = next(one for one in fleet if one.id != server_id)
        moment = func.now() - timedelta(minutes=7)
        session.execute(update(Server).where(Server.id == other.id).values(is_up=False, state_since=moment))
    now = ask()
    assert now['krotray_audit_drift_total{kind="missing"}'] == 1
    assert now['krotray_audit_drift_total{kind="wrong_key"}'] == 0
    assert now["krotray_overdue_subscriptions"] == 1
    assert 600 <= now["krotray_overdue_subscriptions_oldest_seconds"] < 630
    assert now["krotray_notices_waiting"] == 1
    assert 300 <= now["krotray_notices_waiting_oldest_seconds"] < 330
    assert now[f'krotray_server_up{{server="{server.name}"}}'] == 1
    assert now[f'krotray_server_up{{server="{other.name}"}}'] == 0
    assert now[f'krotray_server_open{{server="{other.name}"}}'] == 0
    assert now[f'krotray_server_users{{server="{server.name}"}}'] == 1
    assert 420 <= now[f'krotray_server_last_answer_age_seconds{{server="{other.name}"}}'] < 450
