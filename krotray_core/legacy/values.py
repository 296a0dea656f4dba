"""What stands in a field of the old database, read without trust. Pure; raises Unfit with a reason that shows no secret.

PostgreSQL hands every field over as text, SQLite as whatever was put into it: a number, a text, bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from krotray_core.links import check_template

# Above that an id leaves no room for the sequence that goes on after it.
MOST_ID = 2**62
DEAREST = 10**13  # kopecks
# Later than any end that was ever sold, and early enough that days can still be added.
LAST_END = datetime(3000, 1, 1, tzinfo=UTC)
# What PostgreSQL calls for ever: later than LAST_END, so that it is cut there like any other.
FOR_EVER, NEVER = datetime(9999, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)
# A number is seconds since 1970, or milliseconds where seconds would lie beyond the year 5138.
FIRST_MILLISECONDS = 100_000_000_000
LONGEST_TEXT = 256

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}(\.0+)?", re.ASCII)
# A shorter one would be from before 2001: a count of days, say, and no moment.
_EPOCH = re.compile(r"[0-9]{10,15}(\.[0-9]{1,9})?", re.ASCII)
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9:.,+\- Z]+)?", re.ASCII)
_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)
_BRACES = re.compile(
    r"\$?\{\{?\s*([A-Za-z_][A-Za-z_.]*)\s*\}?\}|%\(([A-Za-z_]+)\)s|<([A-Za-z_]+)>|%([A-Z_]{2,})%", re.ASCII
)
_MEANS = {
    "uuid": "uuid key id client_id client_uuid user_uuid vless_uuid subscription.uuid subscription_uuid sub_uuid sub.uuid",
    "host": "host server_host server.host server address ip domain server_ip server_address hostname",
    "name": "name server_name server.name remark remarks label title tag server_title",
    "email": "email user_email xray_email",
}
_KNOWN = {word: ours for ours, words in _MEANS.items() for word in words.split()}


class Unfit(ValueError):
    """A field or a row that cannot be taken; `str()` is the reason, fit for a report."""


def shown(value: Any) -> str:
    """A value as a report may show it: short, printable, one line."""
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def whole(value: Any, what: str, *, least: int = 1, most: int = MOST_ID) -> int:
    """A whole number, also one in a text."""
    text = str(value).strip() if isinstance(value, int | float | str) else ""
    if isinstance(value, bool) or not _WHOLE.fullmatch(text):
        raise Unfit(f"{what} is {'missing' if value is None else f'no whole number: {shown(value)}'}")
    number = int(text.partition(".")[0])
    if not least <= number <= most:
        raise Unfit(f"{what} is out of range: {number}")
    return number


def text(value: Any) -> str | None:
    """A text that PostgreSQL can keep: no NUL, not endless; None for an empty one."""
    if value is None:
        return None
    read = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return read.replace("\0", "").encode(errors="replace").decode()[:LONGEST_TEXT].strip() or None


def word(value: Any) -> str:
    """A status or the like in lower case; "" for none."""
    return (text(value) or "").lower()


def flag(value: Any) -> bool:
    """True unless it clearly says no."""
    return word(value) not in ("0", "0.0", "false", "f", "no", "n", "off")


def moment(value: Any, what: str) -> datetime:
    """An aware moment in UTC. A time without a zone is UTC; a number is seconds or milliseconds since 1970."""
    given = value.strip() if isinstance(value, str) else ""
    if given.lower() in ("infinity", "+infinity"):
        return FOR_EVER
    if given.lower() == "-infinity":
        return NEVER
    number = str(value).strip() if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    if _EPOCH.fullmatch(number):
        return _since_1970(float(number))
    try:
        read = datetime.fromisoformat(given if _MOMENT.fullmatch(given) else "")
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unfit(f"{what} is {'missing' if value is None else f'no time: {shown(value)}'}") from None


def _since_1970(number: float) -> datetime:
    seconds = number / 1000 if number >= FIRST_MILLISECONDS else number
    return min(datetime.fromtimestamp(min(seconds, FOR_EVER.timestamp()), UTC), FOR_EVER)


def moment_or_none(value: Any) -> datetime | None:
    """The same, None for what cannot be read: for columns that nothing hangs on."""
    try:
        return min(moment(value, ""), LAST_END)
    except Unfit:
        return None


def key(value: Any) -> UUID:
    """A UUID with or without dashes, in braces, as bytes. The reason never shows it."""
    if isinstance(value, bytes) and len(value) == 16:
        read = value.hex()
    else:
        given = value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
        read = given.strip().lower().removeprefix("\\x").removeprefix("urn:uuid:").strip("{}").replace("-", "")
    if not _KEY.fullmatch(read) or not int(read, 16):
        raise Unfit("the uuid is missing" if value in (None, "", b"") else "the uuid is none")
    return UUID(read)


def kopecks(value: Any) -> int:
    """An amount of rubles in kopecks, exactly: no rounding."""
    try:
        rubles = Decimal(str(value).strip()) if isinstance(value, int | float | str) else Decimal("NaN")
    except InvalidOperation:
        rubles = Decimal("NaN")
    # Looked at before it is multiplied: a number of a million digits takes its time.
    if not rubles.is_finite() or abs(rubles.adjusted()) > 12 or rubles * 100 != int(rubles * 100):
        raise Unfit(f"the amount is {'missing' if value is None else f'not whole kopecks: {shown(value)}'}")
    found = int(rubles * 100)
    if not 0 < found <= DEAREST:
        raise Unfit(f"the amount is out of range: {shown(value)}")
    return found


def template(value: str) -> str:
    """A link template of the old service in our form: its placeholders guessed, checked as if typed by an owner."""
    unknown: list[str] = []

    def ours(match: re.Match[str]) -> str:
        name = next(group for group in match.groups() if group)
        if name.lower() not in _KNOWN:
            unknown.append(name)
            return match[0]
        return "{" + _KNOWN[name.lower()] + "}"

    # The e-mail spelled out, before the placeholder in it is looked at; then what has no name: a key right behind the scheme.
    given = re.sub(r"user_\$?\{\{?\s*(user_id|user\.id)\s*\}?\}", "{email}", value.strip())
    given = re.sub(r"^vless://(\{\}|\{0\}|%s|UUID(?=@))", "vless://{uuid}", given)
    given = _BRACES.sub(ours, given).replace(" ", "%20")
    if unknown:
        raise Unfit(f"the link template has placeholders that we do not know: {', '.join(map(shown, unknown[:5]))}")
    try:
        return check_template(given)
    except ValueError as error:
        raise Unfit(f"the link template {error}") from None
