"""The pages behind a subscription link in a real browser: the application in this process, where its own links lead."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page
from werkzeug.serving import WSGIRequestHandler, make_server

from krotray_core import cabinet, settings, subscriptions
from krotray_core.models import User
from sandbox.world import World

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
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "User-Agent": AGENTS["android"]}


def sub_path(user: User) -> str:
    """The path of this user's subscription link."""
    url = cabinet.of_user(user.id).subscription_url
    assert url
    return url.removeprefix(settings.get().origin)


def granted(user: User, days: int = 30) -> str:
    """Gives this user days; the path of their link."""
    subscriptions.grant(user.telegram_id, days)
    return sub_path(user)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(app: Flask, world: World) -> Iterator[str]:
    """The application at the address that its own links have."""
    server = make_server("127.0.0.1", world.web_port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield world.web_url
    server.shutdown()
    thread.join()
    server.server_close()


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
