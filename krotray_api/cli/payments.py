"""`flask payments`: where the money is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from krotray_api.cli.output import json_option, reports_errors, show, show_one
from krotray_core import billing, money
from krotray_core.models import Payment
from krotray_tasks import access

group = AppGroup("payments", help="Payments as we and YooKassa see them.")


def _row(payment: Payment) -> dict[str, Any]:
    return {
        "id": str(payment.id),
        "status": payment.status,
        "amount": money.to_text(payment.amount_kopecks),
        "currency": payment.currency,
        "method": payment.method,
        "plan_code": payment.plan_code,
        "user_id": payment.user_id,
        "external_id": payment.external_id,
        "created_at": payment.created_at,
        "paid_at": payment.paid_at,
        "flag_reason": payment.flag_reason,
    }


@group.command("list")
@click.option("--status", type=click.Choice(["pending", "succeeded", "canceled", "refunded"]), help="Only these.")
@click.option("--flagged", is_flag=True, help="Only those that a person must look at.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@reports_errors
def list_(status: str | None, flagged: bool, limit: int, as_json: bool) -> None:
    """The latest payments, newest first."""
    found = billing.latest(status=status, flagged=flagged, limit=limit)
    columns = ("id", "status", "amount", "method", "plan_code", "user_id", "created_at", "flag_reason")
    show([_row(payment) for payment in found], as_json=as_json, columns=columns, empty="Платежей нет")


@group.command("show")
@click.argument("payment_id", type=click.UUID)
@json_option
@reports_errors
def show_payment(payment_id: UUID, as_json: bool) -> None:
    """One payment."""
    payment = billing.find(payment_id)
    row = _row(payment) | {"cancel_reason": payment.cancel_reason, "days": payment.days}
    show_one(row, as_json=as_json)


@group.command("settle")
@click.argument("payment_id", type=click.UUID)
@reports_errors
def settle(payment_id: UUID) -> None:
    """Ask YooKassa about a payment now, and let it count."""
    settled = billing.settle(payment_id)
    access.converge_all(settled.servers)
    note = f" (отложен: {settled.payment.flag_reason})" if settled.payment.flag_reason else ""
    click.echo(f"Платёж {payment_id}: {settled.payment.status}{note}")
