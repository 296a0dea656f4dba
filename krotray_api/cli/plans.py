"""`flask plans`: what is sold, and for how much."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from krotray_api.cli.output import json_option, reports_errors, show
from krotray_core import money, plans, speech
from krotray_core.models import Plan

group = AppGroup("plans", help="The tariffs and their prices.")
code_argument = click.argument("code")


def _row(plan: Plan) -> dict[str, Any]:
    return {
        "code": plan.code,
        "months": plan.months,
        "days": plan.days,
        "amount": money.to_text(plan.amount_kopecks),
        "currency": plans.CURRENCY,
        "on_sale": plan.on_sale,
    }


@group.command("list")
@json_option
@reports_errors
def list_(as_json: bool) -> None:
    """All tariffs, the shortest first, those off sale included."""
    rows = [_row(plan) for plan in plans.everything()]
    show(rows, as_json=as_json, empty="Тарифов нет: flask plans set")


@group.command("set")
@code_argument
@click.option("--price", help="Rubles, such as 150 or 150.00.")
@click.option("--days", type=int, help="How many days it gives; needed for a new tariff.")
@click.option("--months", type=int, help="Its length as people read it; needed for a new tariff.")
@reports_errors
def set_(code: str, price: str | None, days: int | None, months: int | None) -> None:
    """Change a tariff's price or length, or make a new tariff. What was sold before stays as it was sold."""
    if price is None and days is None and months is None:
        raise click.UsageError("needed: --price, --days or --months")
    before = {plan.code: plan for plan in plans.everything()}.get(code)
    kopecks = None if price is None else plans.price(price)
    plan, new = plans.put(code, months=months, days=days, amount_kopecks=kopecks)
    click.echo(_change(plan if new or before is None else before, plan, new=new))
    if not 28 * plan.months <= plan.days <= 31 * plan.months:
        shown, given = speech.months_ru(plan.months), _days(plan.days)
        click.echo(f"Внимание: покупатель видит срок как «{shown}», а получает {given}", err=True)


@group.command("withdraw")
@code_argument
@reports_errors
def withdraw(code: str) -> None:
    """Take a tariff off sale; what people bought with it goes on."""
    plans.withdraw(code)
    click.echo(f"Тариф снят с продажи: {code}")
    if not plans.on_sale():
        click.echo("Внимание: больше ничего не продаётся, купить и продлить нельзя: flask plans offer", err=True)


@group.command("offer")
@code_argument
@reports_errors
def offer(code: str) -> None:
    """Put a tariff back on sale."""
    plan = plans.offer(code)
    click.echo(f"Тариф продаётся: {code}, {_days(plan.days)}, {money.to_rubles(plan.amount_kopecks)}")


def _change(before: Plan, plan: Plan, *, new: bool) -> str:
    """ "Тариф 1m: 30 дней, 100 ₽ → 150 ₽": what it was, and what it is now."""
    months, days, price = (
        was if was == now else f"{was} → {now}" for was, now in zip(_terms(before), _terms(plan), strict=True)
    )
    told = [months, days, price] if new or before.months != plan.months else [days, price]
    same = " (ничего не изменено)" if not new and _terms(before) == _terms(plan) else ""
    off = "" if plan.on_sale else " (снят с продажи)"
    return f"{'Новый тариф' if new else 'Тариф'} {plan.code}: {', '.join(told)}{same}{off}"


def _terms(plan: Plan) -> tuple[str, str, str]:
    return speech.months_ru(plan.months), _days(plan.days), money.to_rubles(plan.amount_kopecks)


def _days(number: int) -> str:
    return f"{number} {speech.plural_ru(number, 'день', 'дня', 'дней')}"
