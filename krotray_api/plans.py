"""GET /api/plans: what is sold."""

from __future__ import annotations

from flask import Blueprint

from krotray_api.schemas import PlanOut, PlansOut, answer
from krotray_core import plans

blueprint = Blueprint("plans", __name__)


@blueprint.get("/api/plans")
def index() -> dict[str, object]:
    """The tariffs on sale; no login needed."""
    return answer(PlansOut(plans=[PlanOut.of(plan) for plan in plans.on_sale()]))
