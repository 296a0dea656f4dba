"""The world of the bot's tests: one for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.world import World
from tests.bot_kit import BotWorld


@pytest.fixture(scope="package")
def bot_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BotWorld]:
    """One world for this package."""
    world = World(tmp_path_factory.mktemp("bot"))
    try:
        made = BotWorld(world)
        try:
            yield made
        finally:
            made.stop()
    finally:
        world.stop()


@pytest.fixture
def talking(bot_world: BotWorld) -> BotWorld:
    """The world with a bot that polls; the one of the test before, if it still does."""
    bot_world.release()
    if not bot_world.talks:
        bot_world.polling_bot()
    return bot_world
