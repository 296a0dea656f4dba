"""Who is calling: the initData that Telegram signed, in a header."""

from __future__ import annotations

from flask import request

from krotray_core import telegram, users
from krotray_core.models import User
from krotray_core.users import Person

HEADER = "X-Telegram-Init-Data"


def current_user() -> User:
    """The user behind this request, made known on the first call. Raises InitDataMissing, -Invalid, -Expired."""
    return users.greet(current_person())


def current_person() -> Person:
    """Who Telegram says is behind this request. Raises as `current_user` does."""
    return telegram.verify(init_data())


def init_data() -> str | None:
    """The raw initData of this request, unchecked."""
    raw = request.headers.get(HEADER)
    if raw is None:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        raw = rest.strip() if scheme.lower() == "tma" else None
    return raw
