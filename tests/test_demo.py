"""`make demo`: it shows the way, stays up, and takes everything along when it goes, even when it is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from sandbox.process import wait_until
from sandbox.world import ROOT

pytestmark = pytest.mark.timeout(420)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[psutil.Popen, str]]:
    """The demo, past its tour, and what it has printed."""
    log = tmp_path / "demo.log"
    command = [sys.executable, "-m", "sandbox.demo", "--state", str(tmp_path / "state")]
    environment = {name: value for name, value in os.environ.items() if name not in ("PORT", "FLOWER_PORT")}
    with log.open("wb") as output:
        process = psutil.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        wait_until(
            lambda: "Admin commands" in log.read_text() or process.poll() is not None,
            seconds=270,
            what="the demo to stay up",
            pause=0.2,
        )
        text = log.read_text()
        assert process.poll() is None, text
        yield process, text
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def family(process: psutil.Popen) -> list[psutil.Process]:
    """The demo and everything it has started, PostgreSQL's and Celery's children included."""
    return [process, *process.children(recursive=True)]


def address(text: str, name: str) -> str:
    """What the demo printed behind a name."""
    found = re.search(rf"^ *{re.escape(name)}.*? (http\S+)$", text, re.MULTILINE)
    assert found, text
    return found[1]


def test_it_shows_the_way_and_ctrl_c_ends_everything(demo: tuple[psutil.Popen, str]) -> None:
    process, text = demo
    page = requests.get(address(text, "Mini App"), timeout=10)
    assert page.url.endswith("/app/") or "/app/#tgWebAppData=" in page.url
    assert "KrotRay" in page.text
    for name in ("a checkout", "YooKassa", "the API described"):
        assert requests.get(address(text, name), timeout=10).ok
    # The chat that it opens with shows the Mini App in a frame, and that page lets itself be shown there.
    chat = requests.get(address(text, "Your turn"), timeout=10)
    telegram, service = (one.url.rpartition("/app/")[0] or one.url.rstrip("/") for one in (chat, page))
    assert f"frame-src {service};" in chat.headers["Content-Security-Policy"]
    assert f"frame-ancestors {telegram} 'self'" in page.headers["Content-Security-Policy"]
    assert f'src="{telegram}/assets/telegram-web-app.js"' in page.text
    assert all(word in text for word in ("Открыть кабинет", "Open the cabinet", "Попробовать ключ", "Try this key"))
    flower = address(text, "Flower")
    login = re.search(r"Flower \((\S+):(\S+)\)", text)
    assert login
    assert requests.get(flower, timeout=10).status_code == 401
    assert requests.get(flower, auth=login.groups(), timeout=10).ok
    command = re.search(r"^  (\. \S+ && \S+ servers list)$", text, re.MULTILINE)
    assert command
    listing = subprocess.run(  # noqa: S602 - the very line that people are told to type
        command[1], shell=True, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert "Amsterdam" in listing.stdout

    everybody = family(process)
    assert len(everybody) > 15
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    _, alive = psutil.wait_procs(everybody, timeout=5)
    assert alive == []


def test_killed_it_still_takes_everything_along(demo: tuple[psutil.Popen, str]) -> None:
    process, _ = demo
    everybody = family(process)
    process.kill()
    _, alive = psutil.wait_procs(everybody, timeout=30)
    assert alive == []
