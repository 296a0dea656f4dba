"""GET /sub/<token>: the subscription, for VPN programs in the form that they read, for people as a page. The token is the login."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from functools import partial

from flask import Blueprint, Response, request

from krotray_api import describing, install, pages, programs
from krotray_api.describing import Media
from krotray_api.pages import texts
from krotray_core import apps, cabinet, contacts, links, qr, settings, subscriptions
from krotray_core.cabinet import Cabinet
from krotray_core.errors import Invalid, NotFound
from krotray_core.formats import clash, share, singbox, vless
from krotray_core.formats.common import UnsupportedError
from krotray_core.formats.vless import Node

blueprint = Blueprint("sub", __name__)

UPDATE_HOURS = 12
# What programs show of these at most.
LONGEST_TITLE, LONGEST_ANNOUNCE = 25, 200
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_PLACE = describing.path("token", type="string", pattern="^[A-Za-z0-9_-]{1,128}$")

_FORMATS = {
    "base64": "base64",
    "links": "links",
    "clash": "clash",
    "mihomo": "clash",
    "sing-box": "sing-box",
    "singbox": "sing-box",
    "json": "sing-box",
}
_TYPES = {"clash": "text/yaml", "sing-box": "application/json"}


@blueprint.get("/sub/<token>")
@describing.answers(
    Media({"text/plain": "string", "text/html": "string", "text/yaml": "object", "application/json": "object"}),
    login=False,
    problems=(404, 422),
    parameters=(
        _PLACE,
        describing.query("format", "Instead of going by the User-Agent", type="string", enum=list(_FORMATS)),
    ),
)
def show(token: str) -> Response:
    """By `?format=`, else by who asks: the install page, Clash's YAML, sing-box's JSON or links in base64."""
    wanted = _wanted()
    seen = _seen(token)
    if seen is None:
        if wanted == "page":
            return pages.render("gone.html", 404, bot_url=contacts.bot_url())
        raise NotFound("no such subscription link")
    if wanted == "page":
        return install.page(seen)
    if request.method == "GET" and seen.subscription is not None:
        subscriptions.note_fetch(
            seen.subscription.id, seen.subscription.fetched_at
        )  # only programs will come again by themselves
    body, mimetype = _body(seen, wanted)
    response = Response(body, mimetype=mimetype)
    _describe(response, seen)
    return pages.private(response)


@blueprint.get("/sub/<token>/qr.<any(svg,png):kind>")
@describing.answers(
    Media({"image/svg+xml": None, "image/png": None}),
    login=False,
    problems=(404,),
    parameters=(_PLACE, describing.path("kind", type="string", enum=["svg", "png"])),
)
def picture(token: str, kind: str) -> Response:
    """A QR code of the subscription's address."""
    seen = _seen(token)
    if seen is None or seen.subscription_url is None:
        raise NotFound("no such subscription link")
    url = seen.subscription_url
    response = (
        Response(qr.svg(url), mimetype="image/svg+xml")
        if kind == "svg"
        else Response(qr.png(url), mimetype="image/png")
    )
    return pages.private(response)


def _seen(token: str) -> Cabinet | None:
    return cabinet.of_token(token) if _TOKEN.fullmatch(token) else None


def _wanted() -> str:
    asked = request.args.get("format")
    if asked is not None:
        if asked not in _FORMATS:
            raise Invalid(f"no such format; there are {', '.join(_FORMATS)}")
        return _FORMATS[asked]
    form = programs.form(request.headers.get("User-Agent", ""))
    if form is not None:
        return form
    accepts_pages = any(kind.lower() == "text/html" and quality > 0 for kind, quality in request.accept_mimetypes)
    return "page" if accepts_pages else "base64"


def _body(seen: Cabinet, wanted: str) -> tuple[str, str]:
    """What the program gets, and its type. Where there is nothing to give, a server whose name says why."""
    words = texts.WORDS[pages.language()]
    if wanted in _TYPES:
        emit, mimetype = _emitter(wanted), _TYPES[wanted]
        node = links.placeholder(words[f"{_reason(seen)}_remark"])
        try:
            if seen.coming_url:
                node = vless.parse(seen.coming_url)
            return emit([node]), mimetype
        except (UnsupportedError, ValueError):
            return emit([links.placeholder(words["unsupported_remark"])]), mimetype
    link = seen.coming_url or vless.emit(links.placeholder(words[f"{_reason(seen)}_remark"]))
    return (share.lines if wanted == "links" else share.body)([link]), "text/plain"


def _emitter(wanted: str) -> Callable[[Sequence[Node]], str]:
    if wanted == "clash":
        return clash.emit
    version = programs.sing_box_version(request.headers.get("User-Agent", ""))
    return partial(singbox.emit, version=version or singbox.NEWEST)


def _reason(seen: Cabinet) -> str:
    """Why there is no key to give."""
    return "waiting" if seen.running else "expired"


def _describe(response: Response, seen: Cabinet) -> None:
    """What programs show about a subscription.

    The names are those of Clash, Happ and v2RayTun; the others know them too.
    """
    s = settings.get()
    headers = response.headers
    headers["Profile-Title"] = _encoded(apps.TITLE, LONGEST_TITLE)
    headers["Profile-Update-Interval"] = str(UPDATE_HOURS)
    headers["Profile-Web-Page-Url"] = seen.subscription_url or s.mini_app_url
    headers["Content-Disposition"] = f'attachment; filename="{apps.TITLE}"'
    if s.support_url:
        headers["Support-Url"] = s.support_url
    if seen.expires_at:
        expire = int(seen.expires_at.timestamp())
        used = seen.traffic.used_bytes if seen.traffic else 0  # up and down together; a total of 0 is no limit
        headers["Subscription-Userinfo"] = f"upload=0; download={used}; total=0; expire={expire}"
    if not seen.coming_url:
        announcement = texts.WORDS[pages.language()][f"{_reason(seen)}_announce"]
        headers["Announce"] = _encoded(announcement, LONGEST_ANNOUNCE)


def _encoded(text: str, longest: int) -> str:
    return "base64:" + base64.b64encode(text[:longest].encode()).decode()
