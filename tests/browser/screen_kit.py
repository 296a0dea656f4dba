"""Pages for people, in a real browser on any device: what a screen of it shows, and whether that looks right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

SMALL, PHONE, DESKTOP = (360, 640), (390, 844), (1280, 900)
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1"
AGENTS = {
    "android": f"Mozilla/5.0 (Linux; Android 16; Pixel 9) {CHROME} Mobile Safari/537.36",
    "ios": f"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) {WEBKIT} Mobile/15E148 Safari/604.1",
    "windows": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36",
    "macos": f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Safari/605.1.15",
    "linux": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
}


@contextmanager
def screen(
    browser: Browser,
    *,
    device: str = "android",
    size: tuple[int, int] = PHONE,
    scheme: str = "light",
    locale: str = "ru-RU",
    **options: Any,
) -> Iterator[Page]:
    """A screen of this device. Any error in the page fails the test, above all one of its Content-Security-Policy."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        locale=locale,
        user_agent=AGENTS[device],
        **options,
    )
    # What is pressed, since nothing here could open a program.
    context.add_init_script(
        "window.pressed = []; addEventListener('click', (event) => {"
        "  const link = event.target.closest?.('a'); if (!link || link.protocol.startsWith('http')) return;"
        "  window.pressed.push(link.href); event.preventDefault(); }, true);"
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert [error for error in errors if "status of 404" not in error and "Failed to launch" not in error] == []


def looks_right(page: Page, name: str, *, axe: bool = True) -> None:
    """Nothing sticks out sideways, axe finds nothing, no text is missing; keeps a picture where SHOTS says."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if axe:
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    assert "{" not in page.locator("body").inner_text()
    if folder := os.environ.get("SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
