"""The control API under /sandbox: what tests and the demo use to play payer, bank, time and mischief."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request

from .clock import to_wire
from .control_faults import ROUTES
from .control_input import ControlError, read_body, read_reason, refusal, sandbox_here
from .errors import ApiError
from .incoming import METHODS
from .outbox import notification
from .payer import NotPayableError
from .refunds import RefundFinishedError
from .shapes import merged
from .wording import money

_AMOUNT = re.compile(r"-?[0-9]{1,12}(\.[0-9]+)?")
_TEN_YEARS = 10 * 365 * 24 * 3600
_MOST_COPIES = 50
_EVENT_OF_STATUS = {
    "waiting_for_capture": "payment.waiting_for_capture",
    "succeeded": "payment.succeeded",
    "canceled": "payment.canceled",
}


def control_blueprint() -> Blueprint:
    """The routes of the control API."""
    blueprint = Blueprint("control", __name__, url_prefix="/sandbox")
    blueprint.before_request(_only_from_here)
    blueprint.register_error_handler(ControlError, lambda error: refusal(str(error), 400))
    blueprint.register_error_handler(NotPayableError, lambda error: refusal(str(error), 409))
    blueprint.register_error_handler(RefundFinishedError, lambda error: refusal(str(error), 409))
    blueprint.register_error_handler(ApiError, lambda error: refusal(error.description, error.status))
    for rule, view, method in (
        ("/", overview, "GET"),
        ("/clock", clock, "POST"),
        ("/payments/<payment_id>/pay", pay, "POST"),
        ("/payments/<payment_id>/decline", decline, "POST"),
        ("/payments/<payment_id>/cancel", cancel, "POST"),
        ("/payments/<payment_id>/notify", notify, "POST"),
        ("/payments/<payment_id>/tamper", tamper, "POST"),
        ("/deliveries", deliveries, "GET"),
        ("/webhooks", webhooks, "POST"),
        ("/requests", requests_seen, "GET"),
        ("/reset", reset, "POST"),
        *ROUTES,
    ):
        blueprint.add_url_rule(rule, view_func=view, methods=[method])
    return blueprint


def overview() -> str:
    """A page for a curious human: the payments, what was sent about them, and what is broken on purpose."""
    sandbox = sandbox_here()
    return render_template(
        "overview.html",
        lang="ru",
        now=sandbox.clock.now(),
        payments=sandbox.payments.records()[:100],
        refunds=sandbox.refunds.all()[:100],
        faults=sandbox.faults.told(),
        hanging=sandbox.faults.hanging(),
        modes=sandbox.modes.all(),
        deliveries=sandbox.outbox.deliveries(newest_first=True)[:100],
        undelivered=sandbox.outbox.undelivered(),
        enabled=sandbox.outbox.enabled,
        url=sandbox.outbox.url,
        money=lambda amount: money(amount, "ru"),
    )


def clock() -> Response:
    """`{advance_seconds}`: let time pass; answers the new now."""
    seconds = read_body("advance_seconds").get("advance_seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _TEN_YEARS:
        raise ControlError("advance_seconds has to be a number from 0 to ten years")
    sandbox = sandbox_here()
    sandbox.advance(seconds)
    return jsonify(now=to_wire(sandbox.clock.now()))


def pay(payment_id: str) -> Response:
    """`{method?}`: the payer pays, at once and without questions; answers the payment."""
    method = read_body("method").get("method")
    if method is not None and method not in METHODS:
        raise ControlError(f"method has to be one of {', '.join(METHODS)}")
    return jsonify(sandbox_here().payer.pay(payment_id, method))


def decline(payment_id: str) -> Response:
    """`{reason?}`: an attempt fails, the payment stays payable; answers the payment."""
    return jsonify(sandbox_here().payer.decline(payment_id, read_reason(read_body("reason"))))


def cancel(payment_id: str) -> Response:
    """`{reason?, party?}`: the payment is over; reasons that nobody has heard of are fine. Answers the payment."""
    body = read_body("reason", "party")
    party = body.get("party")
    if party is not None and not isinstance(party, str):
        raise ControlError("party has to be a string")
    return jsonify(sandbox_here().payer.fail(payment_id, read_reason(body), party))


def notify(payment_id: str) -> Response:
    """`{copies?, event?, object_overrides?}`: send notifications now, true or forged; answers their statuses."""
    body = read_body("copies", "event", "object_overrides")
    copies, overrides = body.get("copies", 1), body.get("object_overrides", {})
    if isinstance(copies, bool) or not isinstance(copies, int) or not 1 <= copies <= _MOST_COPIES:
        raise ControlError(f"copies has to be a whole number from 1 to {_MOST_COPIES}")
    if not isinstance(overrides, dict):
        raise ControlError("object_overrides has to be an object")
    sandbox = sandbox_here()
    wire: dict[str, Any] | None = sandbox.payments.record(payment_id).wire
    event = body.get("event") or _EVENT_OF_STATUS.get(wire["status"] if wire else "")
    if not isinstance(event, str):
        raise ControlError("a pending payment has no event of its own: name one")
    if event.startswith("refund."):
        wire = sandbox.refunds.latest_of(payment_id)
    if wire is None:
        raise ControlError("the payment has no refund")
    if sandbox.outbox.url is None:
        raise ControlError("no webhook url is configured")
    answers = sandbox.courier.send_now(notification(event, merged(wire, overrides)), copies)
    return jsonify(statuses=[status for status, _ in answers], errors=[error for _, error in answers])


def tamper(payment_id: str) -> Response:
    """`{amount?, currency?, metadata?, account_id?}`: falsify what the API tells; answers the payment."""
    changes = read_body("amount", "currency", "metadata", "account_id")
    for name in changes.keys() - {"metadata"}:
        if not isinstance(changes[name], str):
            raise ControlError(f"{name} has to be a string")
    if not _AMOUNT.fullmatch(changes.get("amount", "0")):
        raise ControlError("amount has to be a number in a string")
    if not isinstance(changes.get("metadata", {}), dict):
        raise ControlError("metadata has to be an object")
    return jsonify(sandbox_here().payments.tamper(payment_id, changes))


def deliveries() -> Response:
    """Every delivery attempt, oldest first; `?wait=S` waits until all is delivered, or `&at_least=N` are logged."""
    wait, at_least = request.args.get("wait", 0.0, type=float), request.args.get("at_least", type=int)
    outbox = sandbox_here().outbox
    if wait > 0:
        outbox.wait(min(wait, 60.0), at_least)
    return jsonify(items=outbox.deliveries(), undelivered=outbox.undelivered())


def webhooks() -> Response:
    """`{enabled?, url?}`: switch notifications off (they are lost) and on, or send them elsewhere."""
    body = read_body("enabled", "url")
    outbox = sandbox_here().outbox
    enabled, url = body.get("enabled", outbox.enabled), body.get("url")
    if not isinstance(enabled, bool):
        raise ControlError("enabled has to be a boolean")
    if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        raise ControlError("url has to be an http or https address")
    outbox.configure(enabled=enabled, url=url)
    return jsonify(enabled=outbox.enabled, url=outbox.url)


def requests_seen() -> Response:
    """How often each operation of the API was asked for since the start or the last reset."""
    return jsonify(sandbox_here().requests.snapshot())


def reset() -> Response:
    """Forget everything, the faults too."""
    sandbox_here().reset()
    return jsonify(ok=True)


def _only_from_here() -> tuple[Response, int] | None:
    # The checkout page may be shown to a phone in the same network; these doors are for this machine alone.
    try:
        here = ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        here = False
    return None if here else refusal("the control API answers on this machine only", 403)
