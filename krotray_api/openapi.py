"""GET /api/openapi.json: the API described, OpenAPI 3.1, from what each route says of itself; GET /api/docs: the same to read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from krotray_api import auth, describing, pages
from krotray_api.describing import Media, Operation
from krotray_api.schemas import Problem

blueprint = Blueprint("openapi", __name__)

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_LOGIN = [{"initData": []}, {"initDataBearer": []}]
_INTRODUCTION = (
    "What the Mini App, VPN programs and YooKassa talk to. Amounts are decimal strings in rubles, times ISO 8601 in UTC. "
    "Errors are `application/problem+json` (RFC 9457) with a stable `code`."
)


@blueprint.get("/api/openapi.json")
def describe() -> dict[str, Any]:
    """The description, OpenAPI 3.1."""
    return document(current_app._get_current_object())  # type: ignore[attr-defined]


@blueprint.get("/api/docs")
def read() -> Response:
    """The description as a page."""
    return pages.render("api.html", api=describe())


@cache
def document(app: Flask) -> dict[str, Any]:
    """The description of all routes of the application that say something of themselves."""
    found = list(_operations(app))
    models = {Problem} | {model for _, _, _, operation in found for model in _models(operation)}
    _, definitions = models_json_schema(
        [(model, "serialization") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, Any] = {}
    for address, method, summary, operation in found:
        paths.setdefault(address, {})[method] = _described(method, address, summary, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "KrotRay", "version": "1", "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": definitions["$defs"], "securitySchemes": _schemes()},
    }


def _operations(app: Flask) -> Iterator[tuple[str, str, str, Operation]]:
    """Address, method, summary and promise of every route that is described, in the order of addresses."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        operation = describing.of(view)
        if operation is None:
            continue
        summary = (inspect.getdoc(view) or "").partition("\n")[0]
        for method in _METHODS:
            if method in (rule.methods or ()):
                yield re.sub(r"<(?:[^<>:]*:)?([a-z_]+)>", r"{\1}", rule.rule), method.lower(), summary, operation


def _models(operation: Operation) -> Iterator[type[BaseModel]]:
    yield from (model for model in (operation.model, operation.body, *operation.also.values()) if _is_model(model))  # type: ignore[misc]


def _is_model(thing: object) -> bool:
    return isinstance(thing, type)


def _described(method: str, address: str, summary: str, operation: Operation) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method} {address}").strip("_"),
        "summary": summary,
        "responses": _responses(operation),
    }
    if operation.parameters:
        said["parameters"] = list(operation.parameters)
    if operation.body:
        said["requestBody"] = {"required": True, "content": _json(operation.body)}
    if operation.login:
        said["security"] = _LOGIN
    return said


def _responses(operation: Operation) -> dict[str, Any]:
    good: dict[str, Any] = {str(operation.status): {"description": "As asked", "content": _content(operation.model)}}
    for status, model in operation.also.items():
        good[str(status)] = {"description": "See the body", "content": _json(model)}
    refused = {*operation.problems, 500, 503} - set(operation.also)
    if operation.login:
        refused.add(401)
    return good | {str(status): _problem(status) for status in sorted(refused)}


def _problem(status: int) -> dict[str, Any]:
    said: dict[str, Any] = {"description": "See `code`", "content": _json(Problem, "application/problem+json")}
    if status == 429:
        seconds = {"type": "integer", "minimum": 1}
        said["headers"] = {"Retry-After": {"description": "Seconds to wait", "required": True, "schema": seconds}}
    return said


def _content(model: type[BaseModel] | Media) -> dict[str, Any]:
    if isinstance(model, Media):
        return {media: {"schema": {"type": kind}} if kind else {} for media, kind in model.kinds.items()}
    return _json(model)


def _json(model: type[BaseModel], media: str = "application/json") -> dict[str, Any]:
    return {media: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _schemes() -> dict[str, Any]:
    said = "The raw `Telegram.WebApp.initData`"
    return {
        "initData": {"type": "apiKey", "in": "header", "name": auth.HEADER, "description": said},
        "initDataBearer": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": f"`tma ` and then {said[0].lower()}{said[1:]}",
        },
    }
