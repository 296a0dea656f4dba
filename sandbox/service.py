"""The service itself, as an operator runs it: `flask db upgrade`, then the Procfile's processes under honcho."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from sandbox.process import PartFailed, Process
from sandbox.world import ROOT, World

PROCESSES = ("web", "worker", "beat", "bot", "flower")
COMMAND_SECONDS = 60


class Service:
    """The running service in a world; `flask()` is its admin's keyboard."""

    def __init__(
        self,
        world: World,
        *,
        database: str = "krotray",
        processes: tuple[str, ...] = PROCESSES,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.url = world.web_url
        world.postgres.create(database)
        self.environment = world.environment(database) | (settings or {})
        self.flask("db", "upgrade")
        self.process = Process(
            "the service",
            [sys.executable, "-m", "honcho", "start", "-f", "Procfile", *processes],
            log=world.logs / f"{database}.log",
            env=self.environment,
            cwd=ROOT,
        )
        try:
            if "web" in processes:
                self.process.wait_ready(self._ready, seconds=60)
            if "worker" in processes:
                self.process.wait_ready(self._worker_answers, seconds=60)
        except BaseException:
            self.stop()
            raise

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).ok
        except requests.RequestException:
            return False

    def _worker_answers(self) -> bool:
        log = self.process.said()
        return "celery@" in log and " ready." in log

    def flask(self, *arguments: str) -> str:
        """Runs a `flask` command. Returns what it prints; raises PartFailed with its error when it fails."""
        answer = subprocess.run(  # noqa: S603 - our own commands
            [str(Path(sys.executable).parent / "flask"), *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if answer.returncode:
            raise PartFailed(f"flask {' '.join(arguments)}: {answer.stderr.strip() or answer.stdout.strip()}")
        return answer.stdout

    def flask_json(self, *arguments: str) -> Any:
        """Runs a listing with --json and reads it."""
        return json.loads(self.flask(*arguments, "--json"))

    def add_servers(self, world: World, *, max_users: int = 100) -> None:
        """Adds the world's Xray servers, unless they are known already."""
        known = {row["name"] for row in self.flask_json("servers", "list")}
        for node in world.nodes:
            if node.name not in known:
                self.flask(
                    *("servers", "add", "--name", node.name, "--host", "127.0.0.1"),
                    *("--grpc-port", str(node.grpc_port), "--max-users", str(max_users)),
                    *("--vless-url-template", node.vless_url_template),
                )

    def stop(self) -> None:
        """Ends it the way a supervisor does: SIGTERM, then patience."""
        self.process.stop(seconds=30)
