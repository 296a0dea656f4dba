"""The world that the service lives in, on one machine: database, broker, two Xray servers, YooKassa, and its settings."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from sandbox.parts import Postgres, Redis, XrayNode
from sandbox.process import PartFailed, Process, free_port, listening
from sandbox.simulated_xray import SimulatedXray

ROOT = Path(__file__).parent.parent
SHOP_ID = "100500"
FLOWER_LOGIN = "krot:sunshine"


class World:
    """Everything outside the service; `environment` is what a process of the service needs to live in it."""

    def __init__(
        self,
        folder: Path,
        *,
        web_port: int | None = None,
        durable: bool = False,
        front: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`front`: the web process is seen through the sandbox Telegram, whose chat page can then show the Mini App in a frame."""
        self.folder = folder
        self.logs = folder / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        self.web_port = web_port or self.port("web")
        self._gunicorn_port = self.port("gunicorn") if front else self.web_port
        self.secret_key, self.bot_token = self._secrets()
        self._stops: list[Callable[[], None]] = []
        try:
            say("PostgreSQL")
            self.postgres = Postgres(folder / "postgres", self.logs / "postgres.log", durable=durable)
            self._stops.append(self.postgres.stop)
            say("Redis")
            self.redis = Redis(self.logs / "redis.log")
            self._stops.append(self.redis.stop)
            self.nodes: list[XrayNode] = []
            self.simulated: list[SimulatedXray] = []
            for name in ("Amsterdam", "Helsinki"):
                say(f"Xray {name}")
                self.add_node(name)
            say("YooKassa")
            self.yookassa_url, self.yookassa = self._start_yookassa()
            self._stops.append(self.yookassa.stop)
            say("Telegram")
            self.telegram_url, self.telegram = self._start_telegram()
            self._stops.append(self.telegram.stop)
        except BaseException:
            self.stop()
            raise

    def _secrets(self) -> tuple[str, str]:
        """Made up once for a folder, so that a page opened before a restart still works after it."""
        kept = self.folder / "secrets"
        if not kept.exists():
            kept.touch(0o600)
            kept.write_text(
                f"{secrets.token_urlsafe(32)}\n{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)}\n"
            )
        secret_key, bot_token = kept.read_text().split()
        return secret_key, bot_token

    def port(self, name: str) -> int:
        """A port that stays the same as long as the folder lives: the database remembers where the servers are."""
        kept = self.folder / "ports.json"
        ports: dict[str, int] = json.loads(kept.read_text()) if kept.exists() else {}
        if name not in ports:
            ports[name] = free_port()
            kept.write_text(json.dumps(ports))
        elif listening(ports[name]):
            raise PartFailed(f"port {ports[name]} ({name}) is taken; is this running twice? `make clean` starts afresh")
        return ports[name]

    def add_node(self, name: str, *, with_routing_api: bool = True, with_blackhole: bool = True) -> XrayNode:
        """One more Xray server."""
        node = XrayNode(
            name,
            self.folder / "xray",
            grpc_port=self.port(f"{name} gRPC"),
            vless_port=self.port(f"{name} VLESS"),
            with_routing_api=with_routing_api,
            with_blackhole=with_blackhole,
            exit_address=f"127.0.77.{len(self.nodes) + 1}",
        )
        self.nodes.append(node)
        self._stops.append(node.stop)
        return node

    def add_simulated(self, name: str) -> SimulatedXray:
        """One more server that answers as Xray does, with no VPN behind it."""
        node = SimulatedXray(
            name, self.logs, grpc_port=self.port(f"{name} gRPC"), vless_port=self.port(f"{name} VLESS")
        )
        self.simulated.append(node)
        self._stops.append(node.stop)
        return node

    def _start_yookassa(self) -> tuple[str, Process]:
        login = {"YOOKASSA_SHOP_ID": SHOP_ID, "YOOKASSA_SECRET_KEY": self.secret_key}
        webhook = ("--webhook-url", f"{self.web_url}/api/payments/webhook")
        kept = ("--state-file", str(self.folder / "yookassa.sqlite"))
        return self._start_sandbox("yookassa", *webhook, *kept, "--shop-name", "KrotRay", env=login)

    def _start_telegram(self) -> tuple[str, Process]:
        front: tuple[str, ...] = ()
        if self._gunicorn_port != self.web_port:
            behind = f"http://127.0.0.1:{self._gunicorn_port}"
            front = ("--front-port", str(self.web_port), "--front-target", behind)
        env = {"BOT_TOKEN": self.bot_token, "MINI_APP_URL": self.mini_app_url}
        return self._start_sandbox("telegram", *front, env=env)

    def _start_sandbox(self, name: str, *options: str, env: dict[str, str]) -> tuple[str, Process]:
        port = self.port(name)
        process = Process(
            f"the sandbox {name}",
            [sys.executable, "-m", f"sandbox.{name}", "--port", str(port), *options],
            log=self.logs / f"{name}.log",
            env=os.environ | env,
            cwd=ROOT,
        )
        process.wait_ready(lambda: listening(port))
        return f"http://127.0.0.1:{port}", process

    @property
    def web_url(self) -> str:
        """Where the service's web process is (or will be)."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def mini_app_url(self) -> str:
        """Where the Mini App's page is."""
        return f"{self.web_url}/app/"

    def environment(self, database: str = "krotray") -> dict[str, str]:
        """The settings of the service, on top of this process's environment."""
        first = self.nodes[0]
        return os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "DATABASE_URL": self.postgres.url(database),
            "REDIS_URL": self.redis.url,
            "SECRET_KEY": self.secret_key,
            "BOT_TOKEN": self.bot_token,
            "MINI_APP_URL": self.mini_app_url,
            "PAYMENT_RETURN_URL": self.mini_app_url,
            "TELEGRAM_API_URL": self.telegram_url,
            "YOOKASSA_SHOP_ID": SHOP_ID,
            "YOOKASSA_SECRET_KEY": self.secret_key,
            "YOOKASSA_API_URL": f"{self.yookassa_url}/v3",
            "YOOKASSA_NETWORKS": "127.0.0.0/8",
            "VLESS_URL_TEMPLATE": first.vless_url_template,
            "FLOWER_BASIC_AUTH": FLOWER_LOGIN,
            "FLASK_APP": "wsgi",
            "WEB_HOST": "127.0.0.1",
            "PORT": str(self._gunicorn_port),
            "PYTHONUNBUFFERED": "1",
        }

    def write_environment(self, database: str = "krotray") -> Path:
        """Keeps the settings in a file for a shell or an editor; only its owner may read it."""
        path = self.folder / "environment"
        path.touch(0o600)
        ours = {name: value for name, value in self.environment(database).items() if os.environ.get(name) != value}
        path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in ours.items()))
        return path

    def stop(self) -> None:
        """Ends everything, in the reverse order."""
        while self._stops:
            self._stops.pop()()
