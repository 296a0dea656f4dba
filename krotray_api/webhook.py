"""POST /api/payments/webhook: YooKassa says that something happened. Only a hint: what counts is what it says when asked."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, request
from sqlalchemy.exc import SQLAlchemyError

from krotray_api import addresses, bodies, problems
from krotray_core import billing, settings, yookassa
from krotray_tasks import money

log = logging.getLogger(__name__)
blueprint = Blueprint("webhook", __name__)


@blueprint.post("/api/payments/webhook")
def receive() -> Response:
    """Notes the hint and wakes a worker. 200 noted, 400 not a notification, 403 not YooKassa's address, 503 not noted."""
    s = settings.get()
    if not addresses.within(addresses.client_address(request, s.trusted_proxies), s.yookassa_networks):
        abort(403, "not an address of YooKassa's")
    external_id, ours = _hint(bodies.json_body())
    if external_id is None:
        return _noted()  # about something that is no payment
    try:
        payment_id = billing.note_hint(external_id, ours)
    except SQLAlchemyError as error:
        log.error("a notification could not be noted: %s", type(error).__name__)  # noqa: TRY400 - its text may quote data
        return problems.problem(503, "not_noted", "please send it again")
    if payment_id is not None:
        money.settle.enqueue(str(payment_id))
    elif not money.settle_external.enqueue(external_id):
        return problems.problem(503, "not_noted", "please send it again")
    return _noted()


def _noted() -> Response:
    return Response('{"status": "noted"}', mimetype="application/json")


def _hint(body: Any) -> tuple[str | None, UUID | None]:
    """YooKassa's id of the payment that a notification is about, and our own id if it names one. Aborts with 400."""
    if not isinstance(body, dict) or body.get("type") != "notification" or not isinstance(body.get("event"), str):
        abort(400, "not a notification")
    thing = body.get("object")
    if not isinstance(thing, dict):
        abort(400, "not a notification: no object")
    kind = body["event"].partition(".")[0]
    if kind not in ("payment", "refund"):
        return None, None
    external_id = thing.get("payment_id" if kind == "refund" else "id")
    if not isinstance(external_id, str) or not yookassa.ID.fullmatch(external_id):
        abort(400, "not a notification: no payment id")
    metadata = thing.get("metadata")
    try:
        return external_id, UUID(metadata["payment_id"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError, AttributeError):
        return external_id, None
