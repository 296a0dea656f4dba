"""What the doors of the control API share: reading a request, and refusing one."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, jsonify, request

from .core import Sandbox
from .faults import REASON


class ControlError(Exception):
    """A request to the control API that makes no sense."""


def sandbox_here() -> Sandbox:
    """The sandbox behind this app."""
    sandbox: Sandbox = current_app.extensions["yookassa_sandbox"]
    return sandbox


def refusal(text: str, status: int) -> tuple[Response, int]:
    """The answer to a request that is not served."""
    return jsonify(error=text), status


def read_body(*known: str, checked_later: bool = False) -> dict[str, Any]:
    """The JSON object of the request, with fields of these names only unless somebody else checks them."""
    if not request.get_data():
        return {}
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise ControlError("the body has to be a JSON object")
    unknown = body.keys() - set(known)
    if unknown and not checked_later:
        raise ControlError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known) or 'nothing'}")
    return body


def read_word(body: dict[str, Any], name: str, default: str | None) -> str | None:
    """A field that holds a word of the kind that reasons are."""
    word = body.get(name, default)
    if word is not None and not (isinstance(word, str) and REASON.fullmatch(word)):
        raise ControlError(f"{name} has to be a word such as insufficient_funds")
    return word


def read_reason(body: dict[str, Any]) -> str:
    """Why something fails."""
    reason = read_word(body, "reason", "general_decline")
    if reason is None:
        raise ControlError("reason has to be a word such as insufficient_funds")
    return reason
