"""The API's own page of its description, in a real browser."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect

from tests.browser.screen_kit import DESKTOP, SMALL, screen


def test_the_page_shows_every_call(browser: Browser, site: str, client: FlaskClient) -> None:
    calls = client.get("/api/openapi.json").get_json()["paths"]
    for size, scheme in ((SMALL, "dark"), (DESKTOP, "light")):
        with screen(browser, device="linux", size=size, scheme=scheme, locale="en-US") as page:
            page.goto(f"{site}/api/docs")
            expect(page.locator("section h2")).to_have_count(sum(len(methods) for methods in calls.values()))
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            lost = (
                "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).length"
            )
            assert page.evaluate(lost) == 0, "links that lead nowhere"
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
