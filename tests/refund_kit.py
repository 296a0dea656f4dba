"""Refunds as a test makes them: ours, those of the cabinet, and what goes wrong on the way."""

from __future__ import annotations

from uuid import uuid4

import requests
from sqlalchemy import select

from krotray_core import billing, settings, yookassa
from krotray_core.db import transaction
from krotray_core.models import Notice, Payment, User
from sandbox.world import World
from tests.conftest import at_checkout, buy


def paid(world: World, user: User, plan: str = "1m", method: str = "card") -> Payment:
    """A payment that has counted."""
    payment = buy(user, plan, method)
    at_checkout(world, payment)
    return billing.settle(payment.id).payment


def in_the_cabinet(payment: Payment, amount: str) -> str:
    """A refund that somebody makes at YooKassa, past us; its id there."""
    s = settings.get()
    answer = requests.post(
        f"{s.yookassa_api_url}/refunds",
        json={"payment_id": payment.external_id, "amount": {"value": amount, "currency": "RUB"}},
        auth=(s.yookassa_shop_id, s.yookassa_secret_key.get_secret_value()),
        headers={"Idempotence-Key": str(uuid4())},
        timeout=5,
    )
    answer.raise_for_status()
    return str(answer.json()["id"])


def back_at_yookassa(payment: Payment) -> int:
    """How many kopecks YooKassa has given back."""
    assert payment.external_id
    return yookassa.fetch(payment.external_id).refunded_kopecks


def notify(payment: Payment) -> billing.Settled:
    """What a refund.succeeded leads to."""
    hint = billing.note_hint(payment.external_id or "", "refund.succeeded")
    assert hint.look == payment.id
    return billing.settle(hint.look)


def arm(world: World, **fault: object) -> None:
    """Lets the next requests at YooKassa go wrong."""
    requests.post(f"{world.yookassa_url}/sandbox/faults", json=fault, timeout=5).raise_for_status()


def notices(kind: str) -> list[Notice]:
    """What is to be told."""
    with transaction() as session:
        return list(session.scalars(select(Notice).where(Notice.kind == kind)))
