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
PLATFORM = "tdesktop"


def init_data(person: Person, token: str) -> str:
    """What vouches for this person, signed as Telegram signs it, as of now."""
    user = person.wire
    del user["is_bot"]
    user |= {"allows_write_to_pm": person.started and not person.blocked}
    fields = {
        "query_id": f"AAH{uuid.uuid4().hex[:16]}",
        "user": json.dumps(user, ensure_ascii=False, separators=(",", ":")),
    }
    return init_data_py.sign(fields, token)


def address(mini_app_url: str, person: Person, token: str) -> str:
    """The address that a Telegram client would open for this person."""
    data = quote(init_data(person, token), safe="")
    address, _, fragment = mini_app_url.partition("#")
    kept = f"{fragment}&" if fragment else ""
    return f"{address}#{kept}tgWebAppData={data}&tgWebAppVersion={VERSION}&tgWebAppPlatform={PLATFORM}"
