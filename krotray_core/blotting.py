"""Takes our secrets out of text that is about to leave for a log or for Sentry, whatever library wrote it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pydantic import SecretStr

from krotray_core import settings

# Anything of the form of a bot token, of initData's signature, or of a key in a VLESS link.
_PATTERNS = (
    (re.compile(r"(?<![0-9])[0-9]{6,}:[A-Za-z0-9_-]{30,}"), "[token]"),
    (re.compile(r"\b(hash|signature)(=|%3[Dd])[0-9A-Za-z_%-]{20,}"), r"\1=[hidden]"),
    (re.compile(r"vless://[0-9a-fA-F-]{36}@"), "vless://[key]@"),
    (re.compile(r"(/sub/)[A-Za-z0-9_-]{20,}"), r"\1[token]"),
    (re.compile(r"\b((?:Basic|Bearer) )[A-Za-z0-9+/=._~-]{8,}"), r"\1[hidden]"),
    # Up to the last @ before the path: a password that somebody wrote as it is may hold one.
    (re.compile(r"(://[^/\s:@]{0,100}:)[^/\s]{1,300}@"), r"\1[hidden]@"),
    # PostgreSQL quotes the whole row that broke a rule, with the e-mail address in it.
    (re.compile(r"DETAIL:  .*"), "DETAIL:  [hidden]"),
)

# Nearly all that is logged has nothing of these, and is looked at once and not seven times.
_SUSPECT = re.compile(r"[:=%]|/sub/|Basic |Bearer ")

SHORTEST = 4  # hiding every "a" would hide the log
# No text is looked at beyond that: a hostile header of megabytes must cost nothing.
LONGEST = 64 * 1024
_NEVER = frozenset({"vars", "request", "cookies", "user", "extra", "modules", "breadcrumbs"})
_DEEPEST = 20


@cache
def _secrets() -> tuple[str, ...]:
    """Every setting that is a secret, and every password in one that is an address: also those that are still to be invented."""
    shown: list[str] = []
    for _, value in settings.get():
        if isinstance(value, SecretStr):
            secret = value.get_secret_value()
            # Of a login, such as Flower's, the second half is secret by itself; of Sentry's address what stands before the @.
            half = (urlsplit(secret).username or "") if "://" in secret else secret.partition(":")[2]
            shown += [secret, half, *_passwords(secret)]
        if isinstance(value, str):
            shown += [password for url in value.split(";") for password in _passwords(url)]
    return tuple(sorted({text for text in shown if len(text) >= SHORTEST}, key=len, reverse=True))


def _passwords(url: str) -> list[str]:
    """As they stand in an address, and as they are; also one in its query, which libpq takes."""
    try:
        parts = urlsplit(url.strip())
        found = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    except ValueError:
        return []
    return [form for password in found for form in (password, unquote(password), quote(password, safe=""))]


def forget() -> None:
    """The settings have changed: the secrets are read anew."""
    _secrets.cache_clear()


def text(said: str) -> str:
    """The same without secrets, and not endlessly long."""
    hidden, cut = _secrets(), len(said) > LONGEST
    said = said[:LONGEST]
    for secret in hidden:
        said = said.replace(secret, "[hidden]")
    if _SUSPECT.search(said):
        for pattern, shown in _PATTERNS:
            said = pattern.sub(shown, said)
    # Where it was cut, half a secret may stand.
    return said[: -max(map(len, hidden), default=0) - 300] if cut else said


def everything(thing: Any, depth: int = 0) -> Any:
    """The same for a structure of JSON; what holds people's data or local variables is left out."""
    if depth > _DEEPEST:
        return "[deep]"
    match thing:
        case str():
            return text(thing)
        case dict():
            return {str(key): everything(value, depth + 1) for key, value in thing.items() if key not in _NEVER}
        case list() | tuple():
            return [everything(one, depth + 1) for one in thing]
        case _:
            return thing
