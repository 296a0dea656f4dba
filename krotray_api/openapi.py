"""GET /api/openapi.json: the API described, from the same schemas that make the answers."""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Blueprint
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from krotray_api import auth
from krotray_api.schemas import (
    ConnectOut,
    CreatePayment,
    InviteOut,
    KeyOut,
    MeOut,
    PaymentCreated,
    PaymentOut,
    PaymentsOut,
    PlansOut,
    Problem,
)

blueprint = Blueprint("openapi", __name__)

_MODELS: tuple[type[BaseModel], ...] = (
    ConnectOut,
    CreatePayment,
    InviteOut,
    KeyOut,
    MeOut,
    PaymentCreated,
    PaymentOut,
    PaymentsOut,
    PlansOut,
    Problem,
)
_LOGIN = [{"initData": []}, {"initDataBearer": []}]
_PAYMENT_ID = {"name": "payment_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}


@blueprint.get("/api/openapi.json")
def describe() -> dict[str, Any]:
    """The description, OpenAPI 3.1."""
    return _document()


@cache
def _document() -> dict[str, Any]:
    _, definitions = models_json_schema(
        [(model, "serialization") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "KrotRay", "version": "1", "description": "What the Mini App and YooKassa talk to."},
        "paths": _paths(),
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "initData": {"type": "apiKey", "in": "header", "name": auth.HEADER},
                "initDataBearer": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "tma <initData>",
                },
            },
        },
    }


def _paths() -> dict[str, Any]:
    payment = _operation("One's own payment", PaymentOut, 200, (401, 404), parameters=[_PAYMENT_ID])
    check = _operation("Have YooKassa asked about it soon", PaymentOut, 200, (401, 404, 429), parameters=[_PAYMENT_ID])
    create = _operation("Buy or renew", PaymentCreated, 201, (400, 401, 409, 413, 422, 429, 502), body=CreatePayment)
    return {
        "/api/plans": {"get": _operation("What is sold", PlansOut, 200, (), login=False)},
        "/api/me": {"get": _operation("The home screen", MeOut, 200, (401,))},
        "/api/key": {"get": _operation("How to connect", KeyOut, 200, (401,))},
        "/api/key/rotate": {"post": _operation("Replace the key and the link", KeyOut, 200, (401, 404, 429))},
        "/api/connect": {"get": _operation("The programs for every device", ConnectOut, 200, (401,))},
        "/api/invite": {"get": _operation("One's own invitation", InviteOut, 200, (401,))},
        "/api/payments": {"get": _operation("One's own payments, at most 50", PaymentsOut, 200, (401,))},
        "/api/payments/create": {"post": create},
        "/api/payments/{payment_id}": {"get": payment},
        "/api/payments/{payment_id}/check": {"post": check},
        "/api/payments/webhook": {
            "post": {
                "summary": "YooKassa's notifications",
                "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
                "responses": {"200": {"description": "Noted"}} | _problems((400, 403, 413, 429, 503)),
            }
        },
    }


def _operation(
    summary: str,
    model: type[BaseModel],
    status: int,
    problems: tuple[int, ...],
    *,
    body: type[BaseModel] | None = None,
    parameters: list[dict[str, Any]] | None = None,
    login: bool = True,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {str(status): {"description": summary, "content": _json(model)}} | _problems((*problems, 503)),
    }
    if body:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    if parameters:
        operation["parameters"] = parameters
    if login:
        operation["security"] = _LOGIN
    return operation


def _problems(statuses: tuple[int, ...]) -> dict[str, Any]:
    content = _json(Problem, "application/problem+json")
    return {str(status): {"description": "See `code`", "content": content} for status in sorted(set(statuses))}


def _json(model: type[BaseModel], media: str = "application/json") -> dict[str, Any]:
    return {media: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
