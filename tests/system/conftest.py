"""Debian's servers for the system tests: installed when missing, never skipped."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

INSTALL_SECONDS = 600


def installed(program: str, package: str) -> str:
    """The path of a program, after installing Debian's package if it is missing; fails the test when it cannot be had."""
    found = shutil.which(program)
    if found:
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.fail(f"{program} is missing: install Debian's package {package}, or run this as root on Debian")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qqy", "install", "--no-install-recommends", package]):
        answer = subprocess.run(  # noqa: S603 - our own commands
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if answer.returncode:
            pytest.fail(f"{' '.join(command)}: {answer.stderr.strip()[-500:]}")
    found = shutil.which(program)
    if not found:
        pytest.fail(f"Debian's package {package} has no program {program}")
    return found
