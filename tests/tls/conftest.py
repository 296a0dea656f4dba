"""Fixtures of the tests of TLS on the way to Xray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.world import World
from tests import tls_kit
from tests.cli.kit import Admin
from tests.tls_kit import Authority, Proxy


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """Our CA."""
    return Authority(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    """Somebody else's."""
    return Authority(tmp_path / "other")


@pytest.fixture
def proxy(fresh: World, ours: Authority) -> Iterator[Proxy]:
    """Mutual TLS in front of the first Xray."""
    with tls_kit.proxy(ours, fresh.nodes[0].grpc_port) as made:
        yield made


@pytest.fixture
def admin(app: object, fresh: World) -> Admin:
    """An admin at the keyboard."""
    assert fresh
    return Admin(app)  # type: ignore[arg-type]
