"""The house itself: what is written in two places says the same in both."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from krotray_core.settings import Settings
from krotray_tasks import celery
from sandbox.process import free_port
from sandbox.world import ROOT, World
from tests.conftest import run_python

VERSIONS = ROOT / "migrations" / "versions"

# Read by the Procfile's command lines and by Flower itself, not by our code.
PROCFILE_ONLY = {
    *("PORT", "WEB_HOST", "WEB_WORKERS", "WEB_THREADS"),
    *("WORKER_CONCURRENCY", "WORKER_QUEUES", "WORKER_NAME"),
    *("FLOWER_ADDRESS", "FLOWER_PORT", "FLOWER_URL_PREFIX"),
}


def test_the_stubs_are_what_the_protos_say(tmp_path: Path) -> None:
    protos = sorted((ROOT / "protos").rglob("*.proto"))
    out = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "protos"), *out, *map(str, protos)]
    subprocess.run(command, check=True, timeout=60)  # noqa: S603 - our own command
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*_pb2*")}
    assert made
    assert {path: (ROOT / path).read_text() for path in made} == made, "run `make protos`"


def test_the_example_names_every_setting() -> None:
    text = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE))
    assert named - PROCFILE_ONLY == {name.upper() for name in Settings.model_fields}


def test_the_example_filled_in_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    secrets = {"SECRET_KEY": "x", "BOT_TOKEN": "123:abc", "YOOKASSA_SHOP_ID": "1", "YOOKASSA_SECRET_KEY": "x"}
    text = (ROOT / ".env.example").read_text()
    for name, value in secrets.items():
        text = text.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    filled = tmp_path / ".env"
    filled.write_text(text)
    read = Settings(_env_file=filled)
    assert read.model_dump(exclude={name.lower() for name in secrets}) == Settings(
        _env_file=None,
        **{name.lower(): value for name, value in secrets.items()},
        database_url=read.database_url,
        redis_url=read.redis_url,
        mini_app_url=read.mini_app_url,
        payment_return_url=read.payment_return_url,
        vless_url_template=read.vless_url_template,
    ).model_dump(exclude={name.lower() for name in secrets}), "what it shows as optional are the defaults"


def test_the_changelog_names_every_migration() -> None:
    """Whoever goes back to an older version has to know."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = {
        path.name: re.search(r'^revision = "(\w+)"', path.read_text(), re.MULTILINE) for path in VERSIONS.glob("*.py")
    }
    assert found
    assert [name for name, revision in found.items() if not revision or f"`{revision[1]}`" not in text] == []


def test_the_worker_of_the_procfile_takes_every_queue(world: World) -> None:
    assert world
    procfile = (ROOT / "Procfile").read_text()
    taken = re.search(r"--queues \$\{WORKER_QUEUES:-(\S+)\}", procfile)
    assert taken
    routes = {route["queue"] for route in celery.conf.task_routes.values()} | {celery.conf.task_default_queue}
    assert set(taken[1].split(",")) == routes


@pytest.mark.parametrize("name", ["requirements", "requirements-sandbox", "requirements-dev", "requirements-bench"])
def test_what_is_asked_for_is_locked(name: str) -> None:
    asked = re.findall(r"^([a-z][a-z0-9-]*)", (ROOT / f"{name}.in").read_text(), re.MULTILINE)
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / f"{name}.txt").read_text(), re.MULTILINE))
    assert asked
    assert set(asked) <= set(locked)
    assert "file://" not in (ROOT / f"{name}.txt").read_text()


def test_web_ends_at_once_with_wrong_settings(world: World) -> None:
    """And does not start its workers again and again."""
    command = re.search(r"^web: (.*)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert command
    environment = world.environment() | {"BOT_TOKEN": "nonsense", "YOOKASSA_SHOP_ID": "", "PORT": str(free_port())}
    answer = subprocess.run(  # noqa: S602 - the very line that is run in earnest
        command[1], shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert answer.returncode != 0
    assert "BOT_TOKEN: should look like" in answer.stderr
    assert "YOOKASSA_SHOP_ID: is missing" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_flower_does_not_start_without_a_login(world: World) -> None:
    environment = {k: v for k, v in world.environment().items() if k != "FLOWER_BASIC_AUTH"}
    answer = run_python("-m", "krotray_tasks.flower", environment=environment)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Flower does not start without a login")
    assert "Traceback" not in answer.stderr


def test_every_defence_names_a_test_that_exists() -> None:
    text = (ROOT / "docs/security.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| threat")]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, f"no test covers: {row}"
        for file, name in named:
            assert re.search(rf"def {name}\b", (ROOT / file).read_text()), f"{file} has no {name}"


# Who may call out, and to whom: addresses of all of these come from settings or from `flask servers`.
CALLERS = {
    "krotray_bot/faults.py": "nobody: it knows the library's errors",
    "krotray_bot/transport.py": "Telegram",
    "krotray_core/certificates.py": "the TLS proxies of servers, for `servers check`",
    "krotray_core/deadlines.py": "whom its users call",
    "krotray_core/outside_checks.py": "our own Mini App, and the vendors for their Date, for `flask doctor`",
    "krotray_core/server_checks.py": "names of servers, for `servers check`",
    "krotray_core/telegram_api.py": "Telegram",
    "krotray_core/yookassa/client.py": "YooKassa",
    "krotray_core/xray/channels.py": "Xray",
    "krotray_tasks/beat.py": "nobody: it asks for the machine's name",
}
CLIENTS = {
    "aiohttp",
    "ftplib",
    "http.client",
    "httpx",
    "requests",
    "smtplib",
    "socket",
    "subprocess",
    "telnetlib",
    "urllib3",
}


def test_no_address_that_we_call_comes_from_a_request() -> None:
    found = set()
    for room in ("krotray_api", "krotray_bot", "krotray_core", "krotray_tasks"):
        for file in (ROOT / room).rglob("*.py"):
            imported = {
                name if name.startswith("http.") else name.partition(".")[0]
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
            }
            calls = imported & CLIENTS or ("grpc" in imported and "insecure_channel" in file.read_text())
            if calls:
                found.add(str(file.relative_to(ROOT)))
    assert found == set(CALLERS)
