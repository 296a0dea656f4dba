"""The part of the control API that breaks things: faults, refunds that take their time, modes, saved methods."""

from __future__ import annotations

from flask import Response, jsonify, request

from .api import OPERATIONS
from .control_input import ControlError, read_body, read_reason, read_word, sandbox_here
from .faults import FaultError, parse
from .modes import MODES

_LONGEST_WAIT = 60.0


def arm() -> Response:
    """A fault as `faults.parse` takes it: put it at the end of the list; answers it with its id."""
    try:
        fault = parse(read_body(checked_later=True), [operation.name for operation in OPERATIONS])
    except FaultError as error:
        raise ControlError(str(error)) from None
    return jsonify(sandbox_here().faults.arm(fault))


def faults() -> Response:
    """What is armed and how often it has struck; `?wait=S&fired=N` waits until all together have struck N times."""
    armed = sandbox_here().faults
    wait = request.args.get("wait", 0.0, type=float)
    if wait > 0:
        armed.wait(min(wait, _LONGEST_WAIT), request.args.get("fired", 1, type=int))
    return jsonify(items=armed.told(), hanging=armed.hanging())


def clear() -> Response:
    """`{id?}`: disarm one fault or all; what they held back is sent."""
    fault_id = read_body("id").get("id")
    if fault_id is not None and (isinstance(fault_id, bool) or not isinstance(fault_id, int)):
        raise ControlError("id has to be a whole number")
    return jsonify(cleared=sandbox_here().clear_faults(fault_id))


def release() -> Response:
    """Let every request that hangs go its way; answers how many there were."""
    return jsonify(released=sandbox_here().faults.release())


def succeed_refund(refund_id: str) -> Response:
    """A pending refund succeeds; answers it."""
    read_body()
    return jsonify(sandbox_here().refunds.succeed(refund_id))


def cancel_refund(refund_id: str) -> Response:
    """`{reason?, party?}`: a pending refund fails, which nobody is told; answers it."""
    body = read_body("reason", "party")
    return jsonify(sandbox_here().refunds.cancel(refund_id, read_reason(body), read_word(body, "party", None)))


def modes() -> Response:
    """`{receipt_required?, recurring_allowed?}`: what kind of shop it is from now on; answers all of it."""
    moved = read_body(*MODES)
    for name, value in moved.items():
        if not isinstance(value, bool):
            raise ControlError(f"{name} has to be a boolean")
    sandbox_here().modes.switch(moved)
    return jsonify(sandbox_here().modes.all())


def methods() -> Response:
    """The saved payment methods, oldest first."""
    return jsonify(items=sandbox_here().saved.all())


def method(method_id: str) -> Response:
    """`{declines_with}`: why every charge of a saved method fails from now on, or null; answers the method."""
    body = read_body("declines_with")
    if "declines_with" not in body:
        raise ControlError("declines_with has to be a word such as permission_revoked, or null")
    return jsonify(sandbox_here().saved.decline_with(method_id, read_word(body, "declines_with", None)))


ROUTES = (
    ("/faults", arm, "POST"),
    ("/faults", faults, "GET"),
    ("/faults/clear", clear, "POST"),
    ("/faults/release", release, "POST"),
    ("/refunds/<refund_id>/succeed", succeed_refund, "POST"),
    ("/refunds/<refund_id>/cancel", cancel_refund, "POST"),
    ("/modes", modes, "POST"),
    ("/methods", methods, "GET"),
    ("/methods/<method_id>", method, "POST"),
)
