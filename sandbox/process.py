"""Child processes that never outlive us: started, waited for until they answer, stopped in order."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TIED = [sys.executable, "-I", "-S", str(Path(__file__).with_name("tied.py"))]


class PartFailed(RuntimeError):
    """A part of the sandbox did not start or did not answer in time; the message holds the end of its log."""


_kept: list[socket.socket] = []  # never closed: they listen to nobody, and end with this process


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, and that the system gives to nobody else as long as this process lives.

    A socket keeps it that is bound and does not listen. Whoever asks for that very port still gets it, as every server does that
    sets SO_REUSEADDR (socket(7)).
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    _kept.append(keeper)
    return int(keeper.getsockname()[1])


def wait_until(true: Callable[[], object], *, seconds: float, what: str, pause: float = 0.02) -> None:
    """Returns as soon as `true()` is. Raises PartFailed with `what` when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise PartFailed(f"{what}: nothing for {seconds:g} s")
        time.sleep(pause)


def listening(port: int) -> bool:
    """Whether somebody accepts connections on this port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """One child process with its log file. It is told to stop even when we are killed (Linux)."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name, self.log, self.stop_signal = name, log, stop_signal
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._begins = output.tell()
            self._popen = subprocess.Popen(  # noqa: S603 - our own command lines
                [*TIED, str(int(stop_signal)), str(os.getpid()), user or "", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,  # Ctrl-C in a terminal is for us; we stop the children in order
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self._popen.poll() is None

    def wait_ready(self, ready: Callable[[], object], *, seconds: float = 30) -> None:
        """Returns when `ready()` is true. Raises PartFailed when the process ends first or time runs out."""

        def ready_or_gone() -> bool:
            if not self.running:
                raise PartFailed(f"{self.name} ended with {self._popen.returncode}:\n{self.tail()}")
            return bool(ready())

        try:
            wait_until(ready_or_gone, seconds=seconds, what=f"waiting for {self.name}")
        except PartFailed:
            self.kill()
            raise

    def wait(self, seconds: float | None = None) -> int:
        """The exit code, once the process has ended by itself. Raises subprocess.TimeoutExpired."""
        return self._popen.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process alone."""
        self._popen.send_signal(number)

    def stop(self, *, seconds: float = 15) -> None:
        """Asks the process to end, and insists after `seconds`."""
        if self.running:
            self.signal(self.stop_signal)
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Ends the process and what it started, now: kill -9."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def said(self) -> str:
        """What this process has written so far; its log may begin with what one before it wrote."""
        with self.log.open("rb") as written:
            written.seek(self._begins)
            return written.read().decode(errors="replace")

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
