"""`flask payments`: where the money is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup

from krotray_api.cli import story
from krotray_api.cli.output import json_option, reports_errors, show, show_one
from krotray_api.cli.types import rubles, since
from krotray_core import billing, ledger, money, reconciliation, refunds
from krotray_core.errors import GatewayUnavailable, KrotRayError
from krotray_core.models import Payment, Refund
from krotray_tasks import access

group = AppGroup("payments", help="Payments as we and YooKassa see them.")


def _row(payment: Payment) -> dict[str, Any]:
    return {
        "id": str(payment.id),
        "status": payment.status,
        "amount": money.to_text(payment.amount_kopecks),
        "refunded": money.to_text(payment.refunded_kopecks),
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
    columns = ("id", "status", "amount", "refunded", "method", "plan_code", "user_id", "created_at", "flag_reason")
    show([_row(payment) for payment in found], as_json=as_json, columns=columns, empty="Платежей нет")


@group.command("show")
@click.argument("payment_id", type=click.UUID)
@json_option
@reports_errors
def show_payment(payment_id: UUID, as_json: bool) -> None:
    """One payment, its refunds, and the story of both."""
    payment = billing.find(payment_id)
    back = [_refund_row(refund) for refund in refunds.of_payment(payment_id)]
    told = story.rows(ledger.of_payment(payment_id))
    row = _row(payment) | {"cancel_reason": payment.cancel_reason, "days": payment.days}
    if as_json:
        show_one(row | {"refunds": back, "history": told}, as_json=True)
        return
    show_one(row, as_json=False)
    if back:
        click.echo()
        show(back, as_json=False)
    click.echo()
    show(told, as_json=False, columns=story.COLUMNS)


@group.command("close")
@click.argument("payment_id", type=click.UUID)
@click.option("--reason", required=True, help="What was done about it; the ledger keeps it.")
@reports_errors
def close(payment_id: UUID, reason: str) -> None:
    """Say that a flagged payment has been dealt with; one that never counted is cancelled."""
    payment = billing.close(payment_id, reason)
    click.echo(f"Платёж {payment_id}: {payment.status}, больше никого не ждёт")


def _refund_row(refund: Refund) -> dict[str, Any]:
    return {
        "refund": str(refund.id),
        "status": refund.status,
        "amount": money.to_text(refund.amount_kopecks),
        "taken_seconds": refund.taken_seconds,
        "external_id": refund.external_id,
        "created_at": refund.created_at,
        "cancel_reason": refund.cancel_reason,
    }


@group.command("refund")
@click.argument("payment_id", type=click.UUID)
@click.option("--amount", help="Rubles, such as 50 or 50.25; all that is left if not given.")
@click.option("--reason", help="Why; YooKassa keeps it with the refund.")
@json_option
@reports_errors
def refund(payment_id: UUID, amount: str | None, reason: str | None, as_json: bool) -> None:
    """Give money of a payment back, and take its share of the days."""
    try:
        returned = refunds.start(payment_id, None if amount is None else rubles(amount), reason=reason)
    except GatewayUnavailable:
        raise KrotRayError(
            "ЮKassa не ответила, и неизвестно, прошёл ли возврат. Не повторяйте его: воркер узнает сам,"
            f" а ход виден в flask payments show {payment_id}"
        ) from None
    access.follow_up(returned.servers)
    if as_json:
        show_one(_refund_row(returned.refund), as_json=True)
        return
    said = money.to_rubles(returned.refund.amount_kopecks)
    match returned.refund.status:
        case "succeeded":
            click.echo(f"Возвращено: {said}")
        case "pending":
            click.echo(f"Возврат начат: {said}, банк ещё не ответил; воркер дождётся сам")
        case _:
            raise KrotRayError(f"возврат не прошёл: {returned.refund.cancel_reason}")


@group.command("reconcile")
@click.option("--since", "since_text", required=True, metavar="ISO_TIME", help="From when, such as 2026-11-01.")
@json_option
@click.pass_context
@reports_errors
def reconcile(context: click.Context, since_text: str, as_json: bool) -> None:
    """Compare YooKassa's list with ours and set right what is safe. Exit code 1 if something is left for a person."""
    report = reconciliation.compare(since(since_text))
    access.follow_up(report.servers)
    rows = [asdict(one) for one in report.differences]
    if as_json:
        incomplete = report.incomplete
        counts = {"payments": report.payments, "refunds": report.refunds, "incomplete": incomplete}
        show_one(counts | {"differences": rows}, as_json=True)
    else:
        show(rows, as_json=False, empty=f"Расхождений нет: платежей {report.payments}, возвратов {report.refunds}")
        if report.incomplete:
            click.echo(f"Список ЮKassa прочитан не до конца: {report.incomplete}", err=True)
    if report.open or report.incomplete:
        context.exit(1)


@group.command("settle")
@click.argument("payment_id", type=click.UUID)
@reports_errors
def settle(payment_id: UUID) -> None:
    """Ask YooKassa about a payment now, and let it count."""
    settled = billing.settle(payment_id, anew=True)
    access.follow_up(settled.servers)
    note = f" (отложен: {settled.payment.flag_reason})" if settled.payment.flag_reason else ""
    click.echo(f"Платёж {payment_id}: {settled.payment.status}{note}")
