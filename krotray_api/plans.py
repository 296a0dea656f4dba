"""GET /api/plans: what is sold, and whether buying it takes an e-mail address."""

from __future__ import annotations

from flask import Blueprint, Response

from krotray_api import describing
from krotray_api.schemas import PlanOut, PlansOut, ReceiptOut, answer
from krotray_core import plans

blueprint = Blueprint("plans", __name__)


@blueprint.get("/api/plans")
@describing.answers(PlansOut, login=False)
def index() -> Response:
    """The tariffs on sale; no login needed."""
    return answer(PlansOut(plans=[PlanOut.of(plan) for plan in plans.on_sale()], receipt=ReceiptOut.now()))
