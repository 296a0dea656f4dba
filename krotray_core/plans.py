"""What is sold."""

from __future__ import annotations

from dataclasses import dataclass

from krotray_core.errors import UnknownMethod, UnknownPlan

CURRENCY = "RUB"
METHODS = ("sbp", "card")


@dataclass(frozen=True, slots=True)
class Plan:
    """One tariff: its code, its length in months as people say it and in days as we count it, its price in kopecks."""

    code: str
    months: int
    days: int
    amount_kopecks: int


PLANS = (
    Plan(code="1m", months=1, days=30, amount_kopecks=100_00),
    Plan(code="3m", months=3, days=90, amount_kopecks=250_00),
)


def find(code: str) -> Plan:
    """The plan with this code. Raises UnknownPlan."""
    for plan in PLANS:
        if plan.code == code:
            return plan
    raise UnknownPlan(f"no such tariff; there are {', '.join(plan.code for plan in PLANS)}")


def check_method(method: str) -> str:
    """The method itself if we offer it. Raises UnknownMethod."""
    if method not in METHODS:
        raise UnknownMethod(f"no such way of paying; there are {', '.join(METHODS)}")
    return method
