"""GET /sub/<token>: the subscription that a VPN program fetches. The token is the login."""

from __future__ import annotations

import base64
import re

from flask import Blueprint, Response

from krotray_core import cabinet, links, settings, subscriptions
from krotray_core.cabinet import Cabinet
from krotray_core.errors import NotFound

blueprint = Blueprint("sub", __name__)

TITLE = "KrotRay"
UPDATE_HOURS = 12
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


@blueprint.get("/sub/<token>")
def show(token: str) -> Response:
    """The links in base64; when there is none to give, one whose remark says why."""
    seen = cabinet.of_token(token) if _TOKEN.fullmatch(token) else None
    if seen is None:
        raise NotFound("no such subscription link")
    if seen.subscription is not None:
        subscriptions.note_fetch(seen.subscription)
    response = Response(links.subscription_body([seen.coming_url or links.placeholder(_reason(seen))]))
    response.mimetype = "text/plain"
    response.headers["Profile-Title"] = "base64:" + base64.b64encode(TITLE.encode()).decode()
    response.headers["Profile-Update-Interval"] = str(UPDATE_HOURS)
    response.headers["Profile-Web-Page-Url"] = settings.get().mini_app_url
    if seen.expires_at:
        expire = int(seen.expires_at.timestamp())
        response.headers["Subscription-Userinfo"] = f"upload=0; download=0; total=0; expire={expire}"
    response.headers["Content-Disposition"] = 'attachment; filename="KrotRay"'
    return response


def _reason(seen: Cabinet) -> str:
    if seen.running:
        return "Свободного сервера пока нет — дни не тратятся, мы напишем"
    return "Подписка закончилась — продлите её в Telegram"
