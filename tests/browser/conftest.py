"""Fixtures of the tests that look at pages: Chromium, the service answering in this process, somebody with a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser

from sandbox.world import World
from tests.browser.app_kit import TELEGRAM_SCRIPT, Visit, chromium, phone
from tests.http_kit import serving


@pytest.fixture(scope="module")
def site(app: Flask, world: World) -> Iterator[str]:
    """The application, answering where its own links lead; that address."""
    with serving(app, world) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as made:
        yield made


@pytest.fixture
def refusable() -> tuple[str, ...]:
    """Addresses at which a refused call is no error of the page's; a module may say others."""
    return ("/api/payments/create",)


@pytest.fixture
def visit(browser: Browser, fresh: World, refusable: tuple[str, ...]) -> Iterator[Visit]:
    """Somebody with a phone on which Telegram's script does not load."""
    with phone(browser, refusable=refusable) as page:
        yield Visit(page, fresh)


@pytest.fixture
def in_telegram(browser: Browser, fresh: World, refusable: tuple[str, ...]) -> Iterator[Visit]:
    """Somebody in Telegram."""
    with phone(browser, refusable=refusable, script=TELEGRAM_SCRIPT) as page:
        yield Visit(page, fresh)
