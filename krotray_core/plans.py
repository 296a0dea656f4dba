"""What is sold: the tariffs in their table. A payment keeps the price and days that it was sold with, whatever changes here."""

from __future__ import annotations

import logging
import re

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from krotray_core import money
from krotray_core.db import transaction
from krotray_core.errors import Conflict, Invalid, NotFound, UnknownMethod, UnknownPlan
from krotray_core.models import Plan

log = logging.getLogger(__name__)

CURRENCY = "RUB"
METHODS = ("sbp", "card")

# A code travels in a button's 64 bytes, between colons.
_CODE = re.compile(r"[a-z0-9_-]{1,16}", re.ASCII)
LONGEST_DAYS = 3650
MOST_MONTHS = 120
CHEAPEST = 1_00
DEAREST = 1_000_000_00


def on_sale() -> list[Plan]:
    """What can be bought now, the shortest first."""
    return [plan for plan in everything() if plan.on_sale]


def everything() -> list[Plan]:
    """All tariffs, those withdrawn from sale included, the shortest first."""
    with transaction() as session:
        return list(session.scalars(select(Plan).order_by(Plan.days, Plan.code)))


def find(code: str) -> Plan:
    """The tariff with this code, which must be on sale. Raises UnknownPlan."""
    sold = on_sale()
    for plan in sold:
        if plan.code == code:
            return plan
    raise UnknownPlan(f"no such tariff; there are {', '.join(plan.code for plan in sold) or 'none on sale now'}")


def put(
    code: str, *, months: int | None = None, days: int | None = None, amount_kopecks: int | None = None
) -> tuple[Plan, bool]:
    """Changes what is given of a tariff, or makes a new one, which goes on sale. Returns it, and whether it is new.

    Raises Invalid for what cannot be sold, and for a new one that is not described in full; Conflict.
    """
    if not _CODE.fullmatch(code):
        raise Invalid("a tariff's code has 1 to 16 characters out of a-z, 0-9, _ and -")
    if months is not None and not 1 <= months <= MOST_MONTHS:
        raise Invalid(f"a tariff has from 1 to {MOST_MONTHS} months")
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise Invalid(f"a tariff has from 1 to {LONGEST_DAYS} days")
    if amount_kopecks is not None and not CHEAPEST <= amount_kopecks <= DEAREST:
        raise Invalid(f"a price is from {money.to_text(CHEAPEST)} to {money.to_text(DEAREST)} rubles")
    try:
        with transaction() as session:
            plan = session.get(Plan, code, with_for_update=True)
            new = plan is None
            if plan is None:
                if months is None or days is None or amount_kopecks is None:
                    raise Invalid(f"there is no tariff {code} yet: a new one needs its months, its days and its price")
                plan = Plan(code=code, months=months, days=days, amount_kopecks=amount_kopecks, on_sale=True)
                session.add(plan)
                was = "new"
            else:
                was = _terms(plan)
                plan.months = plan.months if months is None else months
                plan.days = plan.days if days is None else days
                plan.amount_kopecks = plan.amount_kopecks if amount_kopecks is None else amount_kopecks
    except IntegrityError:
        raise Conflict(f"tariff {code} was made by somebody else at this very moment") from None
    if was != _terms(plan):
        log.info("tariff %s: %s -> %s", code, was, _terms(plan))
    return plan, new


def withdraw(code: str) -> Plan:
    """Takes a tariff off sale, be it the last one; what was begun can still be paid. Raises NotFound."""
    return _switch(code, on_sale=False)


def offer(code: str) -> Plan:
    """Puts a tariff back on sale. Raises NotFound."""
    return _switch(code, on_sale=True)


def price(text: str) -> int:
    """Kopecks of a price as an owner types it, "150" or "150.00". Raises Invalid."""
    try:
        return money.from_rubles(text)
    except ValueError:
        raise Invalid("a price is whole rubles, or rubles with two decimals: 150 or 150.00") from None


def check_method(method: str) -> str:
    """The method itself if we offer it. Raises UnknownMethod."""
    if method not in METHODS:
        raise UnknownMethod(f"no such way of paying; there are {', '.join(METHODS)}")
    return method


def _switch(code: str, *, on_sale: bool) -> Plan:
    with transaction() as session:
        plan = _locked(session, code)
        changed = plan.on_sale != on_sale
        plan.on_sale = on_sale
    if changed:
        log.info("tariff %s is %s", code, "on sale again" if on_sale else "withdrawn from sale")
    return plan


def _locked(session: Session, code: str) -> Plan:
    # What cannot be a code is not asked for: PostgreSQL's driver chokes on some of it.
    plan = session.get(Plan, code, with_for_update=True) if _CODE.fullmatch(code) else None
    if plan is None:
        raise NotFound(f"no tariff {code!r}")
    return plan


def _terms(plan: Plan) -> str:
    return f"{plan.months} months, {plan.days} days, {money.to_text(plan.amount_kopecks)} {CURRENCY}"
