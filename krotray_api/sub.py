"""GET /sub/<token>: the subscription that a VPN program fetches. The token is the login."""

from __future__ import annotations

import base64

from flask import Blueprint, Response

from krotray_core import cabinet, links, settings
from krotray_core.cabinet import Cabinet
from krotray_core.errors import NotFound

blueprint = Blueprint("sub", __name__)

TITLE = "KrotRay"
UPDATE_HOURS = 12


@blueprint.get("/sub/<token>")
def show(token: str) -> Response:
    """The links in base64; when there is none to give, one whose remark says why."""
    seen = cabinet.of_token(token) if len(token) <= 128 else None
    if seen is None:
        raise NotFound("no such subscription link")
    response = Response(links.subscription_body([seen.vless_url or links.placeholder(_reason(seen))]))
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
        return "Ключ готовим — обновите подписку через минуту"
    return "Подписка закончилась — продлите её в Telegram"
