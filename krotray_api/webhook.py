"""POST /api/payments/webhook: YooKassa says that something happened. Only a hint: what counts is what it says when asked."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple
from uuid import UUID

from flask import Blueprint, Response, abort
from sqlalchemy.exc import SQLAlchemyError

from krotray_api import addresses, bodies, describing, limits, problems
from krotray_api.schemas import Noted, Notification
from krotray_core import billing, yookassa
from krotray_tasks import money

log = logging.getLogger(__name__)
blueprint = Blueprint("webhook", __name__)


@blueprint.post("/api/payments/webhook")
@limits.on_webhook
@describing.answers(Noted, body=Notification, login=False, problems=(400, 403, 413, 429))
def receive() -> Response:
    """Notes the hint and wakes a worker. 200 noted, 400 not a notification, 403 not YooKassa's address, 503 not noted."""
    if not addresses.from_yookassa():
        abort(403, "not an address of YooKassa's")
    told = _told(bodies.json_body())
    if told is None:
        return _noted()  # about something that is no payment
    try:
        hint = billing.note_hint(told.external_id, told.event, told.ours)
    except SQLAlchemyError as error:
        log.error("a notification could not be noted: %s", type(error).__name__)  # noqa: TRY400 - its text may quote data
        return problems.problem(503, "not_noted", "please send it again")
    if hint.look is not None:
        money.settle.enqueue(str(hint.look), "webhook")
    elif not hint.known and not money.settle_external.enqueue(told.external_id):
        return problems.problem(503, "not_noted", "please send it again")
    return _noted()


def _noted() -> Response:
    return Response('{"status": "noted"}', mimetype="application/json")


class _Told(NamedTuple):
    """What a notification claims: something happened to YooKassa's payment `external_id`, which may be ours by the id `ours`."""

    event: str
    external_id: str
    ours: UUID | None


def _told(body: Any) -> _Told | None:
    """The claim of a notification; None when it is about something that we do not sell. Aborts with 400."""
    if not isinstance(body, dict) or body.get("type") != "notification" or not isinstance(body.get("event"), str):
        abort(400, "not a notification")
    thing = body.get("object")
    if not isinstance(thing, dict):
        abort(400, "not a notification: no object")
    event = body["event"]
    kind = event.partition(".")[0]
    if kind not in ("payment", "refund"):
        return None
    external_id = thing.get("payment_id" if kind == "refund" else "id")
    if not isinstance(external_id, str) or not yookassa.ID.fullmatch(external_id):
        abort(400, "not a notification: no payment id")
    metadata = thing.get("metadata")
    try:
        ours = UUID(metadata["payment_id"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError, AttributeError):
        ours = None
    return _Told(event, external_id, ours)
