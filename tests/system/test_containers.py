"""The Dockerfile and the compose file: compose itself accepts them, and they keep the few rules that matter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.service import PROCESSES
from sandbox.world import ROOT
from tests.system.conftest import installed

DOCKER = ROOT / "deploy" / "docker"
SECRET = "kept" * 5


def compose(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`docker compose config` on a copy that has an .env: the plugin if it is there, else Debian's docker-compose."""
    copied = folder / "checkout"
    shutil.copytree(DOCKER, copied / "deploy" / "docker")
    (copied / ".env").write_text("BOT_TOKEN=from-the-file\n")
    plugin = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode:  # noqa: S603
        plugin = [installed("docker-compose", "docker-compose")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(  # noqa: S603 - our own command
        [*plugin, *arguments, "-f", str(copied / "deploy" / "docker" / "compose.yaml"), "config"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The services as compose understands them."""
    folder = tmp_path_factory.mktemp("compose")
    given = folder / "given.env"
    given.write_text(f"POSTGRES_PASSWORD={SECRET}\n")
    answer = compose(folder, "--env-file", str(given))
    assert answer.returncode == 0, answer.stderr
    return dict(yaml.safe_load(answer.stdout)["services"])


def test_compose_knows_every_process(services: dict[str, Any]) -> None:
    assert services.keys() == {*PROCESSES, "release", "postgres", "redis"}
    for process in (*PROCESSES, "release"):
        service = services[process]
        assert service["command"] in ([process], process)
        assert service["environment"]["BOT_TOKEN"] == "from-the-file"
        assert SECRET in service["environment"]["DATABASE_URL"]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
    for process in PROCESSES:
        after = services[process]["depends_on"]
        assert after["release"]["condition"] == "service_completed_successfully", "migrated before it starts"
        assert {after[name]["condition"] for name in ("postgres", "redis")} == {"service_healthy"}


def test_nothing_is_offered_to_the_world(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for port in service.get("ports", []):
            host = port["host_ip"] if isinstance(port, dict) else port.rpartition(":")[0].partition(":")[0]
            assert host == "127.0.0.1", name
    assert not services["postgres"].get("ports")
    assert not services["redis"].get("ports")


def test_a_stop_has_the_time_it_needs(services: dict[str, Any]) -> None:
    for process in PROCESSES:
        grace = str(services[process]["stop_grace_period"])
        assert grace in ("30s", "1m0s", "60s"), "more than gunicorn's 20 s and a worker's 11"


def test_without_a_password_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()
    answer = compose(tmp_path, "--env-file", str(tmp_path / "empty.env"))
    assert answer.returncode != 0
    assert "POSTGRES_PASSWORD" in answer.stderr


def test_the_files_hold_no_secrets() -> None:
    text = (DOCKER / "compose.yaml").read_text() + (DOCKER / "Dockerfile").read_text()
    for name in ("PASSWORD", "SECRET", "TOKEN", "BASIC_AUTH"):
        for value in re.findall(rf"^\s*-?\s*(?:ENV )?\w*{name}\w*\s*[:=]\s*(\S+)", text, re.MULTILINE):
            assert value.startswith("${"), f"{name}: {value}"


def test_the_image_is_pinned_small_and_nobodys_root() -> None:
    lines = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    bases = [line.split()[1] for line in lines if line.startswith("FROM")]
    assert len(bases) == 2, "what installs stays behind"
    assert set(bases) == {"python:3.11-slim-bookworm"}
    last = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM")) :]
    user = next(n for n, line in enumerate(last) if line.startswith("USER"))
    assert re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", last[user]), "a number, which Kubernetes can check"
    assert not any(line.startswith(("RUN", "COPY", "ADD")) for line in last[user:])
    assert not any(re.search(r"\bADD\b|apt-get|pip install|gcc|curl", line) for line in last)
    assert any(line.startswith("HEALTHCHECK") for line in last)
    for line in last:
        if line.startswith(("ENTRYPOINT", "CMD")):
            assert "[" in line, "without a shell in between signals arrive"


def test_what_the_image_copies_is_there_and_nothing_else_is_sent_along() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for name in line.split()}
    assert all((ROOT / name).exists() for name in copied)
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    packages = {path.parent.name for path in ROOT.glob("krotray_*/__init__.py")}
    assert packages < copied
