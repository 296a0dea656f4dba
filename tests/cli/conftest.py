"""Fixtures of the commands' tests."""

from __future__ import annotations

import pytest
from flask import Flask

from sandbox.world import World
from tests.cli.kit import Admin


@pytest.fixture
def admin(app: Flask, fresh: World) -> Admin:
    """Somebody at the keyboard, before an empty database."""
    assert fresh
    return Admin(app)
