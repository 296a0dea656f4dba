"""A fresh folder that looks like a bare Debian to docs/deploy.md, and a shell that types the guide's blocks into it.

What stands in for what: folders get a prefix, ports are free ones, `systemctl` reads our units without systemd, `certbot` makes a
certificate of its own that Python's list of CAs then knows, `ssh` and `scp` reach a second folder. All else is the real program:
`adduser` makes a real user `krotray` (and leaves it), who runs our code, and whom PostgreSQL lets in by its name alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from sandbox.process import Process, free_port, listening, wait_until
from sandbox.world import ROOT, World
from tests.system.conftest import installed
from tests.system.nginx_kit import AROUND, Ports, moved
from tests.tls_kit import Authority

BLOCK = re.compile(r"<!-- step: ([a-z-]+) -->\n```sh\n(.*?)```", re.DOTALL)
HOST = "127.0.0.1"
FOLDERS = (
    *(
        "/opt/krotray",
        "/etc/nginx",
        "/usr/local/lib/systemd/system",
        "/var/lib/krotray",
        "/var/backups",
        "/var/www/html",
    ),
    *("/var/run/postgresql", "/usr/local/etc/xray", "/var/log/nginx", "/etc/krotray"),
)
_PROGRAMS = {"python3-venv": "python3", "postgresql": "pg_ctlcluster"}


def steps(page: str) -> dict[str, str]:
    """The named blocks of a page, in their order."""
    text = (ROOT / "docs" / page).read_text()
    found = BLOCK.findall(text)
    assert len(found) == text.count("```sh") == text.count("<!-- step:"), "every block has a name"
    assert len(dict(found)) == len(found)
    return dict(found)


class Machine:
    """The bare Debian. `step(name)` types a block; `stop()` leaves nothing running."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self._world, self._parts = folder, world, list[Process]()
        self.ports = Ports(free_port(), free_port(), free_port(), free_port())
        self.redis_port, self.xray_port, self.api_port = free_port(), free_port(), free_port()
        for path in (*FOLDERS, "/bin", "/state", "/etc/nginx/sites-available", "/etc/nginx/sites-enabled"):
            self.at(path).mkdir(parents=True, exist_ok=True)
        for path in ("/opt/krotray", "/etc/krotray"):
            self.at(path).rmdir()  # the guide makes them
        self.authority = Authority(folder / "certificates")
        self.steps, self.typed = steps("deploy.md"), dict[str, str]()
        self._programs()
        self._origin()

    def at(self, path: str) -> Path:
        """Where this path of the guide is."""
        return self.folder / path.lstrip("/")

    def _programs(self) -> None:
        python, nginx = sys.executable, installed("nginx", "nginx-light")
        around = self.folder / "nginx.conf"
        around.write_text(AROUND.format(folder=self.folder, site=f"{self.at('/etc/nginx/sites-enabled')}/*"))
        stand_in = Path(__file__).with_name("systemctl.py")
        units, sockets, second = self.at("/usr/local/lib/systemd/system"), "/var/run/postgresql", self.at("/second")
        for path in (second / "bin", second / "state", second / "usr/local/etc/xray"):
            path.mkdir(parents=True)
        (units / "nginx.service").write_text(f"[Service]\nExecStart={nginx} -c {around}\n")
        for unit, machine in ((units, self.folder), (second, second)):
            node = f"{python} -m sandbox.xray_node {machine}/usr/local/etc/xray/config.json"
            text = f"[Service]\nExecStart={node}\nWorkingDirectory={ROOT}\nTimeoutStopSec=0.1\n"
            (unit / "xray.service").write_text(text)
        made = "/usr/sbin/adduser --quiet --system --group --no-create-home --home /nonexistent krotray"
        home, runs = self.at("/var/lib/krotray"), f'exec {python} {stand_in} "$@"'
        programs = {
            "bin/adduser": f"id -u krotray > /dev/null 2>&1 || {made}\nmkdir -p {home} && chown krotray: {home}",
            "bin/runuser": f'export PGHOST={self.at(sockets)}; exec /usr/sbin/runuser "$@"',
            "bin/certbot": f"test -s {self.folder}/certificates/server.pem",
            "bin/nginx": f'exec {nginx} -c {around} "$@"',
            "bin/systemctl": f"export UNITS={units} STATE={self.at('/state')}; {runs}",
            "second/bin/systemctl": f"export UNITS={second} STATE={second}/state; {runs}",
            # scp FILE root@HOST:NAME, ssh root@HOST COMMAND: folders as on this machine, below the second one's
            "bin/scp": f'exec cp -p "$1" "{second}/${{2#*:}}"',
            "bin/ssh": f'cd {second}; PATH={second}/bin:$PATH exec bash -c "$(echo "$2" | sed "s#{self.folder}/#{second}/#g")"',
        }
        for name, body in programs.items():
            path = self.folder / name
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)

    def _origin(self) -> None:
        """The repository: what is in the working tree, with our folders and ports."""
        self.origin = self.folder / "origin"
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(  # noqa: S603 - our own command
            listing,
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                target = self.origin / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        for path in (self.origin / "deploy" / "systemd").rglob("*.*"):
            if path.is_file():
                path.write_text(path.read_text().replace("/opt/krotray", str(self.at("/opt/krotray"))))
        site = self.origin / "deploy" / "nginx" / "krotray.conf"
        site.write_text(
            moved(
                site.read_text(),
                self.ports,
                host="vpn.example.com",  # the guide's own step replaces it
                certificates=self.authority.folder,
                folder=self.at("/var/log/nginx"),
            )
        )
        self.commit("the version that is deployed", "init", "-q", "-b", "main")

    def commit(self, message: str, *before: str) -> None:
        """A new version in the repository."""
        name = ["-c", "user.name=guide", "-c", "user.email=guide@example.com"]
        commands = [[*before]] * bool(before) + [["add", "-A"], [*name, "commit", "-q", "--allow-empty", "-m", message]]
        for command in commands:
            subprocess.run(["git", *command], cwd=self.origin, check=True, timeout=60)  # noqa: S603, S607

    def start_servers(self) -> None:
        """Debian's PostgreSQL and Redis, which the packages would have started, but for us alone."""
        packages = re.search(r"^apt-get install -y (.*)$", self.steps["packages"], re.MULTILINE)
        assert packages
        for package in packages[1].split():  # most are there already, and the guide's own line then has nothing to do
            installed(_PROGRAMS.get(package, package), package)
        binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        data, sockets = self.folder / "postgres", self.at("/var/run/postgresql")
        data.mkdir()
        for path in (data, sockets):
            shutil.chown(path, "postgres")
        initdb = [
            str(binaries / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "peer",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
        subprocess.run(  # noqa: S603 - our own command
            ["/usr/sbin/runuser", "-u", "postgres", "--", *initdb], check=True, capture_output=True, timeout=60, cwd="/"
        )
        command = [
            str(binaries / "postgres"),
            "-D",
            str(data),
            "-k",
            str(sockets),
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
        ]
        postgres = Process("PostgreSQL", command, log=self.at("/state/postgres.log"), cwd=Path("/"), user="postgres")
        self._parts.append(postgres)
        postgres.wait_ready((sockets / ".s.PGSQL.5432").exists)
        port = str(self.redis_port)
        redis = Process(
            "Redis",
            ["/usr/bin/redis-server", "--port", port, "--bind", HOST, "--save", ""],
            log=self.at("/state/redis.log"),
        )
        self._parts.append(redis)
        redis.wait_ready(lambda: listening(self.redis_port))

    def start_shell(self) -> None:
        """The operator's terminal: one for all steps, which ends at the first command that fails."""
        log = self.at("/state/shell.log")
        environment = {"PATH": f"{self.at('/bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        environment |= {"HOME": str(self.at("/state")), "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        environment["PIP_CACHE_DIR"] = str(Path.home() / ".cache" / "pip")  # what was downloaded once need not be again
        python = Path(sys.executable).resolve().parent  # a python3 with venv, whatever this machine has first
        environment["PATH"] = environment["PATH"].replace(":", f":{python}:", 1)
        with log.open("wb") as output:
            self._shell = subprocess.Popen(
                ["/bin/bash", "-euo", "pipefail"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,
            )
        self._log = log

    def step(self, name: str, *, seconds: float = 60, **values: str) -> str:
        """Types a block of the guide. Returns what it printed; fails with it when a command did. `values` go to NAME=..."""
        text = self.typed[name] = self.steps.pop(name)
        for key, value in values.items():
            text, count = re.subn(rf"^{key}=.*$", lambda _, line=f"{key}={value}": line, text, flags=re.MULTILINE)
            assert count == 1, f"{name} sets no {key}"
        for path in FOLDERS:
            text = text.replace(path, str(self.at(path)))
        text = text.replace(":6379", f":{self.redis_port}")
        before = self._log.stat().st_size
        assert self._shell.stdin
        self._shell.stdin.write(f"{text}\necho 'done: {name}.'\n".encode())
        self._shell.stdin.flush()

        def over() -> bool:
            return self._shell.poll() is not None or f"done: {name}." in self._printed(before)

        began = time.monotonic()
        wait_until(over, seconds=seconds, what=f"the step {name}: {self._printed(before)[-1500:]}")
        assert self._shell.poll() is None, f"{name}:\n{self._printed(before)[-3000:]}"
        print(f"{name}: {time.monotonic() - began:.1f} s")
        return self._printed(before)

    def again(self, name: str, *, seconds: float = 60) -> str:
        """Types a block once more."""
        self.steps[name] = self.typed[name]
        return self.step(name, seconds=seconds)

    def believe_certificates(self) -> None:
        """Python's list of the world's CAs knows ours too: requests asks nothing else when `flask doctor` looks at the Mini App."""
        (listed,) = self.at("/opt/krotray/.venv").glob("lib/python3.*/site-packages/certifi/cacert.pem")
        ours = Path(self.authority.ca).read_text()
        if ours not in listed.read_text():
            listed.write_text(f"{listed.read_text()}\n{ours}")

    def _printed(self, since: int) -> str:
        return self._log.read_bytes()[since:].decode(errors="replace")

    def log(self, name: str) -> str:
        """What a service has said since it was started last."""
        path = self.at(f"/state/{name}.service.log")
        return path.read_text(errors="replace").rpartition("-- begun --\n")[2] if path.exists() else ""

    def stop(self) -> None:
        """Ends all that was started."""
        self._shell.kill()
        self._shell.communicate()
        for where, name in (("", "krotray"), ("", "nginx"), ("", "xray"), ("/second", "xray")):
            systemctl = str(self.at(f"{where}/bin/systemctl"))
            subprocess.run([systemctl, "stop", name], check=False, timeout=120, env=os.environ)  # noqa: S603
        for part in self._parts[::-1]:
            part.stop()
