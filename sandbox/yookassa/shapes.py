"""Checks that every request shares; each raises the documented refusal and names the field at fault."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from .errors import invalid

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,11})\.[0-9]{2}")


def checked_object(value: Any, parameter: str, known: Collection[str]) -> dict[str, Any]:
    """A JSON object without names that the API does not have; nulls count as absent."""
    if not isinstance(value, dict):
        raise invalid("An object is expected", parameter)
    for name in value:
        if name not in known:
            raise invalid("There is no such field", f"{parameter}.{name}" if parameter else name)
    return {name: content for name, content in value.items() if content is not None}


def checked_text(value: Any, parameter: str, *, longest: int, shortest: int = 1) -> str:
    """A string of a permitted length that can be written as UTF-8."""
    if not isinstance(value, str):
        raise invalid("A string is expected", parameter)
    if not shortest <= len(value) <= longest:
        raise invalid(f"A string of {shortest} to {longest} characters is expected", parameter)
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        raise invalid("The string is not valid Unicode", parameter) from None
    return value


def checked_flag(value: Any, parameter: str) -> bool:
    """A JSON boolean and nothing that merely looks like one."""
    if not isinstance(value, bool):
        raise invalid("A boolean is expected", parameter)
    return value


def checked_choice(value: Any, parameter: str, choices: Collection[str]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in choices:
        raise invalid(f"One of these is expected: {', '.join(sorted(choices))}", parameter)
    return value


def checked_amount(value: Any, parameter: str) -> Decimal:
    """`{"value": "100.00", "currency": "RUB"}`: positive, two decimals, roubles."""
    fields = checked_object(value, parameter, {"value", "currency"})
    text = fields.get("value")
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise invalid('A string with two decimals is expected, such as "100.00"', f"{parameter}.value")
    amount = Decimal(text)
    if amount <= 0:
        raise invalid("The amount must be greater than zero", f"{parameter}.value")
    if fields.get("currency") != "RUB":
        raise invalid("The shop takes RUB only", f"{parameter}.currency")
    return amount


def checked_url(value: Any, parameter: str) -> str:
    """An absolute http or https address, of at most 2048 characters."""
    text = checked_text(value, parameter, longest=2048)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in text):
        raise invalid("An http or https address is expected", parameter)
    return text


def checked_metadata(value: Any) -> dict[str, str]:
    """At most 16 strings of at most 512 characters under names of at most 32."""
    if not isinstance(value, dict):
        raise invalid("An object is expected", "metadata")
    if len(value) > 16:
        raise invalid("At most 16 keys are allowed", "metadata")
    for name, content in value.items():
        checked_text(name, "metadata", longest=32)
        checked_text(content, f"metadata.{name}", longest=512, shortest=0)
    return value


def as_amount(amount: Decimal) -> dict[str, str]:
    """An amount as the API writes it."""
    return {"value": f"{amount:.2f}", "currency": "RUB"}


def merged(wire: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The object with the overrides laid over it, field by field all the way down."""
    laid = dict(wire)
    for name, value in overrides.items():
        below = laid.get(name)
        laid[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return laid
