"""GET /api/me and /api/key: one's own subscription."""

from __future__ import annotations

from flask import Blueprint

from krotray_api import auth
from krotray_api.schemas import KeyOut, MeOut, SubscriptionOut, UserOut, answer
from krotray_core import cabinet

blueprint = Blueprint("me", __name__)


@blueprint.get("/api/me")
def me() -> dict[str, object]:
    """The home screen: who, in which state, with what subscription."""
    user = auth.current_user()
    seen = cabinet.of_user(user.id)
    subscription = SubscriptionOut.of(seen)
    return answer(MeOut(user=UserOut.of(user), state=seen.state, subscription=subscription, payment_id=seen.payment_id))


@blueprint.get("/api/key")
def key() -> dict[str, object]:
    """How to connect, while there is something to connect with."""
    seen = cabinet.of_user(auth.current_user().id)
    if not seen.running:
        return answer(KeyOut())
    return answer(
        KeyOut(
            vless_url=seen.vless_url,
            subscription_url=seen.subscription_url,
            expires_at=seen.expires_at,
            days_left=seen.days_left,
        )
    )
