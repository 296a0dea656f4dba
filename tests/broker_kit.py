"""What the tests of other brokers share: workers and beats of a service, and a process that publishes while its broker is away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sandbox.process import Process, wait_until
from sandbox.world import ROOT

_PUBLISHER = """
import json, sys, time
from krotray_tasks import money

for line in sys.stdin:
    began = time.monotonic()
    print(json.dumps([money.settle.enqueue(*json.loads(line)), time.monotonic() - began]), flush=True)
"""


class Publisher:
    """A process like a web worker: it enqueues on demand, and says whether that went well and how long it took."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-c", _PUBLISHER],
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def settle(self, payment_id: str = "00000000-0000-0000-0000-000000000000") -> tuple[bool, float]:
        """Asks for a payment to be settled; by default for one that nobody knows. Returns (enqueued, seconds)."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([payment_id]) + "\n")
        self._process.stdin.flush()
        enqueued, seconds = json.loads(self._process.stdout.readline())
        return enqueued, seconds

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def publisher(environment: Mapping[str, str]) -> Iterator[Publisher]:
    """A publisher that has published once."""
    made = Publisher(environment)
    try:
        assert made.settle()[0]
        yield made
    finally:
        made.close()


def worker(environment: Mapping[str, str], log: Path, *, name: str = "worker") -> Process:
    """A worker on all queues, ready."""
    command = [sys.executable, "-m", "celery", "-A", "krotray_tasks", "worker", "-Q", "money,access,care", "-c", "2"]
    command += ["--without-gossip", "--without-mingle", "--loglevel", "INFO", "--hostname", f"{name}@%h"]
    process = Process(name, command, log=log, env=environment, cwd=ROOT)
    process.wait_ready(lambda: " ready." in log.read_text(errors="replace"), seconds=40)
    return process


def beat(environment: Mapping[str, str], log: Path) -> Process:
    """A beat that fires."""
    command = [sys.executable, "-m", "celery", "-A", "krotray_tasks", "beat", "--loglevel", "INFO"]
    process = Process("beat", command, log=log, env=environment, cwd=ROOT)
    process.wait_ready(lambda: fires(log) > 0, seconds=40)
    return process


def fires(log: Path) -> int:
    """How many ticks a beat has sent."""
    return log.read_text(errors="replace").count("Sending due task") if log.exists() else 0


def wait_for_line(log: Path, text: str, *, seconds: float, times: int = 1) -> None:
    """Until a log holds this text so many times."""
    wait_until(
        lambda: log.read_text(errors="replace").count(text) >= times, seconds=seconds, what=f"{text!r} in {log.name}"
    )
