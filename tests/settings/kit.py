"""What settings need, and what is said about them."""

from __future__ import annotations

import re

import pytest

from krotray_core import settings
from krotray_core.errors import SettingsError

NEEDED = {
    "DATABASE_URL": "postgresql://krot:parole-one@db.example/krotray",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "SECRET_KEY": "parole-two-" + "x" * 16,
    "BOT_TOKEN": "123456789:AAF-parole-three-parole-three",
    "MINI_APP_URL": "https://vpn.example:8443/app/",
    "YOOKASSA_SHOP_ID": "100500",
    "YOOKASSA_SECRET_KEY": "parole-four",
    "PAYMENT_RETURN_URL": "https://vpn.example/app/?paid",
}


def refused() -> str:
    """What is said about the environment as it is."""
    with pytest.raises(SettingsError) as caught:
        settings.load()
    return str(caught.value)


def named(message: str) -> list[str]:
    """The settings that a message names, one a line."""
    return re.findall(r"^  ([A-Z_]+): \S", message, re.MULTILINE)
