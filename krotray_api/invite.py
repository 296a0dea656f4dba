"""GET /api/invite: one's own invitation, and who came by it."""

from __future__ import annotations

from flask import Blueprint, Response

from krotray_api import auth, describing
from krotray_api.schemas import InviteOut, answer
from krotray_core import invites

blueprint = Blueprint("invite", __name__)


@blueprint.get("/api/invite")
@describing.answers(InviteOut)
def show() -> Response:
    """The link and the number of people; no link while there is no bot that it could lead to."""
    user = auth.current_user()
    return answer(InviteOut(url=invites.link(user.id), came=invites.came(user.id)))
