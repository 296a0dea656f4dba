"""What a fault is: where it strikes, what it does there, and how a description of one is checked.

A description is a JSON object. `operation` names the place: a request of the API ("POST /v3/payments", or "*" for all
of them), a notification ("webhook payment.succeeded", "webhook *"), a "refund", or the "charge" of a saved method.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

EVENTS = ("payment.succeeded", "payment.waiting_for_capture", "payment.canceled", "refund.succeeded")
REASON = re.compile(r"[a-z0-9_]{1,64}")

_DAY = 24 * 3600
_MOST_TIMES = 1_000_000
_NEEDED: Any = object()


class FaultError(ValueError):
    """A description of a fault that makes no sense; the text says why."""


@dataclass(frozen=True)
class _Option:
    fits: Callable[[Any], bool]
    expected: str


@dataclass(frozen=True)
class _Kind:
    """What a kind of fault takes: its options with their defaults, and the sides of the work on which it can strike."""

    options: Mapping[str, Any] = field(default_factory=dict)
    when: tuple[str, ...] = ()
    """With more than one side the description has to choose: a mistake there would turn a test around."""


def _whole(lowest: int, highest: int) -> _Option:
    return _Option(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest,
        f"a whole number from {lowest} to {highest}",
    )


def _one_of(*words: str) -> _Option:
    return _Option(lambda value: isinstance(value, str) and value in words, f"one of {', '.join(words)}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_WORD = _Option(
    lambda value: isinstance(value, str) and REASON.fullmatch(value) is not None, "a word such as insufficient_funds"
)
_HEADER = _Option(
    lambda value: isinstance(value, str) and value.isascii() and value.isprintable(), "a string that a header can hold"
)
_OBJECT = _Option(lambda value: isinstance(value, dict), "an object")

_OPTIONS = {
    "body": _Option(lambda _: True, "any JSON"),
    "content": _Option(lambda value: isinstance(value, str), "a string"),
    "content_type": _HEADER,
    "copies": _whole(2, 50),
    "event": _Option(lambda value: isinstance(value, str) and bool(value), "a string"),
    "object_overrides": _OBJECT,
    "order": _one_of("reverse", "shuffled"),
    "overrides": _OBJECT,
    "party": _WORD,
    "pause_ms": _whole(1, 60_000),
    "reason": _WORD,
    "retry_after": _whole(0, _DAY),
    "retry_after_ms": _whole(0, _DAY * 1000),
    "seconds": _Option(lambda value: _number(value) and 0 < value <= 30 * _DAY, "a number above 0, at most 30 days"),
    "status": _whole(200, 599),
    "then": _one_of("close", "go_on"),
    "whole_length": _Option(lambda value: isinstance(value, bool), "a boolean"),
}

_EITHER = ("before", "after")
_API_KINDS = {
    "pass": _Kind(when=("before",)),
    "drop": _Kind(when=_EITHER),
    "hang": _Kind({"seconds": None, "then": "close"}, _EITHER),
    "500": _Kind({"retry_after_ms": None}, _EITHER),
    "502": _Kind(when=_EITHER),
    "202": _Kind({"retry_after_ms": 1800}, _EITHER),
    # A 4xx promises that nothing was made, so these strike before the work only.
    "401": _Kind(when=("before",)),
    "403": _Kind(when=("before",)),
    "429": _Kind({"retry_after": None, "retry_after_ms": None}, ("before",)),
    # These spoil the true answer, for which the work has to be done.
    "drip": _Kind({"pause_ms": 100}, ("after",)),
    "truncated": _Kind({"whole_length": False}, ("after",)),
    "wrong": _Kind({"overrides": None, "content": None, "content_type": "application/json", "status": 200}, ("after",)),
}
_WEBHOOK_KINDS = {
    "pass": _Kind(),
    "lost": _Kind(),
    "duplicated": _Kind({"copies": 2}),
    "delayed": _Kind({"seconds": _NEEDED}),
    "reordered": _Kind({"order": "reverse"}),
    "forged": _Kind({"object_overrides": None, "event": None, "body": None}),
}
_MONEY_KINDS = {
    "pass": _Kind(),
    "pending": _Kind(),
    "canceled": _Kind({"reason": "general_decline", "party": None}),
}
_COMMON = ("operation", "kind", "when", "times", "probability", "seed")


@dataclass(frozen=True)
class Fault:
    """One fault, checked. It strikes `times` times, or until it is cleared when that is None."""

    operation: str
    kind: str
    when: str | None
    """Before or after the work, for a fault of the API."""
    times: int | None
    probability: float
    seed: int
    options: Mapping[str, Any]

    def matches(self, target: str) -> bool:
        """Whether it concerns a request, a notification, a refund or a charge."""
        return self.operation in (target, _everything_like(target))

    def told(self) -> dict[str, Any]:
        """The fault as JSON, in the form in which it can be armed."""
        told: dict[str, Any] = {"operation": self.operation, "kind": self.kind}
        if self.when is not None:
            told["when"] = self.when
        told |= {"times": "forever" if self.times is None else self.times}
        told |= {"probability": self.probability, "seed": self.seed}
        return told | {name: value for name, value in self.options.items() if value is not None}


def _everything_like(target: str) -> str:
    if target.startswith("webhook "):
        return "webhook *"
    return target if target in ("refund", "charge") else "*"


def parse(body: Mapping[str, Any], operations: Collection[str]) -> Fault:
    """Check a description; FaultError says what is wrong with it. `operations` are those that the API has."""
    operation, kind = body.get("operation"), body.get("kind")
    kinds = _kinds_of(operation, operations)
    if not isinstance(kind, str) or kind not in kinds:
        raise FaultError(f"kind has to be one of {', '.join(kinds)}")
    known = kinds[kind]
    names = [name for name in _COMMON if name != "when" or known.when] + list(known.options)
    if unknown := sorted(body.keys() - set(names)):
        raise FaultError(f"{kind} does not know: {', '.join(unknown)}; it knows: {', '.join(names)}")
    fault = Fault(
        operation=str(operation),
        kind=kind,
        when=_when(body, kind, known.when),
        times=_times(body.get("times", 1)),
        probability=_probability(body.get("probability", 1)),
        seed=_checked("seed", body.get("seed", 0), _whole(0, 2**32)),
        options={name: _option(body, kind, name, default) for name, default in known.options.items()},
    )
    _check_together(fault)
    return fault


def _kinds_of(operation: Any, operations: Collection[str]) -> Mapping[str, _Kind]:
    if operation in ("refund", "charge"):
        return _MONEY_KINDS
    notifications = [f"webhook {event}" for event in (*EVENTS, "*")]
    if operation in notifications:
        return _WEBHOOK_KINDS
    requests = ["*", *operations]
    if operation in requests:
        return _API_KINDS
    raise FaultError(f"operation has to be one of {', '.join([*requests, *notifications, 'refund', 'charge'])}")


def _when(body: Mapping[str, Any], kind: str, sides: tuple[str, ...]) -> str | None:
    if not sides:
        return None
    when = body.get("when", sides[0] if len(sides) == 1 else None)
    if when not in sides:
        raise FaultError(f"when has to be {' or '.join(sides)} for {kind}")
    return str(when)


def _times(value: Any) -> int | None:
    if value == "forever":
        return None
    limit = _whole(1, _MOST_TIMES)
    if not limit.fits(value):
        raise FaultError(f'times has to be {limit.expected}, or "forever"')
    return int(value)


def _probability(value: Any) -> float:
    if not _number(value) or not 0 < value <= 1:
        raise FaultError("probability has to be a number above 0, at most 1")
    return float(value)


def _option(body: Mapping[str, Any], kind: str, name: str, default: Any) -> Any:
    if name in body:
        return _checked(name, body[name], _OPTIONS[name])
    if default is _NEEDED:
        raise FaultError(f"{kind} needs {name}: {_OPTIONS[name].expected}")
    return default


def _checked(name: str, value: Any, option: _Option) -> Any:
    if not option.fits(value):
        raise FaultError(f"{name} has to be {option.expected}")
    return value


def _check_together(fault: Fault) -> None:
    """What no option can tell by itself."""
    given = {name for name, value in fault.options.items() if value is not None}
    if fault.kind == "wrong" and len(given & {"overrides", "content"}) != 1:
        raise FaultError("wrong needs either overrides or content")
    if fault.kind == "forged" and not given:
        raise FaultError("forged needs object_overrides, event or body")
    if fault.kind == "forged" and "body" in given and len(given) > 1:
        raise FaultError("forged takes a body, or object_overrides and event")
    if fault.kind == "reordered" and (fault.times is None or not 2 <= fault.times <= 50):
        raise FaultError("reordered needs times from 2 to 50: how many notifications change places")
