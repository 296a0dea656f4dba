"""The locked versions against the public databases of known holes, as far as those can be reached."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from sandbox.world import ROOT

LOCKS = ("requirements.txt", "requirements-sandbox.txt", "requirements-dev.txt", "requirements-bench.txt")
ANSWER_SECONDS = 10


def audit(lock: Path, *options: str) -> tuple[list[str], list[str], list[str]]:
    """What has a known hole, what has none, and what could not be looked up, each by name and version."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", str(ANSWER_SECONDS), *options]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603 - our own
    try:
        found = json.loads(answer.stdout)["dependencies"]
    except ValueError:  # the database did not answer at all
        assert "Connection" in answer.stderr or "Timeout" in answer.stderr, answer.stderr
        return [], [], [str(lock)]
    holes = [
        f"{one['name']} {one['version']}: {', '.join(hole['id'] for hole in one['vulns'])}"
        for one in found
        if one.get("vulns")
    ]
    sound = [one["name"] for one in found if "version" in one and not one.get("vulns")]
    return holes, sound, [one["name"] for one in found if "skip_reason" in one]


def test_no_locked_version_has_a_known_hole(capsys: pytest.CaptureFixture[str]) -> None:
    for name in LOCKS:
        holes, sound, unknown = audit(ROOT / name)
        assert holes == []
        with capsys.disabled():  # whoever reads this must know what was not looked at
            sys.stdout.write(f"\n{name}: {len(sound)} without a known hole, {len(unknown)} could not be looked up\n")


@pytest.fixture
def database() -> Iterator[str]:
    """A database of holes that knows one."""

    @Request.application
    def app(request: Request) -> Response:
        asked: dict[str, Any] = json.loads(request.get_data())
        hole = {"id": "TEST-1", "summary": "a hole", "modified": "2026-01-01T00:00:00Z", "affected": []}
        return Response(json.dumps({"vulns": [hole]} if asked["package"]["name"] == "flask" else {}))

    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/v1/query"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hole_would_be_found(database: str, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("flask==3.1.3\nrequests==2.34.2\n")
    holes, sound, unknown = audit(lock, "--vulnerability-service", "osv", "--osv-url", database)
    assert (holes, sound, unknown) == (["flask 3.1.3: TEST-1"], ["requests"], [])


def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("flask==3.1.3\n")
    options = ("--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:1/v1/query")
    assert audit(lock, *options) == ([], [], [str(lock)])
