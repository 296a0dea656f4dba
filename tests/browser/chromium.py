"""Where a Chromium for the browser tests is: on PATH, else Debian's (as root), else Playwright's own download."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_SECONDS = 600


def executable(playwright: Playwright) -> str:
    """The path of a Chromium, installed first if need be. Raises RuntimeError that says what to do when none can be had."""
    return _on_path() or _downloaded(playwright) or _install(playwright)


def _on_path() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)


def _downloaded(playwright: Playwright) -> str | None:
    path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _install(playwright: Playwright) -> str:
    tried = []
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qqy", "install", "--no-install-recommends", "chromium"],
        ):
            tried.append(_run(command, environment))
    if not _on_path():
        tried.append(_run([sys.executable, "-m", "playwright", "install", "chromium"], dict(os.environ)))
    found = _on_path() or _downloaded(playwright)
    if not found:
        raise RuntimeError("no Chromium for the browser tests; install one by hand. Tried:\n" + "\n".join(tried))
    return found


def _run(command: list[str], environment: dict[str, str]) -> str:
    answer = subprocess.run(  # noqa: S603 - our own commands
        command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    return f"{' '.join(command)}: exit code {answer.returncode}\n{answer.stderr[-500:]}"
