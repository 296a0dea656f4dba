"""What a route says about itself, beside its code, for the OpenAPI description: `@describing.answers(...)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

View = TypeVar("View", bound=Callable[..., Any])
_ATTRIBUTE = "krotray_operation"


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is no JSON of ours: what JSON schema calls the content of each of its types, None for bytes."""

    kinds: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route's promise. `problems` are the statuses that it answers as application/problem+json, beside 500 and 503."""

    model: type[BaseModel] | Media
    status: int = 200
    problems: tuple[int, ...] = ()
    body: type[BaseModel] | None = None
    login: bool = True
    also: dict[int, type[BaseModel]] = field(default_factory=dict)
    parameters: tuple[dict[str, Any], ...] = ()


def answers(model: type[BaseModel] | Media, **promise: Any) -> Callable[[View], View]:
    """Decorates a view with what it takes and answers (the fields of `Operation`); its docstring is the summary."""
    operation = Operation(model, **promise)

    def note(view: View) -> View:
        setattr(view, _ATTRIBUTE, operation)
        return view

    return note


def of(view: Callable[..., Any]) -> Operation | None:
    """What a view says about itself; None for pages and files."""
    return getattr(view, _ATTRIBUTE, None)


def path(name: str, **schema: Any) -> dict[str, Any]:
    """A part of the address."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """A parameter after the question mark, which may be left out."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
