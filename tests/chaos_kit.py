"""Chaos: people buy, run out and move while Xrays, workers, the beat, Redis and PostgreSQL are killed, frozen and started again."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import requests
from sqlalchemy.exc import SQLAlchemyError

from krotray_core import clock, moving, subscriptions
from krotray_core.errors import KrotRayError
from sandbox.parts import XrayNode
from sandbox.person import Person
from sandbox.process import PartFailed, Process
from sandbox.simulated_xray import SimulatedXray
from sandbox.world import ROOT, World

PEOPLE_AT_ONCE = 4
PERIODS = {
    "EXPIRY_SWEEP_SECONDS": "2",
    "SETTLE_SWEEP_SECONDS": "2",
    "REPAIR_SECONDS": "2",
    "WATCH_SECONDS": "1",
    "AUDIT_SECONDS": "600",  # all has to be right without being compared
}
CELERY = [sys.executable, "-m", "celery", "-A", "krotray_tasks"]
QUIET = ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
COMMANDS = {
    "web": [
        *(sys.executable, "-m", "gunicorn", "wsgi:app", "--preload", "--bind", "127.0.0.1:{port}"),
        *("--worker-class", "gthread", "--workers", "2", "--threads", "4", "--no-control-socket"),
    ],
    "worker one": [*CELERY, "worker", "-n", "one", "--queues", "money,access,care", "--concurrency", "2", *QUIET],
    "worker two": [*CELERY, "worker", "-n", "two", "--queues", "money,access,care", "--concurrency", "2", *QUIET],
    "beat one": [*CELERY, "beat", "--loglevel", "INFO"],
    "beat two": [*CELERY, "beat", "--loglevel", "INFO"],
}


class Chaos:
    """The service, each process by itself; `rage` lets loose both people and breakdowns for a number of seconds."""

    def __init__(self, world: World, environment: dict[str, str], people: int, seed: int) -> None:
        self.world, self._environment = world, environment
        self._fleet: list[XrayNode | SimulatedXray] = [*world.nodes, *world.simulated]
        self.drawn = random.Random(seed)  # noqa: S311 - plays, keeps no secrets
        self.people = [Person(world) for _ in range(people)]
        self.did: Counter[str] = Counter()
        self._over = threading.Event()
        self._running: dict[str, Process] = {}
        for name in COMMANDS:
            self._start(name)

    def _start(self, name: str) -> None:
        command = [part.format(port=self.world.web_port) for part in COMMANDS[name]]
        log = self.world.logs / f"{name.replace(' ', '-')}.log"
        self._running[name] = Process(name, command, log=log, env=self._environment, cwd=ROOT)

    def rage(self, seconds: float) -> None:
        """Returns when everything that was broken has been started again.

        What is started again here is started by this thread: Linux ends a child with the thread that started it.
        """
        seeds = [self.drawn.random() for _ in range(PEOPLE_AT_ONCE)]
        with ThreadPoolExecutor(PEOPLE_AT_ONCE) as pool:
            lives = [pool.submit(self._lives, random.Random(seed)) for seed in seeds]  # noqa: S311
            try:
                self._breaks(time.monotonic() + seconds)
            finally:
                self._over.set()
            for life in lives:
                life.result()
        for node in self._fleet:  # whose evacuation was cut short by an outage
            moving.drain(node.name, on=False)

    def tails(self) -> str:
        """The last that each process has said."""
        return "\n".join(f"== {name}\n{process.tail(30)}" for name, process in self._running.items())

    def stop(self) -> None:
        """Ends the service."""
        self._over.set()
        for process in self._running.values():
            process.kill()

    def _lives(self, drawn: random.Random) -> None:
        while not self._over.is_set():
            person = drawn.choice(self.people)
            deed = drawn.choice(
                [self._buys] * 5 + [self._runs_out] * 3 + [self._rotates, self._revoked, self._given, self._moves]
            )
            try:
                deed(person, drawn)
                self.did[deed.__name__.strip("_")] += 1
            except (KrotRayError, SQLAlchemyError, requests.RequestException, PartFailed) as error:
                status = f" {error.response.status_code}" if isinstance(error, requests.HTTPError) else ""
                self.did[f"{deed.__name__.strip('_')}: {type(error).__name__}{status}"] += 1

    def _buys(self, person: Person, drawn: random.Random) -> None:
        payment = person.buy(drawn.choice(("1m", "3m")), drawn.choice(("card", "sbp")))
        if drawn.random() < 0.8:
            person.pay(payment["confirmation_url"])

    def _runs_out(self, person: Person, _drawn: random.Random) -> None:
        subscriptions.set_expiry(person.telegram_id, clock.now() - timedelta(seconds=1))

    def _rotates(self, person: Person, _drawn: random.Random) -> None:
        subscriptions.rotate_key(person.telegram_id)

    def _revoked(self, person: Person, _drawn: random.Random) -> None:
        subscriptions.revoke(person.telegram_id)

    def _given(self, person: Person, drawn: random.Random) -> None:
        subscriptions.grant(person.telegram_id, drawn.randrange(1, 5))

    def _moves(self, _person: Person, drawn: random.Random) -> None:
        name = drawn.choice(self._fleet).name
        moving.evacuate(name)
        moving.step()
        if drawn.random() < 0.5:
            with contextlib.suppress(KrotRayError):
                moving.undo(name)
        moving.drain(name, on=False)

    def _breaks(self, end: float) -> None:
        drawn = self.drawn
        while time.monotonic() < end:
            time.sleep(drawn.uniform(0.3, 1.5))
            what = drawn.choice(
                [self._xray_dies] * 4
                + [self._xray_freezes]
                + [self._process_dies] * 4
                + [self._process_freezes] * 2
                + [self._redis_dies, self._redis_freezes, self._postgres_dies, self._postgres_restarts]
            )
            what(drawn)
            self.did[what.__name__.strip("_")] += 1

    def _xray_dies(self, drawn: random.Random) -> None:
        node = drawn.choice(self._fleet)
        node.crash()
        time.sleep(drawn.choice((0.0, 0.5, 2.0)))
        node.start()

    def _xray_freezes(self, drawn: random.Random) -> None:
        self._freezes(drawn.choice(self._fleet).process, drawn)

    def _process_dies(self, drawn: random.Random) -> None:
        name = drawn.choice(list(COMMANDS))
        self._running[name].kill()
        self._start(name)

    def _process_freezes(self, drawn: random.Random) -> None:
        self._freezes(self._running[drawn.choice(list(COMMANDS))], drawn)

    def _redis_freezes(self, drawn: random.Random) -> None:
        self._freezes(self.world.redis.process, drawn)

    def _freezes(self, process: Process, drawn: random.Random) -> None:
        process.signal(signal.SIGSTOP)
        time.sleep(drawn.uniform(0.5, 3.0))
        process.signal(signal.SIGCONT)

    def _redis_dies(self, drawn: random.Random) -> None:
        self._dies(self.world.redis.process, self.world.redis.start, drawn)

    def _postgres_dies(self, drawn: random.Random) -> None:
        self._dies(self.world.postgres.process, self.world.postgres.start, drawn)

    def _dies(self, process: Process, start: Callable[[], None], drawn: random.Random) -> None:
        process.kill()
        time.sleep(drawn.choice((0.0, 1.0)))
        start()

    def _postgres_restarts(self, _drawn: random.Random) -> None:
        self.world.postgres.stop()
        self.world.postgres.start()
