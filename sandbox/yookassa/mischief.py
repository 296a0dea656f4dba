"""How a fault of the API comes true: what the client gets instead of the answer, down to the socket."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator

from flask import Response, jsonify, request

from .armed import Strike
from .errors import ApiError
from .faults import Fault
from .shapes import merged

_BAD_GATEWAY = """<html>
<head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body>
</html>
"""
_ERRORS = {
    "401": ("invalid_credentials", "The shop id or the secret key is wrong"),
    "403": ("forbidden", "The shop may not do this"),
    "429": ("too_many_requests", "Too many requests, repeat later"),
    "500": ("internal_server_error", "Something went wrong, repeat the request with the same key"),
}


def play(strike: Strike, perform: Callable[[], Response]) -> Response:
    """Answer a request as the fault wants it. `perform` does the work and gives the true answer; it may not be called."""
    fault = strike.fault
    if fault.kind == "pass":
        return perform()
    answer = perform() if fault.when == "after" else None
    if fault.kind == "drop":
        return _hung_up()
    if fault.kind == "hang":
        return _late(strike, perform, answer)
    if answer is not None and fault.kind in ("drip", "truncated", "wrong"):
        return _spoiled(strike, answer)
    return _instead(fault)


def _late(strike: Strike, perform: Callable[[], Response], answer: Response | None) -> Response:
    try:
        strike.over.wait(strike.fault.options["seconds"])
    finally:
        strike.end()
    if strike.abandoned or strike.fault.options["then"] == "close":
        return _hung_up()
    return answer or perform()


def _instead(fault: Fault) -> Response:
    """An answer that has nothing to do with the request."""
    if fault.kind == "502":
        return Response(_BAD_GATEWAY, 502, mimetype="text/html")
    wait = fault.options.get("retry_after_ms")
    if fault.kind == "202":
        description = f"The request is being processed. Repeat it with the same data in {wait} ms"
        body = {"type": "processing", "description": description}
    else:
        body = ApiError(int(fault.kind), *_ERRORS[fault.kind]).body()
    response = jsonify(body if wait is None else body | {"retry_after": wait})
    response.status_code = int(fault.kind)
    if fault.options.get("retry_after") is not None:
        response.headers["Retry-After"] = str(fault.options["retry_after"])
    return response


def _spoiled(strike: Strike, answer: Response) -> Response:
    options, whole = strike.fault.options, answer.get_data()
    if strike.fault.kind == "wrong":
        if options["content"] is not None:
            return Response(options["content"], options["status"], content_type=options["content_type"])
        answer.set_data(json.dumps(merged(json.loads(whole), options["overrides"])))
        return answer
    if strike.fault.kind == "truncated":
        answer.set_data(whole[: len(whole) // 2])
        if options["whole_length"]:
            # The server closes the connection after each answer, so this one ends before its announced end.
            answer.content_length = len(whole)
        return answer
    dripping = Response(_drops(strike, whole, options["pause_ms"] / 1000), answer.status, mimetype=answer.mimetype)
    dripping.content_length = len(whole)
    dripping.call_on_close(strike.end)
    return dripping


def _drops(strike: Strike, whole: bytes, pause: float) -> Iterator[bytes]:
    for position in range(len(whole)):
        yield whole[position : position + 1]
        if strike.over.wait(pause):
            return


def _hung_up() -> Response:
    """Close the connection. The response is for Flask only: nothing can be written any more."""
    connection: socket.socket = request.environ["werkzeug.socket"]
    with contextlib.suppress(OSError):  # the client may have gone before us
        connection.shutdown(socket.SHUT_RDWR)
    return Response(status=204)
