"""GET /open: launches a VPN program's own link, which Telegram would not open.

The link is in the fragment, so only the browser sees it.
"""

from __future__ import annotations

from flask import Blueprint, Response

from krotray_api import pages
from krotray_core import apps, contacts, settings

blueprint = Blueprint("open", __name__)


@blueprint.get("/open")
def show() -> Response:
    """The page. Its script opens links of the catalogue's programs to subscriptions of ours, and nothing else."""
    known = [{"scheme": scheme, "name": name, "stores": stores} for scheme, name, stores in apps.launchable()]
    return pages.render("open.html", known=known, origin=settings.get().origin, bot_url=contacts.bot_url())
