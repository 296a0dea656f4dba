"""The catalogue of VPN programs, GET /api/connect and QR codes."""

from __future__ import annotations

import base64
import struct
import zlib
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from krotray_core import apps, qr, settings, subscriptions
from krotray_core.errors import Invalid
from krotray_core.models import Server
from sandbox.person import Person
from tests.conftest import converge_all
from tests.http_kit import get, problem, user_of
from tests.sub_kit import granted

# On a machine that has other things to do too, time says nothing.
unhurried = hypothesis_settings(deadline=None, max_examples=30)
URL = "https://vpn.example.com:8443/sub/abc_DEF-123"
WRITTEN = {
    "happ": f"happ://add/{URL}",
    "happ-plus": f"happ://add/{URL}",
    "v2rayng": "v2rayng://install-sub?url=https%3A%2F%2Fvpn.example.com%3A8443%2Fsub%2Fabc_DEF-123#%D0%9A%20%26",
    "v2raytun": f"v2raytun://import/{URL}",
    "hiddify": f"hiddify://import/{URL}#%D0%9A%20%26",
    "streisand": f"streisand://import/{URL}",
    "shadowrocket": f"shadowrocket://add/sub://{base64.b64encode(URL.encode()).decode()}?remark=%D0%9A%20%26",
    "nekobox": "sn://subscription?url=https%3A%2F%2Fvpn.example.com%3A8443%2Fsub%2Fabc_DEF-123&name=%D0%9A%20%26",
    "sing-box": "sing-box://import-remote-profile?url=https%3A%2F%2Fvpn.example.com%3A8443%2Fsub%2Fabc_DEF-123#%D0%9A%20%26",
    "karing": "karing://install-config?url=https%3A%2F%2Fvpn.example.com%3A8443%2Fsub%2Fabc_DEF-123&name=%D0%9A%20%26",
}


def test_each_program_takes_its_own_form_of_link() -> None:
    assert {app_id: apps.deep_link(app_id, URL, "К &") for app_id in apps.ids()} == WRITTEN


@unhurried
@given(title=st.text(max_size=30))
def test_no_title_breaks_a_link(title: str) -> None:
    for app_id in apps.ids():
        link = apps.deep_link(app_id, URL, title)
        assert link.isascii()
        assert not any(letter.isspace() for letter in link)
        parts = urlsplit(link)
        if "url" in (asked := parse_qs(parts.query)):
            assert asked["url"] == [URL]
        assert unquote(parts.fragment) in ("", title)


def test_every_platform_has_programs_from_safe_places() -> None:
    platforms = apps.for_subscription(URL, "KrotRay")
    assert [platform.id for platform in platforms] == ["android", "ios", "windows", "macos", "linux"]
    schemes = {program.scheme for program in apps.launchable("KrotRay")}
    for platform in platforms:
        assert len(platform.apps) >= 3
        assert len({app.id for app in platform.apps}) == len(platform.apps)
        for app in platform.apps:
            assert app.store_url.startswith("https://")
            assert app.open_url
            assert app.open_url.startswith("https://vpn.example.com:8443/open#")
            link = unquote(urlsplit(app.open_url).fragment)
            assert link == apps.deep_link(app.id, URL, "KrotRay")
            assert urlsplit(link).scheme in schemes
    assert not schemes & {"http", "https", "javascript", "data", "file", "intent", "tg"}
    for platform in apps.for_subscription(None, "KrotRay"):
        assert platform.apps
        assert {app.open_url for app in platform.apps} == {None}


def test_the_mini_app_learns_how_to_connect(client: FlaskClient, fleet: list[Server], person: Person) -> None:
    assert fleet
    problem(client.get("/api/connect"), 401, "init_data_missing")
    before = get(client, "/api/connect", person)
    assert (before["subscription_url"], before["qr_url"]) == (None, None)
    assert {app["open_url"] for platform in before["platforms"] for app in platform["apps"]} == {None}
    path = granted(user_of(person))
    converge_all()
    during = get(client, "/api/connect", person)
    url = settings.get().origin + path
    assert (during["subscription_url"], during["qr_url"]) == (url, f"{url}/qr.svg")
    assert client.get(f"{path}/qr.svg").status_code == 200
    first = during["platforms"][0]["apps"][0]
    assert first.keys() == {"id", "name", "store_url", "open_url"}
    assert unquote(urlsplit(first["open_url"]).fragment) == f"happ://add/{url}"
    assert [platform["id"] for platform in during["platforms"]] == list(apps.PLATFORMS)
    subscriptions.revoke(person.telegram_id)
    assert get(client, "/api/connect", person) == before


# --- QR codes ---


def modules_of(png: bytes) -> list[list[bool]]:
    """The dark modules of a one-bit picture."""
    chunks, at, data = {}, 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        chunks[kind], at = body, at + 12 + length
        data += body if kind == b"IDAT" else b""
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour, width) == (1, 0, height)
    line = (width + 7) // 8 + 1
    raw = zlib.decompress(data)
    rows = [raw[row * line : (row + 1) * line] for row in range(0, height, qr.PNG_SCALE)]
    assert all(row[0] == 0 for row in rows)
    return [
        [not row[1 + x // 8] >> (7 - x % 8) & 1 for x in range(qr.PNG_SCALE // 2, width, qr.PNG_SCALE)] for row in rows
    ]


def test_a_picture_is_dark_on_white_with_its_quiet_zone_and_finders() -> None:
    modules = modules_of(qr.png(URL))
    size = len(modules)
    assert (size - 8 - 17) % 4 == 0, "17 modules and four for each version, besides the quiet zone"
    edge = [*modules[:4], *modules[-4:], *([row[:4] + row[-4:] for row in modules])]
    assert not any(any(row) for row in edge)
    finder = ["#######", "#     #", "# ### #", "# ### #", "# ### #", "#     #", "#######"]
    for top, left in ((4, 4), (4, size - 11), (size - 11, 4)):
        seen = ["".join(" #"[modules[top + y][left + x]] for x in range(7)) for y in range(7)]
        assert seen == finder
    # Error correction M: the first two format bits are 00, and over them lies the mask 10.
    assert [modules[12][4], modules[12][5]] == [True, False]


def test_the_scalable_picture_needs_nothing_from_elsewhere() -> None:
    root = ElementTree.fromstring(qr.svg(URL))  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "viewBox" in root.attrib
    ground, code = root
    assert (ground.attrib["fill"], code.attrib["stroke"]) == ("#fff", "#000")
    for forbidden in ("<script", "style=", "href", "<!ENTITY", "class="):
        assert forbidden not in qr.svg(URL)


@unhurried
@given(st.text(min_size=1, max_size=100))
def test_any_text_makes_a_picture_or_is_refused(text: str) -> None:
    assert qr.svg(text)


def test_too_much_is_refused() -> None:
    assert qr.png("x" * qr.MOST_BYTES)
    for draw in (qr.svg, qr.png):
        with pytest.raises(Invalid):
            draw("x" * (qr.MOST_BYTES + 1))
