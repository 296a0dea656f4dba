"""`flask doctor`: what is missing is named, with what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from krotray_core import leases
from krotray_core.db import transaction
from krotray_core.models import Server
from krotray_tasks import beat
from sandbox.world import World
from tests.cli.kit import Admin
from tests.conftest import run_flask
from tests.test_tasks import worker


def by_part(stdout: str) -> dict[str, set[str]]:
    """The levels that each part has got."""
    said: dict[str, set[str]] = {}
    for row in json.loads(stdout):
        said.setdefault(row["part"], set()).add(row["level"])
    return said


def test_all_is_well(fresh: World, admin: Admin, fleet: list[Server], tmp_path: Path) -> None:
    process = worker(fresh, tmp_path / "worker.log")
    assert leases.take(beat.LEASE, "a beat", beat.LEASE_LENGTH)
    try:
        said = by_part(admin("doctor", "--json"))
    finally:
        process.kill()
        leases.give_back(beat.LEASE, "a beat")
    parts = {"database", "broker", "beat", "workers", *(f"server {server.name}" for server in fleet)}
    assert said == {part: {"ok"} for part in parts}


def test_nobody_at_work_and_a_server_in_the_open(admin: Admin, fleet: list[Server]) -> None:
    with transaction() as session:
        session.execute(update(Server).where(Server.id == fleet[0].id).values(host="203.0.113.5"))
    result = admin.run("doctor", "--json")
    assert result.exit_code == 1
    said = by_part(result.stdout)
    assert said["beat"] == said["workers"] == {"failed"}
    assert said[f"server {fleet[0].name}"] == {"ok", "warning", "failed"}
    assert "PLAIN TEXT to 203.0.113.5" in result.stdout


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "database"),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "broker"),
    ],
)
def test_what_does_not_answer_is_named(fresh: World, setting: dict[str, Any], part: str) -> None:
    assert fresh
    answer = run_flask("doctor", "--json", **setting)
    assert answer.returncode == 1
    assert by_part(answer.stdout)[part] == {"failed"}
    assert next(iter(setting)) in answer.stdout


def test_a_database_that_is_behind_is_told_to_be_upgraded(fresh: World) -> None:
    url = fresh.postgres.create("behind")
    assert run_flask("db", "upgrade", "7c1e0a9d4b52", DATABASE_URL=url).returncode == 0
    answer = run_flask("doctor", "--json", DATABASE_URL=url)
    assert "flask db upgrade" in answer.stdout
    assert answer.returncode == 1
