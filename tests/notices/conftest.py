"""Fixtures of the notices' tests: by the real client over HTTP to the sandbox Telegram, at noon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from krotray_core import delivery, settings
from sandbox.world import World
from tests.notices.kit import Telegram


@pytest.fixture
def telegram(fresh: World) -> Iterator[Telegram]:
    """The sandbox Telegram, without trouble."""
    made = Telegram(fresh)
    made.release()
    yield made
    made.release()


@pytest.fixture
def says(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes settings of this process for one test."""
    assert world
    real = settings.get()

    def change(**changes: object) -> None:
        monkeypatch.setattr(settings, "get", lambda: real.model_copy(update={"quiet_hours": (0, 0), **changes}))

    return change


@pytest.fixture(autouse=True)
def _by_day(says: Callable[..., None]) -> None:
    """It is never night, unless a test says so."""
    says()


@pytest.fixture
def at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages to one chat need not wait for each other."""
    monkeypatch.setattr(delivery, "CHAT_PACE", timedelta(microseconds=1))
    monkeypatch.setattr(delivery, "CHAT_AGAIN", timedelta(milliseconds=1))
