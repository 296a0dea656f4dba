"""Flower, as it really runs: nothing of it without the login, whatever the environment says, and no arguments of tasks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from krotray_tasks import flower, money
from sandbox.process import Process, free_port, listening, wait_until
from sandbox.world import FLOWER_LOGIN, ROOT, World
from tests.test_tasks import worker

LOGIN = tuple(FLOWER_LOGIN.split(":"))
LOOSE = {
    "FLOWER_UNAUTHENTICATED_API": "true",
    "FLOWER_AUTH": ".*",
    "FLOWER_AUTH_PROVIDER": "flower.views.auth.GithubLoginHandler",
    "FLOWER_OAUTH2_KEY": "k",
    "FLOWER_OAUTH2_SECRET": "s",
    "FLOWER_DEBUG": "true",
    "FLOWER_CONF": "/tmp/loose.py",  # noqa: S108 - never read
    "FLOWER_UNIX_SOCKET": "/tmp/flower.sock",  # noqa: S108 - never made
}
PATHS = (
    *("", "metrics", "healthcheck", "workers", "tasks", "broker", "api/workers", "api/tasks", "api/queues/length"),
    *("static/css/flower.css", "login", "logout", "nothing", "worker/x", "tasks/datatable", "../metrics", "%6detrics"),
)


@pytest.fixture(scope="module")
def address(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it is: behind a prefix, on every address, in an environment and a folder that would have it wide open."""
    folder, port = tmp_path_factory.mktemp("flower"), free_port()
    (folder / "flowerconfig.py").write_text("basic_auth = None\n")
    environment = world.environment() | LOOSE | {"PYTHONPATH": str(ROOT), "FLOWER_URL_PREFIX": "/flower"}
    environment |= {"FLOWER_ADDRESS": "0.0.0.0", "FLOWER_PORT": str(port)}  # noqa: S104 - the test is about that
    command = [sys.executable, "-m", "krotray_tasks.flower"]
    process = Process("flower", command, log=folder / "flower.log", env=environment, cwd=folder)
    process.wait_ready(lambda: listening(port))
    yield f"http://127.0.0.1:{port}/flower/"
    process.stop(seconds=10)
    assert process.wait(5) == 0, "a clean stop"
    said = (folder / "flower.log").read_text()
    assert all(f"{name} is not heeded" in said for name in LOOSE)
    assert LOGIN[1] not in said


@pytest.fixture(scope="module")
def stranger() -> Iterator[requests.Session]:
    """Somebody who knocks at every door, over one connection."""
    with requests.Session() as session:
        yield session


@pytest.mark.parametrize("path", PATHS)
def test_nothing_without_the_login(address: str, stranger: requests.Session, path: str) -> None:
    """Every method without a login; each wrong login by one method, for the door looks at it before the method."""
    tried = [(method, None) for method in ("GET", "POST", "OPTIONS", "HEAD")]
    tried += [("GET", login) for login in ((LOGIN[0], "wrong"), ("", ""), (LOGIN[0], "ключ".encode()))]
    for method, login in tried:
        answer = stranger.request(method, address + path, auth=login, timeout=10, allow_redirects=False)
        assert answer.status_code == 401, (method, path, login)
        assert answer.text in ("", None)
        assert "Access-Control-Allow-Origin" not in answer.headers
    outside = address.replace("/flower/", "/") + path
    assert stranger.get(outside, timeout=10).status_code == 401, "past the prefix too"


def test_a_header_of_another_form_is_no_login() -> None:
    for header in ("", "Basic", "Basic !!!", "Bearer x", "Basic " + "A" * 100_000, "Basic ключ", "basic  "):
        assert not flower.knows(FLOWER_LOGIN, header)


def test_with_the_login_it_works_and_runs_nothing(address: str) -> None:
    for path in ("", "metrics", "healthcheck", "tasks", "static/css/flower.css"):
        assert requests.get(address + path, auth=LOGIN, timeout=10).status_code == 200, path
    page = requests.get(address, auth=LOGIN, timeout=10).text
    assert "/flower/static/" in page
    for way in ("apply", "async-apply", "send-task"):
        url = f"{address}api/task/{way}/krotray_tasks.money.settle"
        assert requests.post(url, json={"args": ["0"]}, auth=LOGIN, timeout=10).status_code == 403
    forged = requests.post(
        f"{address}api/worker/shutdown/x", auth=LOGIN, headers={"Origin": "https://evil.example"}, timeout=10
    )
    assert forged.status_code == 403


def test_no_argument_of_a_task_is_shown(address: str, world: World, tmp_path: Path) -> None:
    process = worker(world, tmp_path / "worker.log")
    try:
        money.settle.enqueue("11111111-2222-3333-4444-555555555555")
        money.settle.apply_async(("secret-one",), argsrepr=None)

        def seen() -> str:
            return requests.get(f"{address}api/tasks", auth=LOGIN, timeout=10).text

        wait_until(lambda: seen().count("krotray_tasks.money.settle") >= 2, seconds=30, what="Flower to hear of them")
        assert "11111111-2222" not in seen()
        assert "secret-one" not in seen()
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("settings_", "arguments"),
    [({"FLOWER_URL_PREFIX": "/a b"}, []), ({"FLOWER_PORT": "x"}, []), ({}, ["--address=0.0.0.0"])],
)
def test_it_does_not_start_with_what_it_does_not_understand(
    world: World, monkeypatch: pytest.MonkeyPatch, settings_: dict[str, str], arguments: list[str]
) -> None:
    assert world
    monkeypatch.setattr(flower.logs, "configure", lambda: None)
    monkeypatch.setattr(sys, "argv", ["flower", *arguments])
    for name, value in settings_.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=r"^F"):
        flower.main()
