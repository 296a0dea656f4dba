"""GET /open in a real browser: it launches links of our catalogue to our subscriptions and nothing else, whatever it is given."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect

from krotray_core import apps
from tests.browser.screen_kit import DESKTOP, SMALL, looks_right, screen

TOKEN = "a" * 43


def pressed(page: Page) -> list[str]:
    """The links that were opened."""
    return page.evaluate("window.pressed")


def view(page: Page, name: str) -> None:
    """The page shows this and nothing else."""
    expect(page.locator(f"[data-view={name}]")).to_be_visible()
    expect(page.locator("[data-view]:visible")).to_have_count(1)


@pytest.mark.usefixtures("fresh")
def test_every_link_of_the_catalogue_is_launched_at_once(browser: Browser, site: str) -> None:
    url = f"{site}/sub/{TOKEN}"
    with screen(browser) as page:
        for app_id in apps.ids():
            link = apps.deep_link(app_id, url, apps.TITLE)
            page.goto("about:blank")
            page.goto(apps.open_url(site, link))
            view(page, "opening")
            assert pressed(page) == [link]
            expect(page.get_by_test_id("again")).to_have_attribute("href", link)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("look", [("ios", SMALL, "light", "ru-RU"), ("windows", DESKTOP, "dark", "en-US")])
def test_when_nothing_opens_it_says_what_to_do(
    browser: Browser, site: str, look: tuple[str, tuple[int, int], str, str]
) -> None:
    device, size, scheme, locale = look
    with screen(browser, device=device, size=size, scheme=scheme, locale=locale) as page:
        page.goto(apps.open_url(site, f"happ://add/{site}/sub/{TOKEN}"))
        expect(page.locator("h1:visible")).to_have_text("Открываем Happ" if locale == "ru-RU" else "Opening Happ")
        expect(page.locator("#help")).to_be_visible()
        stores = page.locator("#stores a")
        shelf = {"ios": "https://apps.apple.com/", "windows": "https://github.com/Happ-proxy/"}[device]
        for store in stores.all():
            assert (store.get_attribute("href") or "").startswith(shelf)
        looks_right(page, f"open-{size[0]}-{scheme}")
        page.get_by_test_id("again").click()
        assert len(pressed(page)) == 2
        page.locator("#language").click()
        view(page, "opening")
        expect(page.locator("html")).to_have_attribute("lang", "en" if locale == "ru-RU" else "ru")


@pytest.mark.usefixtures("fresh")
def test_when_the_program_came_to_the_front_the_next_step_is_told(browser: Browser, site: str) -> None:
    with screen(browser, size=SMALL, scheme="dark") as page:
        page.clock.install()
        page.goto(apps.open_url(site, f"v2raytun://import/{site}/sub/{TOKEN}"))
        page.evaluate(
            "Object.defineProperty(document, 'visibilityState', {value: 'hidden'});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        view(page, "opened")
        page.clock.run_for(10_000)
        expect(page.locator("#help")).to_be_hidden()
        expect(page.locator("h1:visible")).to_have_text("Дальше в v2RayTun")
        looks_right(page, "opened")


HOSTILE = [
    "",
    "x",
    "%",
    "%zz",
    "%E0%A4%A",
    "javascript:alert(1)",
    "javascript://add/{site}/sub/x%0aalert(1)",
    "JavaScript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "blob:{site}/x",
    "file:///etc/passwd",
    "about:blank",
    "https://evil.example/",
    "{site}/sub/" + TOKEN,
    "//evil.example/",
    "/app/",
    "intent://x#Intent;scheme=happ;end",
    "tg://resolve?domain=x",
    "sms:1",
    "clash://install-config?url={site}/sub/" + TOKEN,
    "happ:add/{site}/sub/" + TOKEN,
    "happ://",
    "happ://add/",
    "happ://add/not-an-address",
    "happ://add/https://evil.example/sub/" + TOKEN,
    "happ://add/{site}.evil.example/sub/" + TOKEN,
    "happ://add/{site}@evil.example/sub/" + TOKEN,
    "happ://add/{site}/sub/" + TOKEN + "https://evil.example/",
    "happ://add/{site}/open#" + TOKEN,
    "happ://routing/onadd/AAAA",
    " happ://add/{site}/sub/" + TOKEN,
    "\x00happ://add/{site}/sub/" + TOKEN,
    "java\nscript:alert(1)",
    "happ://add/{site}/sub/" + TOKEN + "\n",
    "happ://add/{site}/sub/" + TOKEN + "<img src=x onerror=alert(1)>",
    "happ://add/{site}/sub/" + "x" * 5000,
    "hаpp://add/{site}/sub/" + TOKEN,  # a Cyrillic a
    "v2rayng://install-sub?url=https%3A%2F%2Fevil.example%2Fsub%2Fx#{site}/sub/" + TOKEN,
    "shadowrocket://add/sub://" + base64.b64encode(b"https://evil.example/sub/x").decode() + "?remark={site}/sub/x",
    "shadowrocket://add/sub://====?remark=x",
    # Ours is in it, and what the program reads is somebody else's.
    "v2raytun://import/vless://stranger@evil.example:443#{site}/sub/" + TOKEN,
    "streisand://import/ss://YWVzLTEyOC1nY206eA@evil.example:443#{site}/sub/" + TOKEN,
    "happ://add/vless://stranger@evil.example:443?x={site}/sub/" + TOKEN,
    "happ://routing/onadd/eyJOYW1lIjoieCJ9#{site}/sub/" + TOKEN,
    "v2rayng://install-sub?url={thrice}#KrotRay",  # as a fragment it stands for twice
    # Nearly one of ours.
    "happ://crypt/{site}/sub/" + TOKEN,
    "happ://add/{site}/sub/" + TOKEN + "?x",
    "happ://add/{site}/sub/" + TOKEN + "/",
    "happ://add/{site}/sub/" + TOKEN + "/qr.svg",
    "happ://add/{site}/sub/../app/" + TOKEN,
    "happ://add/{site}/sub/",
    "happ://add//sub/" + TOKEN,
    "HAPP://add/{site}/sub/" + TOKEN,
    "hiddify://import/{site}/sub/" + TOKEN,
    "hiddify://import/{site}/sub/" + TOKEN + "#vless://stranger@evil.example:443",
    "v2rayng://install-sub?url={once}",
    "v2rayng://install-sub?url={once}&url=https%3A%2F%2Fevil.example%2Fsub%2Fx#KrotRay",
    "v2rayng://install-sub?url={site}/sub/" + TOKEN + "#KrotRay",
    "v2rayng://install-config?url={once}#KrotRay",
    "karing://install-config?url={once}&name=KrotRay&x=1",
    "shadowrocket://add/sub://{base64}==?remark=KrotRay",
    "shadowrocket://add/vmess://{base64}?remark=KrotRay",
    "__proto__://add/{site}/sub/" + TOKEN,
    "constructor://add/{site}/sub/" + TOKEN,
]


# hashchange comes in a task of its own.
TRY = """async (fragment) => {
  location.hash = fragment;
  await new Promise((resolve) => setTimeout(resolve));
}"""
SHOWN = "[...document.querySelectorAll('[data-view]')].filter((one) => !one.hidden).map((one) => one.dataset.view)"


@pytest.mark.usefixtures("fresh")
def test_nothing_else_is_ever_opened(browser: Browser, site: str) -> None:
    with screen(browser) as page:
        page.goto(f"{site}/open")
        view(page, "bad")
        for hostile in HOSTILE:
            ours = f"{site}/sub/{TOKEN}"
            once = quote(ours, safe="")
            written = {"{site}": site, "{once}": once, "{thrice}": quote(quote(once, safe=""), safe="")}
            written["{base64}"] = base64.b64encode(ours.encode()).decode()
            text = hostile
            for place, words in written.items():
                text = text.replace(place, words)
            # Browsers drop a line break that is not encoded.
            for fragment in {text.replace("\n", "%0A"), quote(text, safe="")}:
                page.evaluate(TRY, fragment)
                assert (pressed(page), page.evaluate(SHOWN)) == ([], ["bad"]), hostile
        assert page.get_by_test_id("again").get_attribute("href") is None
        assert page.url.startswith(f"{site}/open#")
        looks_right(page, "open-bad")


@pytest.mark.usefixtures("fresh")
def test_without_scripts_it_says_where_to_go(browser: Browser, site: str) -> None:
    with screen(browser, java_script_enabled=False) as page:
        page.goto(apps.open_url(site, f"happ://add/{site}/sub/{TOKEN}"))
        expect(page.locator("h1:visible")).to_have_text("Эта страница открывает VPN-программу")


@pytest.mark.usefixtures("fresh")
def test_another_link_in_the_same_tab_replaces_the_first(browser: Browser, site: str) -> None:
    with screen(browser) as page:
        page.goto(apps.open_url(site, f"happ://add/{site}/sub/{TOKEN}"))
        view(page, "opening")
        page.evaluate("location.hash = 'javascript:alert(1)'")
        view(page, "bad")
        expect(page.get_by_test_id("again")).to_be_hidden()
        page.evaluate(
            "(to) => { location.href = to }", apps.open_url(site, f"hiddify://import/{site}/sub/{TOKEN}#KrotRay")
        )
        view(page, "opening")
        expect(page.locator("h1:visible")).to_have_text("Открываем Hiddify")


def test_the_page_is_kept_by_nobody_and_runs_only_our_script(client: FlaskClient) -> None:
    answer = client.get("/open")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    assert client.head("/open").status_code == 200
    assert client.post("/open").status_code == 405
    for lang in ("de", "<b>", "ru\x00", "x" * 5000):
        assert client.get("/open", query_string={"lang": lang}).status_code == 200
