"""An admin at the keyboard."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from click.testing import Result
from flask import Flask
from sqlalchemy import func, select

from krotray_core.db import transaction
from krotray_core.models import Seat

FIRST = {
    "XRAY_SERVER_NAME": "Main",
    "XRAY_SERVER_HOST": "127.0.0.66",
    "XRAY_GRPC_PORT": "8080",
    "XRAY_MAX_USERS": "100",
}
ADDED = "Добавлен сервер: Main 127.0.0.66:8080 (max_users=100)\n"
SERVER_COLUMNS = {
    *("name", "host", "grpc_port", "inbound_tag", "active_users", "max_users", "enabled", "up"),
    *("checked_at", "last_error", "draining", "evacuating_since", "since"),
}
DAY = timedelta(days=1)
BIGINT = 2**63


class Admin:
    """Types commands, in this process."""

    def __init__(self, app: Flask) -> None:
        self._runner = app.test_cli_runner()

    def run(self, *arguments: object) -> Result:
        """However it ends, but never with a traceback."""
        result = self._runner.invoke(args=[str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    def __call__(self, *arguments: object) -> str:
        """One that succeeds, and what it prints."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, *arguments: object) -> Any:
        """What it says to programs."""
        return json.loads(self(*arguments, "--json"))

    def fails(self, *arguments: object) -> str:
        """One that ends with 1: a line on stderr, nothing on stdout. Returns the line."""
        result = self.run(*arguments)
        assert result.exit_code == 1, (result.exit_code, result.output)
        assert result.stdout == ""
        return one_line(result.stderr)

    def misused(self, *arguments: object) -> str:
        """One that ends with 2, the way click tells wrong usage."""
        result = self.run(*arguments)
        assert result.exit_code == 2, (result.exit_code, result.output)
        assert result.stdout == ""
        assert "Error: " in result.stderr
        return result.stderr


def one_line(stderr: str) -> str:
    """The only line of an error."""
    assert re.fullmatch(r"Error: [^\n]+\n", stderr), stderr
    return stderr


def add(admin: Admin, name: str = "Main", host: str = "127.0.0.1", port: object = 8080, most: object = 10) -> str:
    """Adds a server that need not be there."""
    return admin("servers", "add", f"--name={name}", "--host", host, "--grpc-port", port, "--max-users", most)


def seats() -> int:
    """How many seats are taken."""
    with transaction() as session:
        return session.scalar(select(func.count()).where(Seat.wanted)) or 0
