"""GET /api/me and /api/key: one's own subscription; POST /api/key/rotate: another key for it."""

from __future__ import annotations

from flask import Blueprint, Response

from krotray_api import auth, describing, limits
from krotray_api.schemas import KeyOut, MeOut, SubscriptionOut, UserOut, answer
from krotray_core import cabinet, ledger, subscriptions
from krotray_core.cabinet import Cabinet
from krotray_tasks import access

blueprint = Blueprint("me", __name__)


@blueprint.get("/api/me")
@describing.answers(MeOut)
def me() -> Response:
    """The home screen: who, in which state, with what subscription."""
    user, seen = cabinet.of_person(auth.current_person())
    subscription = SubscriptionOut.of(seen)
    return answer(MeOut(user=UserOut.of(user), state=seen.state, subscription=subscription, payment_id=seen.payment_id))


@blueprint.get("/api/key")
@describing.answers(KeyOut)
def key() -> Response:
    """How to connect, while there is something to connect with."""
    return _key(cabinet.of_person(auth.current_person())[1])


@blueprint.post("/api/key/rotate")
@limits.on_rotate
@describing.answers(KeyOut, problems=(404, 429))
def rotate() -> Response:
    """A new key and a new link: the old ones stop working. The key itself is null until its server has confirmed it."""
    user = auth.current_user()
    with ledger.acting("user"):
        changed = subscriptions.rotate_key(user.telegram_id)
    access.converge_all(changed.servers)
    return _key(cabinet.of_user(user.id))


def _key(seen: Cabinet) -> Response:
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
