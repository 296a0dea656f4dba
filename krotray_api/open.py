"""GET /open: launches a VPN program's own link, which Telegram would not open.

The link is in the fragment, so only the browser sees it.
"""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from krotray_api import pages
from krotray_core import apps, contacts, settings

blueprint = Blueprint("open", __name__)


@blueprint.get("/open")
def show() -> Response:
    """The page. Its script opens exactly the links that the catalogue makes of subscriptions of ours, and nothing else."""
    known = [asdict(program) for program in apps.launchable(apps.TITLE)]
    return pages.render("open.html", known=known, origin=settings.get().origin, bot_url=contacts.bot_url())
