"""Kopecks (int, in our tables) <-> "199.00" (text, on every wire): the only conversion. No float ever touches money."""

from __future__ import annotations

import re

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,11})\.([0-9]{2})", re.ASCII)


def to_text(kopecks: int) -> str:
    """19900 -> "199.00", the form that YooKassa and our API use. Raises ValueError for a negative amount."""
    if kopecks < 0:
        raise ValueError(f"negative amount: {kopecks} kopecks")
    return f"{kopecks // 100}.{kopecks % 100:02d}"


def from_text(text: str) -> int:
    """ "199.00" -> 19900 kopecks. Raises ValueError for anything but digits, a point and two digits."""
    match = _AMOUNT.fullmatch(text)
    if not match:
        raise ValueError("not an amount of money with two decimals")
    return int(match[1]) * 100 + int(match[2])


def from_rubles(text: str) -> int:
    """ "150" or "150.50" rubles, as people type them -> kopecks. Raises ValueError."""
    return from_text(text if "." in text else f"{text}.00")


def to_rubles(kopecks: int) -> str:
    """25000 -> "250 ₽", 19950 -> "199,50 ₽": the way a person reads a price."""
    whole, rest = divmod(kopecks, 100)
    return f"{whole},{rest:02d} ₽" if rest else f"{whole} ₽"
