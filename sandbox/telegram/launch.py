"""Opening a Mini App: its address with the signed initData behind the #, as Telegram's clients do it.

https://core.telegram.org/bots/webapps#initializing-mini-apps
"""

from __future__ import annotations

import json
import uuid
from urllib.parse import quote

import init_data_py

from .chats import Person

VERSION = "8.0"
PLATFORMS = ("tdesktop", "android", "ios", "macos", "weba")

# The colours of Telegram's own day and night.
THEMES = {
    "light": {
        "bg_color": "#ffffff",
        "secondary_bg_color": "#f0f0f4",
        "section_bg_color": "#ffffff",
        "header_bg_color": "#ffffff",
        "bottom_bar_bg_color": "#ffffff",
        "section_separator_color": "#e4e4e8",
        "section_header_text_color": "#3a86c8",
        "text_color": "#000000",
        "subtitle_text_color": "#8a8a8f",
        "hint_color": "#8a8a8f",
        "link_color": "#2678b6",
        "accent_text_color": "#2678b6",
        "button_color": "#3390ec",
        "button_text_color": "#ffffff",
        "destructive_text_color": "#d93025",
    },
    "dark": {
        "bg_color": "#17212b",
        "secondary_bg_color": "#0e1621",
        "section_bg_color": "#17212b",
        "header_bg_color": "#17212b",
        "bottom_bar_bg_color": "#17212b",
        "section_separator_color": "#0d151f",
        "section_header_text_color": "#6ab3f3",
        "text_color": "#f5f5f5",
        "subtitle_text_color": "#7d8b99",
        "hint_color": "#7d8b99",
        "link_color": "#6ab3f3",
        "accent_text_color": "#6ab3f3",
        "button_color": "#5288c1",
        "button_text_color": "#ffffff",
        "destructive_text_color": "#ff6767",
    },
}


def init_data(person: Person, token: str, start_param: str | None = None) -> str:
    """What vouches for this person, signed as Telegram signs it, as of now. `start_param`: what stood in the link."""
    user = person.wire
    del user["is_bot"]
    if person.listens:  # else it is left out
        user["allows_write_to_pm"] = True
    fields = {
        "query_id": f"AAH{uuid.uuid4().hex[:16]}",
        "user": json.dumps(user, ensure_ascii=False, separators=(",", ":")),
    }
    return init_data_py.sign(fields | ({"start_param": start_param} if start_param else {}), token)


def address(
    mini_app_url: str,
    person: Person,
    token: str,
    *,
    platform: str = PLATFORMS[0],
    theme: str | None = None,
    start_param: str | None = None,
) -> str:
    """The address that a Telegram client would open for this person."""
    hashed = {
        "tgWebAppData": init_data(person, token, start_param),
        "tgWebAppVersion": VERSION,
        "tgWebAppPlatform": platform,
    }
    if theme:
        hashed["tgWebAppThemeParams"] = json.dumps(THEMES[theme], separators=(",", ":"))
    address, _, fragment = mini_app_url.partition("#")
    kept = f"{fragment}&" if fragment else ""
    return f"{address}#{kept}" + "&".join(f"{name}={quote(value, safe='')}" for name, value in hashed.items())
