"""Machines of our own for the processes of a service: network, host name, home and temporary folder each to itself.

Linux namespaces do it (root). Where they cannot be had, the folders alone are separate. What the sandbox offers on loopback is
found on a machine's own loopback, through a wire that can be cut.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.process import Process
from sandbox.world import ROOT

_FORWARD = """
import asyncio, sys

listen, target, *ports = sys.argv[1:]

async def pour(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

def through(port):
    async def serve(reader, writer):
        try:
            there, back = await asyncio.open_connection(target, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pour(reader, back), pour(there, writer))
    return serve

async def main():
    for port in ports:
        await asyncio.start_server(through(int(port)), listen, int(port))
    print("forwarding", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
_NAMED = 'hostname "$1" && shift && exec "$@"'


class Machine:
    """One machine. `ports` are those of this machine's loopback that it may reach."""

    def __init__(self, number: int, folder: Path, ports: Sequence[int]) -> None:
        self.name = f"krot{number}"
        self.space = f"krot-{os.getpid()}-{number}"
        self.folder, self._logs = folder / self.name, folder / "logs"
        for part in ("home", "tmp", "work"):
            (self.folder / part).mkdir(parents=True)
        self._processes: list[Process] = []
        self.isolated = _ip("netns", "add", self.space)
        if self.isolated:
            self._wire(number, [str(port) for port in ports])

    def _wire(self, number: int, ports: list[str]) -> None:
        here, there, net = f"kr{os.getpid() % 100000}h{number}", f"kr{os.getpid() % 100000}m{number}", f"10.77.{number}"
        for command in (
            f"link add {here} type veth peer name {there} netns {self.space}",
            f"addr add {net}.1/30 dev {here}",
            f"link set {here} up",
            f"-n {self.space} addr add {net}.2/30 dev {there}",
            f"-n {self.space} link set {there} up",
            f"-n {self.space} link set lo up",
        ):
            assert _ip(*command.split()), command
        self._here = here
        forward = [sys.executable, "-c", _FORWARD]
        for inside, listen, target in ((False, f"{net}.1", "127.0.0.1"), (True, "127.0.0.1", f"{net}.1")):
            command = [*(self._inside() if inside else ()), *forward, listen, target, *ports]
            log = self._logs / f"{self.name}-{'in' if inside else 'out'}.log"
            process = Process("a wire", command, log=log)
            self._processes.append(process)
            process.wait_ready(lambda log=log: "forwarding" in log.read_text())

    def _inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.space, "unshare", "--uts", "sh", "-c", _NAMED, "-", self.name]

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Starts a process of the service on it. Nothing of its surroundings is shared but the code."""
        own = {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp"), "PYTHONPATH": str(ROOT)}
        process = Process(
            f"{name} on {self.name}",
            [*(self._inside() if self.isolated else ()), *command],
            log=self.log(name),
            env={**environment, **own, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=self.folder / "work",
        )
        self._processes.append(process)
        return process

    def log(self, name: str) -> Path:
        """Where a process of it writes."""
        return self._logs / f"{self.name}-{name}.log"

    def written(self) -> list[Path]:
        """What its processes have left on its disk."""
        return [path for path in self.folder.rglob("*") if not path.is_dir()]

    def crash(self) -> None:
        """kill -9 of everything on it, and the wire cut before anybody can say goodbye."""
        if self.isolated:
            _ip("link", "set", self._here, "down")
        for process in self._processes:
            process.kill()

    def remove(self) -> None:
        """Takes it away."""
        self.crash()
        if self.isolated:
            _ip("link", "del", self._here)
            _ip("netns", "del", self.space)


def _ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603, S607
