"""The subscription link of somebody, and how a browser asks for it."""

from __future__ import annotations

from krotray_core import cabinet, settings, subscriptions
from krotray_core.models import User

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36"
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "User-Agent": f"Mozilla/5.0 (Linux; Android 16; Pixel 9) {_CHROME}",
}


def sub_path(user: User) -> str:
    """The path of this user's subscription link."""
    url = cabinet.of_user(user.id).subscription_url
    assert url
    return url.removeprefix(settings.get().origin)


def granted(user: User, days: int = 30) -> str:
    """Gives this user days; the path of their link."""
    subscriptions.grant(user.telegram_id, days)
    return sub_path(user)
