"""Errors over HTTP: RFC 9457, made here and nowhere else. The status follows from the error's class, the code is its own."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, json, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from krotray_core import errors

log = logging.getLogger(__name__)

# The first class that fits counts, so the particular stands before the general.
_STATUSES: tuple[tuple[type[errors.KrotRayError], HTTPStatus], ...] = (
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.Invalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.InitDataMissing, HTTPStatus.UNAUTHORIZED),
    (errors.InitDataInvalid, HTTPStatus.UNAUTHORIZED),
    (errors.InitDataExpired, HTTPStatus.UNAUTHORIZED),
    (errors.GatewayError, HTTPStatus.BAD_GATEWAY),
    (errors.GatewayUnavailable, HTTPStatus.BAD_GATEWAY),
    (errors.Retryable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.KrotRayError, HTTPStatus.INTERNAL_SERVER_ERROR),
)


def problem(status: int, code: str, detail: str) -> Response:
    """An application/problem+json answer."""
    body = {
        "type": f"urn:krotray:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
    }
    return Response(json.dumps(body), status, mimetype="application/problem+json")


def too_many_requests(seconds: int) -> Response:
    """429: come back after so many seconds."""
    answer = problem(HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", f"Too often: please try again in {seconds} s.")
    answer.headers["Retry-After"] = str(seconds)
    return answer


def install(app: Flask) -> None:
    """Has every error of the application answered by `problem`."""
    app.register_error_handler(errors.KrotRayError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OperationalError, _database)
    app.register_error_handler(InterfaceError, _database)
    app.register_error_handler(PoolTimeout, _database)
    app.register_error_handler(Exception, _unforeseen)


def _ours(error: errors.KrotRayError) -> Response:
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s %s: %s: %s", request.method, request.path, error.code, error)
    # What YooKassa or Xray said is for our log; the person learns what it means for them.
    detail = _OUTSIDE.get(status, str(error))
    answer = problem(status, error.code, detail)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = "5"
    return answer


_OUTSIDE = {
    HTTPStatus.BAD_GATEWAY: "The payment service gave no usable answer. No money was taken; please try again in a minute.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Please try again in a few seconds.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong on our side.",
}


def _http(error: HTTPException) -> Response:
    if error.response is not None:  # a redirect, or an answer that was made elsewhere
        return error.get_response()
    status = error.code or 500
    phrase = HTTPStatus(status).phrase
    answer = problem(status, phrase.lower().replace(" ", "_").replace("-", "_"), error.description or phrase)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def _database(error: OperationalError | InterfaceError | PoolTimeout) -> Response:
    log.error("%s %s: no database: %s", request.method, request.path, type(error).__name__)
    answer = problem(503, "database_unavailable", _OUTSIDE[HTTPStatus.SERVICE_UNAVAILABLE])
    answer.headers["Retry-After"] = "5"
    return answer


def _unforeseen(_error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.path)
    return problem(500, "internal_error", _OUTSIDE[HTTPStatus.INTERNAL_SERVER_ERROR])
