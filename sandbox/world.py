"""The world that the service lives in, on one machine: database, broker, two Xray servers, YooKassa, and its settings."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from sandbox.parts import Postgres, Redis, XrayNode
from sandbox.process import Process, free_port, listening

ROOT = Path(__file__).parent.parent
SHOP_ID = "100500"
FLOWER_LOGIN = "krot:sunshine"


class World:
    """Everything outside the service; `environment` is what a process of the service needs to live in it."""

    def __init__(self, folder: Path, *, web_port: int | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        self.web_port = web_port or free_port()
        self.secret_key, self.bot_token = self._secrets()
        self._stops: list[Callable[[], None]] = []
        try:
            say("PostgreSQL")
            self.postgres = Postgres(folder / "postgres", self.logs / "postgres.log")
            self._stops.append(self.postgres.process.stop)
            say("Redis")
            self.redis = Redis(self.logs / "redis.log")
            self._stops.append(lambda: self.redis.process.stop())
            self.nodes: list[XrayNode] = []
            for name in ("Amsterdam", "Helsinki"):
                say(f"Xray {name}")
                self.add_node(name)
            say("YooKassa")
            self.yookassa_url, self.yookassa = self._start_yookassa()
            self._stops.append(self.yookassa.stop)
        except BaseException:
            self.stop()
            raise

    def _secrets(self) -> tuple[str, str]:
        """Made up once for a folder, so that a page opened before a restart still works after it."""
        kept = self.folder / "secrets"
        if not kept.exists():
            kept.touch(0o600)
            kept.write_text(f"{secrets.token_urlsafe(32)}\n{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)}\n")
        secret_key, bot_token = kept.read_text().split()
        return secret_key, bot_token

    def add_node(self, name: str, *, with_routing_api: bool = True, with_blackhole: bool = True) -> XrayNode:
        """One more Xray server."""
        node = XrayNode(
            name, self.folder / "xray", with_routing_api=with_routing_api, with_blackhole=with_blackhole
        )
        self.nodes.append(node)
        self._stops.append(lambda: node.process.stop())
        return node

    def _start_yookassa(self) -> tuple[str, Process]:
        port = free_port()
        process = Process(
            "the sandbox YooKassa",
            [
                *(sys.executable, "-m", "sandbox.yookassa", "--port", str(port)),
                *("--webhook-url", f"{self.web_url}/api/payments/webhook"),
                *("--state-file", str(self.folder / "yookassa.sqlite")),
            ],
            log=self.logs / "yookassa.log",
            env=os.environ | {"YOOKASSA_SHOP_ID": SHOP_ID, "YOOKASSA_SECRET_KEY": self.secret_key},
            cwd=ROOT,
        )
        process.wait_ready(lambda: listening(port))
        return f"http://127.0.0.1:{port}", process

    @property
    def web_url(self) -> str:
        """Where the service's web process is (or will be)."""
        return f"http://127.0.0.1:{self.web_port}"

    def environment(self, database: str = "krotray") -> dict[str, str]:
        """The settings of the service, on top of this process's environment."""
        first = self.nodes[0]
        return os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "DATABASE_URL": self.postgres.url(database),
            "REDIS_URL": self.redis.url,
            "SECRET_KEY": self.secret_key,
            "BOT_TOKEN": self.bot_token,
            "MINI_APP_URL": f"{self.web_url}/app/",
            "PAYMENT_RETURN_URL": f"{self.web_url}/app/",
            "YOOKASSA_SHOP_ID": SHOP_ID,
            "YOOKASSA_SECRET_KEY": self.secret_key,
            "YOOKASSA_API_URL": f"{self.yookassa_url}/v3",
            "YOOKASSA_NETWORKS": "127.0.0.0/8",
            "VLESS_URL_TEMPLATE": first.vless_url_template,
            "FLOWER_BASIC_AUTH": FLOWER_LOGIN,
            "FLASK_APP": "wsgi",
            "HOST": "127.0.0.1",
            "PORT": str(self.web_port),
            "PYTHONUNBUFFERED": "1",
        }

    def stop(self) -> None:
        """Ends everything, in the reverse order."""
        while self._stops:
            self._stops.pop()()
