"""The VPN programs that we recommend: where to get them, and the links that hand a subscription to them. Pure.

The forms of the links are the programs' own; a subscription goes in as its address, so that servers may change later.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

# What programs call the subscription.
TITLE = "KrotRay"

PlatformId = Literal["android", "ios", "windows", "macos", "linux"]


@dataclass(frozen=True, slots=True)
class App:
    """A program: `open_url` is the page of ours that hands it the subscription, None where there is nothing to hand over."""

    id: str
    name: str
    store_url: str
    open_url: str | None


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of device and its programs, the best one first."""

    id: PlatformId
    apps: list[App]


@dataclass(frozen=True, slots=True)
class Launchable:
    """A program whose links may be opened: `form` is such a link, with {url}, {escaped} or {base64} in the place of the
    subscription's address; `stores` says where to get the program by platform."""

    scheme: str
    name: str
    form: str
    stores: dict[PlatformId, str]


def _escaped(text: str) -> str:
    return quote(text, safe="")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# id -> name and the link, made of the subscription's address (as it is, percent-encoded or in base64) and its title.
_PROGRAMS: dict[str, tuple[str, str]] = {
    "happ": ("Happ", "happ://add/{url}"),
    # The same program under the name by which Russia's App Store has it.
    "happ-plus": ("Happ Plus", "happ://add/{url}"),
    "v2rayng": ("v2rayNG", "v2rayng://install-sub?url={escaped}#{title}"),
    "v2raytun": ("v2RayTun", "v2raytun://import/{url}"),
    "hiddify": ("Hiddify", "hiddify://import/{url}#{title}"),
    "streisand": ("Streisand", "streisand://import/{url}"),
    "shadowrocket": ("Shadowrocket", "shadowrocket://add/sub://{base64}?remark={title}"),
    "nekobox": ("NekoBox", "sn://subscription?url={escaped}&name={title}"),
    "sing-box": ("sing-box", "sing-box://import-remote-profile?url={escaped}#{title}"),
    "karing": ("Karing", "karing://install-config?url={escaped}&name={title}"),
}

_PLAY = "https://play.google.com/store/apps/details?id="
_APPLE = "https://apps.apple.com/app/id"
_GITHUB = "https://github.com/"

# The best one of a platform first; only those that take a link there.
_CATALOGUE: dict[PlatformId, dict[str, str]] = {
    "android": {
        "happ": _PLAY + "com.happproxy",
        "v2raytun": _PLAY + "com.v2raytun.android",
        "hiddify": _PLAY + "app.hiddify.com",
        "v2rayng": _GITHUB + "2dust/v2rayNG/releases/latest",
        "karing": _GITHUB + "KaringX/karing/releases/latest",
        "nekobox": _GITHUB + "MatsuriDayo/NekoBoxForAndroid/releases/latest",
        "sing-box": _PLAY + "io.nekohasekai.sfa",
    },
    "ios": {
        "happ-plus": _APPLE + "6746188973",
        "happ": _APPLE + "6504287215",
        "v2raytun": _APPLE + "6476628951",
        "streisand": _APPLE + "6450534064",
        "karing": _APPLE + "6472431552",
        "shadowrocket": _APPLE + "932747118",
        "hiddify": _APPLE + "6596777532",
        "sing-box": _APPLE + "6673731168",
    },
    "windows": {
        "happ": _GITHUB + "Happ-proxy/happ-desktop/releases/latest",
        "hiddify": _GITHUB + "hiddify/hiddify-app/releases/latest",
        "karing": _GITHUB + "KaringX/karing/releases/latest",
        "v2raytun": "https://v2raytun.com/",
    },
    "macos": {
        "happ-plus": _APPLE + "6746188973",
        "happ": _APPLE + "6504287215",
        "v2raytun": _APPLE + "6476628951",
        "hiddify": _GITHUB + "hiddify/hiddify-app/releases/latest",
        "streisand": _APPLE + "6450534064",
        "karing": _GITHUB + "KaringX/karing/releases/latest",
        "sing-box": _APPLE + "6673731168",
    },
    "linux": {
        "happ": _GITHUB + "Happ-proxy/happ-desktop/releases/latest",
        "hiddify": _GITHUB + "hiddify/hiddify-app/releases/latest",
        "karing": _GITHUB + "KaringX/karing/releases/latest",
    },
}

PLATFORMS: tuple[PlatformId, ...] = tuple(_CATALOGUE)
PAID = frozenset({"shadowrocket"})


def for_subscription(subscription_url: str | None, title: str) -> list[Platform]:
    """All platforms with their programs, ready to take the subscription at this address; without one only where to get them.

    `title` is what programs call the subscription. The page that launches them is on the address's own origin.
    """
    return [
        Platform(platform, [_app(app, platform, subscription_url, title) for app in _CATALOGUE[platform]])
        for platform in PLATFORMS
    ]


def deep_link(app_id: str, subscription_url: str, title: str) -> str:
    """The link by which a program of the catalogue takes a subscription. Raises KeyError for one that is not in it."""
    url = subscription_url
    return _PROGRAMS[app_id][1].format(url=url, escaped=_escaped(url), base64=_base64(url), title=_escaped(title))


def open_url(base: str, deep_link: str) -> str:
    """The page of ours that launches a program: Telegram opens no app's own links. `base` is scheme, host and port."""
    return f"{base}/open#{_escaped(deep_link)}"


def ids() -> tuple[str, ...]:
    """All programs of the catalogue."""
    return tuple(_PROGRAMS)


def launchable(title: str) -> list[Launchable]:
    """What the launching page may open: every program's link to a subscription of this title."""
    return [
        Launchable(form.partition(":")[0], name, form.replace("{title}", _escaped(title)), _shelves(app_id))
        for app_id, (name, form) in _PROGRAMS.items()
    ]


def _shelves(app_id: str) -> dict[PlatformId, str]:
    return {platform: shelf[app_id] for platform, shelf in _CATALOGUE.items() if app_id in shelf}


def _app(app_id: str, platform: PlatformId, subscription_url: str | None, title: str) -> App:
    name, _ = _PROGRAMS[app_id]
    opening = None
    if subscription_url is not None:
        parts = urlsplit(subscription_url)
        opening = open_url(f"{parts.scheme}://{parts.netloc}", deep_link(app_id, subscription_url, title))
    return App(app_id, name, _CATALOGUE[platform][app_id], opening)
