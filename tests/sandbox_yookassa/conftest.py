"""Fixtures of the sandbox's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_yookassa_kit import SHOP, Receiver, Till, receiving, running
from yookassa import Configuration


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The shop's webhook."""
    with receiving() as running_receiver:
        yield running_receiver


@pytest.fixture
def till(receiver: Receiver) -> Iterator[Till]:
    """A sandbox that notifies the receiver, impatient enough for a test."""
    with running(webhook_url=receiver.url, first_retry_pause=0.02, webhook_timeout=2.0) as running_till:
        yield running_till


@pytest.fixture
def sdk(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real SDK, whose credentials and address are globals, pointed at the sandbox for one test."""
    for name in ("account_id", "secret_key", "auth_token", "api_url", "timeout", "max_attempts", "verify", "logger"):
        monkeypatch.setattr(Configuration, name, getattr(Configuration, name))
    Configuration.configure(*SHOP, api_url=f"{till.url}/v3")
