"""YooKassa, over its SDK: deadlines, our own errors, and answers read without trust.

The SDK builds requests, signs them and names itself; what it does not do (time out, tell failures apart, keep quiet about the
Authorization header, stay away from proxies and ~/.netrc) is done here. https://yookassa.ru/developers/api
"""

from __future__ import annotations

import copy
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any

import requests
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator
from yookassa.client import ApiClient
from yookassa.configuration import Configuration
from yookassa.domain.common import RequestObject, UserAgent
from yookassa.domain.request import PaymentRequest

from krotray_core import money, settings
from krotray_core.deadlines import DeadlineAdapter
from krotray_core.errors import GatewayDenied, GatewayError, GatewayNotFound, GatewayUnavailable

CONNECT_SECONDS = 3.0
READ_SECONDS = 8.0  # between two packets
ANSWER_SECONDS = 12.0  # for the whole answer, however slowly it drips
ANSWER_BYTES = 1024 * 1024

ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)

# 4xx that say nothing about the request itself: the same one may well pass later.
_TRANSIENT_4XX = {408, 423, 425, 429}
_REFUSALS = {401: GatewayDenied, 403: GatewayDenied, 404: GatewayNotFound}


def _plain(text: str) -> str:
    """Text that a database can keep and a page can show: no control characters, no halves of a character."""
    if not text.isprintable():
        raise ValueError("unprintable")
    return text


def _link(text: str) -> str:
    if not re.match(r"https?://", text):
        raise ValueError("not a web address")
    return text


Text = Annotated[str, AfterValidator(_plain)]


class _Parsed(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Amount(_Parsed):
    value: Text
    currency: Text


class _Recipient(_Parsed):
    account_id: Text


class _Confirmation(_Parsed):
    confirmation_url: Annotated[Text, AfterValidator(_link)] | None = None


class _Cancellation(_Parsed):
    reason: Text | None = None


class _Payment(_Parsed):
    id: Annotated[str, Field(pattern=f"^{ID.pattern}$")]
    status: Text
    paid: bool = False
    amount: _Amount
    refunded_amount: _Amount | None = None
    recipient: _Recipient
    confirmation: _Confirmation | None = None
    cancellation_details: _Cancellation | None = None
    metadata: dict[str, Any] = {}


class _Captured(BaseModel):
    captured_at: AwareDatetime | None = None

    @field_validator("captured_at", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise ValueError("not an ISO time")  # a number would be taken for seconds since 1970
        return value


@dataclass(frozen=True, slots=True)
class Found:
    """A payment as YooKassa tells it. `payment_id` is what we put into its metadata, unchecked."""

    external_id: str
    status: str
    paid: bool
    amount_kopecks: int
    refunded_kopecks: int
    currency: str
    shop_id: str
    payment_id: str | None
    confirmation_url: str | None
    cancel_reason: str | None
    captured_at: datetime | None


def create(body: dict[str, Any], idempotence_key: str) -> Found:
    """POST /payments. The same key and body give the same payment for 24 hours.

    Raises GatewayError when YooKassa refuses (nothing was made), GatewayUnavailable when it is unknown what happened.
    """
    headers = {"Idempotence-Key": idempotence_key}
    return _read(_client().request("POST", "/payments", None, headers, PaymentRequest(copy.deepcopy(body))))


def fetch(external_id: str) -> Found:
    """GET /payments/{id}. Raises GatewayNotFound, GatewayError, GatewayUnavailable."""
    if not ID.fullmatch(external_id):  # "a/../../me" would ask for something else
        raise GatewayNotFound("not an id of YooKassa's")
    found = _read(_client().request("GET", f"/payments/{external_id}"))
    if found.external_id != external_id:
        raise GatewayUnavailable("YooKassa answered with another payment")
    return found


def _read(answer: Any) -> Found:
    try:
        payment = _Payment.model_validate(answer)
        captured = _Captured.model_validate(answer).captured_at
        amount = money.from_text(payment.amount.value)
        refunded = money.from_text(payment.refunded_amount.value) if payment.refunded_amount else 0
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in fault["loc"]) for fault in error.errors()})
        raise GatewayUnavailable(f"YooKassa's answer is not a payment: {', '.join(fields)}") from None
    except ValueError:
        raise GatewayUnavailable("YooKassa's answer holds no amount that we can read") from None
    payment_id = payment.metadata.get("payment_id")
    return Found(
        external_id=payment.id,
        status=payment.status,
        paid=payment.paid,
        amount_kopecks=amount,
        refunded_kopecks=refunded,
        currency=payment.amount.currency,
        shop_id=payment.recipient.account_id,
        payment_id=payment_id if isinstance(payment_id, str) else None,
        confirmation_url=payment.confirmation.confirmation_url if payment.confirmation else None,
        cancel_reason=payment.cancellation_details.reason if payment.cancellation_details else None,
        captured_at=captured,
    )


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - requests' own signature
        """Nowhere. requests looks for a target, and reads the answer without limit, even when told not to follow."""
        return None


class _Client(ApiClient):  # type: ignore[misc] # the SDK ships no types
    """The SDK's client with its own credentials (the SDK keeps them in globals) and without its surprises."""

    def __init__(self, endpoint: str, shop_id: str, secret_key: str) -> None:
        # Not super().__init__(): it reads the process-wide Configuration.
        self.configuration = Configuration
        self.endpoint, self.shop_id, self.shop_password = endpoint, shop_id, secret_key
        self.auth_token = None
        self.user_agent = UserAgent()
        self._session = _Session()
        self._session.trust_env = False  # ~/.netrc would replace our login, a proxy variable our route
        for scheme in ("https://", "http://"):
            # No silent second POST either: repeating is for those who know the idempotence key.
            self._session.mount(scheme, DeadlineAdapter(pause_seconds=READ_SECONDS, answer_seconds=ANSWER_SECONDS))

    def request(
        self,
        method: str = "",
        path: str = "",
        query_params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
    ) -> Any:
        """Sends and answers with the decoded JSON. Raises GatewayError and its kin, GatewayUnavailable; nothing else."""
        if isinstance(body, RequestObject):
            body.validate()
            body = dict(body)
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
                return _decode(response.status_code, _body(response))
        except requests.RequestException as error:
            # Its text may hold the address with what is in it; the kind of failure is all that we need.
            raise GatewayUnavailable(f"YooKassa did not answer: {type(error).__name__}") from None


def _body(response: requests.Response) -> bytes:
    received = bytearray()
    for chunk in response.iter_content(16 * 1024):
        received += chunk
        if len(received) > ANSWER_BYTES:
            raise GatewayUnavailable("YooKassa's answer is too large")
    return bytes(received)


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


@cache
def _client() -> _Client:
    s = settings.get()
    return _Client(s.yookassa_api_url, s.yookassa_shop_id, s.yookassa_secret_key.get_secret_value())


os.register_at_fork(after_in_child=_client.cache_clear)  # a child must not share its parent's connections
