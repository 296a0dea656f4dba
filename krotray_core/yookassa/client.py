"""Requests to YooKassa: over the SDK's client, with deadlines, our own errors and no leaks.

Errors: https://yookassa.ru/developers/using-api/response-handling/http-codes
"""

from __future__ import annotations

import copy
import json
from typing import Any

import requests
from yookassa.client import ApiClient
from yookassa.configuration import Configuration
from yookassa.domain.common import RequestObject, UserAgent

from krotray_core.deadlines import Session, read
from krotray_core.errors import GatewayDenied, GatewayError, GatewayNotFound, GatewayUnavailable

CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0  # between two packets
ANSWER_SECONDS = 12.0  # for the whole answer, however slowly it drips
ANSWER_BYTES = 8 * 1024 * 1024  # 100 payments on a page, made by others too and with all that metadata may hold

# 4xx that say nothing about the request itself: the same one may well pass later.
_TRANSIENT_4XX = {408, 423, 425, 429}
_REFUSALS = {401: GatewayDenied, 403: GatewayDenied, 404: GatewayNotFound}


class Client(ApiClient):  # type: ignore[misc] # the SDK ships no types
    """The SDK's client with its own credentials (the SDK keeps them in globals) and without its surprises."""

    def __init__(self, endpoint: str, shop_id: str, secret_key: str) -> None:
        # Not super().__init__(): it reads the process-wide Configuration.
        self.configuration = Configuration
        self.endpoint, self.shop_id, self.shop_password = endpoint, shop_id, secret_key
        self.auth_token = None
        self.user_agent = UserAgent()
        # No silent second POST: repeating is for those who know the idempotence key.
        self._session = Session(pause_seconds=READ_SECONDS, answer_seconds=ANSWER_SECONDS)
        self._session.trust_env = False  # ~/.netrc would replace our login, a proxy variable our route

    def post(self, path: str, kind: type[RequestObject], body: dict[str, Any], idempotence_key: str) -> Any:
        """POSTs the body, as the SDK's model of that kind of request writes it; the body itself stays as it is.

        A field that the model does not have is not sent. Raises as `request` does; GatewayError also for a body that the
        model does not take.
        """
        try:
            filled = kind(copy.deepcopy(body))
            filled.validate()
            sent = dict(filled)
        except Exception as error:  # whatever it stumbles over, nothing has been sent
            raise GatewayError(f"the SDK does not take this request: {type(error).__name__}") from error
        return self.request("POST", path, headers={"Idempotence-Key": idempotence_key}, body=sent)

    def get(self, path: str, query: dict[str, str] | None = None) -> Any:
        """GETs. Raises as `request` does."""
        return self.request("GET", path, query)

    def request(
        self,
        method: str = "",
        path: str = "",
        query_params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
    ) -> Any:
        """Sends and answers with the decoded JSON. Raises GatewayError and its kin, GatewayUnavailable; nothing else."""
        try:
            with self._session.request(
                method,
                self.endpoint + path,
                params=query_params,
                headers=self.prepare_request_headers(headers),
                json=body,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as response:
                return _decode(response.status_code, read(response, ANSWER_BYTES))
        except requests.RequestException as error:
            # Its text may hold the address with what is in it; the kind of failure is all that we need.
            raise GatewayUnavailable(f"YooKassa did not answer: {type(error).__name__}") from None


def _decode(status: int, body: bytes) -> Any:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if status == requests.codes.ok:
        if isinstance(answer, dict):
            return answer
        raise GatewayUnavailable("YooKassa's answer is not JSON")
    said = _said(answer)
    if 400 <= status < 500 and status not in _TRANSIENT_4XX:
        raise _REFUSALS.get(status, GatewayError)(f"YooKassa refused: {status} {said}")
    raise GatewayUnavailable(f"YooKassa answered {status} {said}")


def _said(answer: Any) -> str:
    """The machine-readable part of an error; the description is left out, it may quote what we sent."""
    if not isinstance(answer, dict):
        return "(no JSON)"
    return " ".join(str(answer[name])[:64] for name in ("code", "parameter") if answer.get(name))
