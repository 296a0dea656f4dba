"""The API under /v3: a table of operations and the one way that every request takes through it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint, Request, Response, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from .core import Sandbox
from .errors import ApiError, invalid, not_found
from .idempotency import HEADER, Answer
from .incoming import METHODS, capture_amount, list_query, payment_request, refund_request
from .mischief import play
from .records import STATUSES
from .refunds import REFUND_STATUSES


@dataclass(frozen=True)
class Call:
    """One request to an operation, as far as operations care."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """A method and a path of the API, and what is done there."""

    method: str
    template: str
    perform: Callable[[Sandbox, Call], dict[str, Any]]
    needs_body: bool = False

    @property
    def name(self) -> str:
        """How the request counter calls it."""
        return f"{self.method} {self.template}".strip()


def _create_payment(sandbox: Sandbox, call: Call) -> dict[str, Any]:
    modes = sandbox.modes
    wanted = payment_request(
        call.body, receipt_required=modes.receipt_required, recurring_allowed=modes.recurring_allowed
    )
    return sandbox.saved.charge(wanted) if wanted.saved_method else sandbox.payments.create(wanted)


def _list_payments(sandbox: Sandbox, call: Call) -> dict[str, Any]:
    return sandbox.payments.page(list_query(call.query, STATUSES))


def _find_payment(sandbox: Sandbox, call: Call) -> dict[str, Any]:
    return sandbox.payments.record(call.path["id"]).wire


def _capture_payment(sandbox: Sandbox, call: Call) -> dict[str, Any]:
    return sandbox.payments.capture(call.path["id"], capture_amount(call.body))


def _cancel_payment(sandbox: Sandbox, call: Call) -> dict[str, Any]:
    return sandbox.payments.cancel(call.path["id"])


def _create_refund(sandbox: Sandbox, call: Call) -> dict[str, Any]:
    return sandbox.refunds.create(refund_request(call.body))


def _list_refunds(sandbox: Sandbox, call: Call) -> dict[str, Any]:
    return sandbox.refunds.page(list_query(call.query, REFUND_STATUSES, by_payment=True))


def _find_refund(sandbox: Sandbox, call: Call) -> dict[str, Any]:
    return sandbox.refunds.find(call.path["id"])


def _me(sandbox: Sandbox, _call: Call) -> dict[str, Any]:
    fiscalization = sandbox.modes.receipt_required
    return {
        "account_id": sandbox.config.shop_id,
        "status": "enabled",
        "test": True,
        "fiscalization": {"enabled": fiscalization},
        "fiscalization_enabled": fiscalization,
        "payment_methods": list(METHODS),
    }


def _unknown(_sandbox: Sandbox, _call: Call) -> dict[str, Any]:
    raise not_found("There is nothing at this address")


OPERATIONS = (
    Operation("POST", "/v3/payments", _create_payment, needs_body=True),
    Operation("GET", "/v3/payments", _list_payments),
    Operation("GET", "/v3/payments/{id}", _find_payment),
    Operation("POST", "/v3/payments/{id}/capture", _capture_payment),
    Operation("POST", "/v3/payments/{id}/cancel", _cancel_payment),
    Operation("POST", "/v3/refunds", _create_refund, needs_body=True),
    Operation("GET", "/v3/refunds", _list_refunds),
    Operation("GET", "/v3/refunds/{id}", _find_refund),
    Operation("GET", "/v3/me", _me),
)
# Of no method in particular: it needs neither a key nor a body to be refused.
_UNKNOWN = Operation("", "(unknown)", _unknown)


def api_blueprint() -> Blueprint:
    """The routes of the API; what is not in the table is answered as an unknown path."""
    blueprint = Blueprint("api", __name__)
    for operation in OPERATIONS:
        blueprint.add_url_rule(
            operation.template.replace("{id}", "<id>"),
            endpoint=operation.name.replace(".", "_"),
            view_func=partial(_serve, operation),
            methods=[operation.method],
        )
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    blueprint.add_url_rule("/v3/", "unknown_root", partial(_serve, _UNKNOWN), methods=methods)
    blueprint.add_url_rule("/v3/<path:unknown>", "unknown", partial(_serve, _UNKNOWN), methods=methods)
    return blueprint


def _serve(operation: Operation, **path: str) -> Response:
    """Flask's view of every operation."""
    sandbox: Sandbox = current_app.extensions["yookassa_sandbox"]
    sandbox.requests.add(operation.name)
    return dispatch(sandbox, operation, path)


def dispatch(sandbox: Sandbox, operation: Operation, path: Mapping[str, str]) -> Response:
    """Perform one request and say how it went, unless a fault strikes.

    Every answer of the API passes through here, with all its effects already committed: before `perform` nothing has
    happened yet, after it everything has.
    """

    def perform() -> Response:
        return _response(_answer(sandbox, operation, path))

    strike = sandbox.faults.take(operation.name)
    return perform() if strike is None else play(strike, perform)


def _answer(sandbox: Sandbox, operation: Operation, path: Mapping[str, str]) -> Answer:
    try:
        _authenticate(sandbox, request)
        body = _body(request, required=operation.needs_body) if operation.method == "POST" else {}
        call = Call(path, request.args, body)
        perform = partial(operation.perform, sandbox, call)
        if operation.method == "POST":
            sent = {"path": request.path, "body": call.body}
            return sandbox.idempotency.once(request.headers.get(HEADER), sent, perform)
        with sandbox.store.transaction():
            return Answer(200, perform())
    except ApiError as error:
        return Answer(error.status, error.body())
    except HTTPException as error:  # Flask's own, such as a body that is too long
        status = error.code or 500
        return Answer(status, ApiError(status, "invalid_request", str(error.description)).body())
    except Exception:
        current_app.logger.exception("The sandbox itself failed")
        return Answer(500, ApiError(500, "internal_server_error", "The sandbox itself failed").body())


def _response(answer: Answer) -> Response:
    response = jsonify(answer.body)
    response.status_code = answer.status
    return response


def _authenticate(sandbox: Sandbox, incoming: Request) -> None:
    given = incoming.authorization
    expected = (sandbox.config.shop_id, sandbox.config.secret_key)
    if given is None or given.type != "basic":
        raise ApiError(401, "invalid_credentials", "HTTP Basic authentication is expected", "Authorization")
    pairs = zip((given.username or "", given.password or ""), expected, strict=True)
    if not all(hmac.compare_digest(sent.encode(), kept.encode()) for sent, kept in pairs):
        raise ApiError(401, "invalid_credentials", "The shop id or the secret key is wrong", "Authorization")


def _body(incoming: Request, *, required: bool) -> dict[str, Any]:
    raw = incoming.get_data()
    if not raw and not required:
        return {}
    if incoming.mimetype != "application/json":
        raise invalid("A body of the type application/json is expected", "Content-Type")
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise invalid("The body is not valid JSON") from None
    if not isinstance(body, dict):
        raise invalid("The body has to be a JSON object")
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
