"""GET /api/connect: the programs for every device, with links that hand them one's own subscription."""

from __future__ import annotations

from flask import Blueprint, Response

from krotray_api import auth, describing
from krotray_api.schemas import ConnectOut, answer
from krotray_core import apps, cabinet

blueprint = Blueprint("connect", __name__)


@blueprint.get("/api/connect")
@describing.answers(ConnectOut)
def connect() -> Response:
    """What to install and press; without a running subscription only what to install."""
    seen = cabinet.of_person(auth.current_person())[1]
    url = seen.subscription_url if seen.running else None
    return answer(ConnectOut.of(url, apps.for_subscription(url, apps.TITLE)))
