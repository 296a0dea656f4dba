"""The page behind a subscription link for people: three steps to a working VPN, or why there is none."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlsplit

from flask import Response, request

from krotray_api import pages
from krotray_api.pages import texts
from krotray_core import apps, clock, contacts, speech
from krotray_core.apps import PlatformId
from krotray_core.cabinet import Cabinet

DESKTOPS = frozenset({"windows", "macos", "linux"})
# The first that fits: Android calls itself Linux too.
_SYSTEMS: tuple[tuple[str, PlatformId], ...] = (
    ("android", "android"),
    ("iphone|ipad|ipod", "ios"),
    ("windows", "windows"),
    ("macintosh|mac os", "macos"),
    ("linux|x11|cros", "linux"),
)
_STORES = {"play.google.com": "from_google", "apps.apple.com": "from_apple"}


def page(seen: Cabinet) -> Response:
    """The page for this subscription."""
    url = seen.subscription_url
    if not seen.running or url is None or seen.expires_at is None:
        until = _date(seen.expires_at) if seen.expires_at else ""
        return pages.render("expired.html", until=until, renew_url=contacts.bot_url())
    lang = pages.language()
    left = (speech.days_left_ru if lang == "ru" else speech.days_left_en)(seen.days_left)
    return pages.render(
        "install.html",
        url=url,
        qr=f"{urlsplit(url).path}/qr.svg",
        waiting=seen.coming_url is None,
        until=_date(seen.expires_at),
        left=left,
        platforms=apps.for_subscription(url, apps.TITLE),
        links={app_id: apps.deep_link(app_id, url, apps.TITLE) for app_id in apps.ids()},
        names=texts.PLATFORMS,
        desktops=DESKTOPS,
        chosen=_platform(),
        guessed="platform" not in request.args,
        store=_store,
        paid=apps.PAID,
        bot_url=contacts.bot_url(),
    )


def _platform() -> PlatformId:
    """The reader's device: as chosen by hand, else as the browser says."""
    asked = request.args.get("platform")
    for platform in apps.PLATFORMS:
        if platform == asked:
            return platform
    agent = request.headers.get("User-Agent", "")[:500].lower()
    return next((platform for words, platform in _SYSTEMS if re.search(words, agent)), "android")


def _store(url: str) -> str:
    """How the button to a store is called: a key of the texts."""
    return _STORES.get(urlsplit(url).hostname or "", "from_web")


def _date(moment: datetime) -> str:
    say = speech.date_ru if pages.language() == "ru" else speech.date_en
    return say(moment, clock.now())
