"""A stand-in for `systemctl` where systemd does not run: it reads our unit files and starts, stops and reloads what they name.

Only what the deploy guide uses. `UNITS` is the folder of the unit files, `STATE` holds pid files and logs.
"""

from __future__ import annotations

import configparser
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

UNITS, STATE = Path(os.environ["UNITS"]), Path(os.environ["STATE"])
STOP_SECONDS = 30
BEGUN = "-- begun --\n"  # in a unit's log before each start, as the journal says it


class Unit:
    """A service, with the drop-in that its name's beginning brings."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.read = configparser.ConfigParser(strict=False, interpolation=None)
        self.read.optionxform = str  # type: ignore[assignment,method-assign]
        names = [UNITS / name] + ([*UNITS.glob("krotray-.service.d/*.conf")] if name.startswith("krotray-") else [])
        if not self.read.read(names[::-1]):
            sys.exit(f"Unit {name} not found.")
        self.pid_file = STATE / f"{name}.pid"

    def get(self, key: str) -> str:
        """A line of [Service]; empty without."""
        return self.read.get("Service", key, fallback="")

    def environment(self) -> dict[str, str]:
        """As systemd would make it: `Environment`, then the file over it; of ours only what a shell needs."""
        made = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        made |= dict(pair.split("=", 1) for pair in shlex.split(self.get("Environment")))
        if self.get("EnvironmentFile"):
            lines = Path(self.get("EnvironmentFile")).read_text().splitlines()
            made |= dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        return made

    def start(self) -> None:
        """Starts it, unless it runs; a oneshot is waited for."""
        if self.pid():
            return
        with (STATE / f"{self.name}.log").open("ab") as log:
            log.write(BEGUN.encode())
            log.flush()
            begun = subprocess.Popen(  # noqa: S603 - our own units
                shlex.split(self.get("ExecStart")),
                env=self.environment(),
                cwd=self.get("WorkingDirectory") or "/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.get("User") or None,
                group=self.get("Group") or None,
                extra_groups=[] if self.get("User") else None,
                umask=int(self.get("UMask") or "022", 8),
            )
        if self.get("Type") == "oneshot":
            if begun.wait():
                sys.exit(f"Job for {self.name} failed.")
            return
        self.pid_file.write_text(str(begun.pid))

    def pid(self) -> int | None:
        """Of its main process, if that is there."""
        if not self.pid_file.exists():
            return None
        pid = int(self.pid_file.read_text())
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return None
        return None if state == "Z" else pid

    def tell(self) -> None:
        """SIGTERM to the main process alone (KillMode=mixed)."""
        if pid := self.pid():
            os.kill(pid, signal.SIGTERM)

    def end(self) -> None:
        """Waits until it has ended, and then kills all of it."""
        if pid := self.pid():
            deadline = time.monotonic() + float(self.get("TimeoutStopSec") or STOP_SECONDS)
            while self.pid() and time.monotonic() < deadline:
                time.sleep(0.05)
            if self.pid():
                os.killpg(pid, signal.SIGKILL)
        self.pid_file.unlink(missing_ok=True)

    def reload(self) -> None:
        """SIGHUP; starts what does not run."""
        if pid := self.pid():
            os.kill(pid, signal.SIGHUP)
        else:
            self.start()


def meant(name: str) -> list[Unit]:
    """The unit of this name and all that it wants, that one first."""
    unit = Unit(name if "." in name else f"{name}.service")
    wanted = unit.read.get("Unit", "Wants", fallback="").split()
    return [unit, *(other for want in wanted if want.startswith("krotray") for other in meant(want))]


def main() -> None:
    """`systemctl VERB UNIT...`."""
    verb, *names = sys.argv[1:]
    if verb in ("daemon-reload", "enable"):
        return
    units = [unit for name in names for unit in meant(name) if unit.name.endswith(".service")]
    if verb == "reload":
        units[0].reload()
    if verb in ("stop", "restart"):
        for unit in units:
            unit.tell()
        for unit in units:
            unit.end()
    if verb in ("start", "restart"):
        for unit in units:
            unit.start()


if __name__ == "__main__":
    main()
