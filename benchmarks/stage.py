"""Where it is measured: the world of the sandbox, the service as in the Procfile, the bare application beside it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import requests
from sqlalchemy import text

from benchmarks import bare
from krotray_core import db, servers, settings
from krotray_core.models import Server
from sandbox.parts import XrayNode
from sandbox.process import Process, free_port
from sandbox.simulated_xray import SimulatedXray
from sandbox.world import ROOT, World

PEOPLE, SERVERS = 10_000, 5
WATCH_SECONDS = 2
DATABASE = "bench"
# No limit on how often one may ask: how fast we are is the question here.
SETTINGS = {"WEBHOOK_BURST_LIMIT": "900000/second", "WATCH_SECONDS": str(WATCH_SECONDS)}


class Stage:
    """The world with five Xrays and a database with 10,000 people (or as many as are wished) who have paid."""

    def __init__(self, folder: Path, people: int = PEOPLE) -> None:
        folder.chmod(0o755)
        self.world = World(folder / "world")
        try:
            for name in ("Oslo", "Riga", "Turku"):
                self.world.add_node(name)
            bare.celery.conf.broker_url = self.world.redis.url
            self.use(DATABASE)
            with db.transaction() as session:
                session.execute(text(bare.TABLE))
            self.servers = [add(node) for node in self.world.nodes]
            fill(people, [server.id for server in self.servers])
        except BaseException:
            self.close()
            raise

    def use(self, database: str) -> None:
        """This process works in that database from now on; it is made first."""
        if settings.get.cache_info().currsize:
            db.engine().dispose()
        self.world.postgres.create(database)
        os.environ.update(self.world.environment(database) | SETTINGS)
        settings.get.cache_clear()
        db.engine.cache_clear()
        upgrade()

    @contextmanager
    def service(self, *processes: str) -> Iterator[dict[str, Process]]:
        """Ours: these lines of the Procfile, each as a supervisor would start it (honcho would read every line of their logs)."""
        environment = self.world.environment(DATABASE) | SETTINGS
        with ExitStack() as stack:
            made = {}
            for name in processes:
                log = self.world.logs / f"{name}.log"
                log.unlink(missing_ok=True)
                command = ["sh", "-c", f"exec {procfile()[name]}"]
                made[name] = Process(name, command, log=log, env=environment, cwd=ROOT)
                stack.callback(made[name].stop, seconds=30)
            for name, process in made.items():
                if name == "web":
                    process.wait_ready(lambda: _answers(f"{self.world.web_url}/readyz"), seconds=60)
                if name == "worker":
                    process.wait_ready(lambda log=process.log: " ready." in log.read_text(errors="replace"), seconds=60)
            yield made

    def bare_environment(self) -> dict[str, str]:
        """What the bare application has to know."""
        url = self.world.postgres.url(DATABASE).replace("postgresql:", "postgresql+psycopg2:")
        return self.world.environment(DATABASE) | {"BARE_DATABASE_URL": url, "BARE_BROKER_URL": self.world.redis.url}

    @contextmanager
    def bare_web(self) -> Iterator[tuple[str, Process]]:
        """The bare application under the Procfile's own gunicorn line; its address and its master."""
        with db.transaction() as session:
            session.execute(text("INSERT INTO bare (data) SELECT md5(n::text) FROM generate_series(1, 10000) n"))
        port = free_port()
        command = procfile()["web"].replace("wsgi:app", "benchmarks.bare:app")
        with self._process(
            "bare web", ["sh", "-c", f"exec {command}"], PORT=str(port), WEB_HOST="127.0.0.1"
        ) as process:
            url = f"http://127.0.0.1:{port}"
            process.wait_ready(lambda: _answers(f"{url}/hello"))
            yield url, process

    @contextmanager
    def bare_worker(self) -> Iterator[Process]:
        """Its worker, with as many processes as ours."""
        command = (
            "celery -A benchmarks.bare:celery worker --concurrency 4 --without-gossip --without-mingle --loglevel INFO"
        )
        with self._process("bare worker", shlex.split(command)) as process:
            process.wait_ready(lambda: " ready." in process.log.read_text(errors="replace"))
            yield process

    @contextmanager
    def bare_single(self, number: int) -> Iterator[Process]:
        """One more process of it that has everything imported and does nothing."""
        code = "import benchmarks.bare, time; print('up', flush=True); time.sleep(3600)"
        with self._process(f"bare {number}", [sys.executable, "-c", code]) as process:
            process.wait_ready(lambda: "up" in process.log.read_text(errors="replace"))
            yield process

    @contextmanager
    def _process(self, name: str, command: Sequence[str], **more: str) -> Iterator[Process]:
        log = self.world.logs / f"{name.replace(' ', '-')}.log"
        process = Process(name, command, log=log, env=self.bare_environment() | more, cwd=ROOT)
        try:
            yield process
        finally:
            process.stop()

    def close(self) -> None:
        """Ends everything."""
        if settings.get.cache_info().currsize:
            db.engine().dispose()
        self.world.stop()


def procfile() -> dict[str, str]:
    """The lines of the Procfile by name."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines)}


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def upgrade() -> None:
    """The tables of the database in use."""
    from flask_migrate import upgrade as to_head  # noqa: PLC0415 - needs the settings made above

    from krotray_api.app import create_app  # noqa: PLC0415

    with create_app().app_context():
        to_head(directory=str(ROOT / "migrations"))


def add(node: XrayNode | SimulatedXray) -> Server:
    """One of the world's servers, with room for everybody."""
    return servers.add(
        name=node.name,
        host="127.0.0.1",
        grpc_port=node.grpc_port,
        max_users=2_000_000,
        inbound_tag=None,
        vless_url_template=node.vless_url_template,
    )


def fill(people: int, server_ids: Sequence[int]) -> None:
    """So many people who have paid for a month, with confirmed seats dealt out to these servers, without asking the servers.

    Person n has the Telegram id 10^10 + n and the token `token-<n>`.
    """
    with db.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(text("SET LOCAL session_replication_role = replica"))  # neither triggers nor foreign keys
        for statement in (
            "INSERT INTO users (telegram_id, first_name, language_code)"
            " SELECT 10000000000 + n, 'Анна', 'ru' FROM generate_series(1, :people) n",
            "INSERT INTO subscriptions (user_id, status, expires_at, uuid, token, tariff_months, fetched_at)"
            " SELECT id, 'active', now() + interval '30 days', gen_random_uuid(), 'token-' || (telegram_id - 10000000000),"
            " 1, now() FROM users WHERE telegram_id > 10000000000",
            "INSERT INTO seats (subscription_id, server_id, email, uuid, wanted, observed_generation)"
            " SELECT id, (CAST(:servers AS bigint[]))[1 + id % :many], 'user_' || user_id, uuid, true, 1 FROM subscriptions",
            "UPDATE servers SET active_users = (SELECT count(*) FROM seats WHERE server_id = servers.id AND wanted)",
        ):
            session.execute(text(statement), {"people": people, "servers": list(server_ids), "many": len(server_ids)})
    vacuum()


def vacuum() -> None:
    """So that the planner knows what is there, as autovacuum would have it."""
    with db.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.invalidate()


def pss(*pids: int) -> tuple[float, int]:
    """The proportional share of memory (MB) of these processes and all that they have started, and how many those are."""
    family = {one.pid for pid in pids for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))}
    total = 0
    for pid in family:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024, len(family)
