"""`python -m benchmarks.soak [MINUTES]`: mixed work at about half of what the machine can do, for as long as that.

People look at the Mini App, programs fetch their links, people buy and renew, days run out, an Xray restarts now and then.
Ten times on the way memory, connections and durations are written down; at the end all three must be what they were. Beside the
service stands a bare view with one SELECT, asked a few times a second: where its answers get slower as well, so did the machine,
and ours may by as much. The exit code is 1 if anything has grown.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psutil
import requests
from sqlalchemy import select, text

from benchmarks.stage import PEOPLE, Stage, pss
from krotray_api import auth
from krotray_core import clock, db, ledger, ledger_audit, subscriptions
from krotray_core.models import Subscription
from sandbox.person import Person
from sandbox.process import Process, wait_until

# A second: together about one of two cores, load and sandbox included.
RATES = {"me": 60.0, "sub": 40.0, "buy": 5.0, "end": 4.0, "bare": 12.0}
SAMPLES = 10
# The first samples are of caches that fill; what comes then is compared with the end.
WARM = 3
MORE_MEMORY, MORE_P99 = 1.08, 1.6
_PROGRAM = {"User-Agent": "v2rayNG/1.9.5"}


@dataclass
class Sample:
    """How things stood at one moment, and how long answers took since the last."""

    megabytes: Mapping[str, float]
    postgres: int
    sockets: int
    took: Mapping[str, list[float]]
    busy: float

    def p99(self, kind: str) -> float:
        """Milliseconds."""
        took = sorted(self.took[kind])
        return took[int(len(took) * 0.99)] * 1000 if took else 0.0


@dataclass
class Crowd:
    """The people and their programs: threads that do one kind of thing each, so many times a second."""

    stage: Stage
    bare_url: str
    took: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in RATES})
    faults: list[str] = field(default_factory=list)
    bought: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._drawn = random.Random(7)  # noqa: S311 - plays, keeps no secrets
        self._pool = ThreadPoolExecutor(24)
        self._local = threading.local()
        self._drivers: list[threading.Thread] = []

    def go(self) -> None:
        """Begins."""
        works = {"me": self._me, "sub": self._sub, "buy": self._buy, "end": self._end, "bare": self._bare}
        self._drivers = [threading.Thread(target=self._forever, args=one, daemon=True) for one in works.items()]
        for driver in self._drivers:
            driver.start()

    def stop(self) -> None:
        """Ends, when what was begun has ended."""
        self.over.set()
        for driver in self._drivers:
            driver.join()
        self._pool.shutdown()

    def _forever(self, kind: str, work: Callable[[], object]) -> None:
        began = time.monotonic()
        for number in itertools.count(1):
            # By the clock and not after each answer: a slow answer must not make the load lighter.
            if self.over.wait(max(began + number / RATES[kind] - time.monotonic(), 0)):
                return
            self._pool.submit(self._timed, kind, work)

    def _timed(self, kind: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        try:
            work()
        except Exception as error:  # each one is told at the end
            self.faults.append(f"{kind}: {type(error).__name__}: {error}"[:200])
        self.took[kind].append(time.perf_counter() - began)

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        return self._local.session

    def _somebody(self) -> Person:
        return Person(self.stage.world, 10**10 + self._drawn.randint(1, PEOPLE))

    def _me(self) -> None:
        headers = {auth.HEADER: self._somebody().init_data()}
        self._session().get(f"{self.stage.world.web_url}/api/me", headers=headers, timeout=10).raise_for_status()

    def _sub(self) -> None:
        url = f"{self.stage.world.web_url}/sub/token-{self._drawn.randint(1, PEOPLE)}"
        self._session().get(url, headers=_PROGRAM, timeout=10).raise_for_status()

    def _buy(self) -> None:
        new = Person(self.stage.world, 3 * 10**10 + self._drawn.randrange(10**9))
        person = new if self._drawn.random() < 0.5 else self._somebody()
        made = person.buy()
        person.pay(made["confirmation_url"])
        self.bought += 1

    def _bare(self) -> None:
        self._session().get(f"{self.bare_url}/row/{self._drawn.randint(1, 10_000)}", timeout=10).raise_for_status()

    def _end(self) -> None:
        telegram_id = 10**10 + self._drawn.randint(1, PEOPLE)
        subscriptions.set_expiry(telegram_id, clock.now() - timedelta(seconds=1))


def main(minutes: float) -> int:
    """Works for so many minutes. Returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="krotray-soak-") as folder:
        stage = Stage(Path(folder))
        try:
            _open_the_ledger()
            with stage.bare_web() as (bare_url, _), stage.service("web", "worker", "beat", "bot", "flower") as service:
                crowd = Crowd(stage, bare_url)
                crowd.go()
                samples = [_sample(stage, service, crowd, minutes * 60 / SAMPLES, number) for number in range(SAMPLES)]
                crowd.stop()
                wait_until(_nobody_waits, seconds=60, what="everybody who has paid to be let in", pause=0.2)
            faults = [*ledger_audit.verify().faults, *crowd.faults]
        finally:
            stage.close()
    wrong = _judged(samples)
    print(f"{crowd.bought} purchases, {len(faults)} faults", *sorted(map(str, faults))[:5], *wrong, sep="\n")
    return 1 if faults or wrong else 0


def _open_the_ledger() -> None:
    """Those who are there from the start have no lines: they are taken as they stand, so that it can be verified at the end."""
    with db.transaction() as session:
        for subscription in session.scalars(select(Subscription)):
            ledger.adopt_subscription(session, subscription, "there from the start", clock.now())


def _sample(stage: Stage, service: Mapping[str, Process], crowd: Crowd, seconds: float, number: int) -> Sample:
    psutil.cpu_percent()
    time.sleep(seconds / 2)
    if number % 3 == 1:
        node = stage.world.nodes[number % len(stage.world.nodes)]
        node.crash()
        node.start()
    time.sleep(seconds / 2)
    took, crowd.took = crowd.took, {kind: [] for kind in RATES}
    with db.transaction() as session:
        ours = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        connections = session.scalar(ours) or 0
    family = [one for process in service.values() for one in _family(process.pid)]
    megabytes = {name: pss(process.pid)[0] for name, process in service.items()}
    sample = Sample(megabytes, connections, sum(one.num_fds() for one in family), took, psutil.cpu_percent())
    shown = " ".join(f"{name} {size:.0f}" for name, size in megabytes.items())
    p99 = " ".join(f"{kind} {sample.p99(kind):.0f}" for kind in ("me", "sub", "buy", "bare"))
    print(
        f"{number + 1}: CPU {sample.busy:.0f} %, MB: {shown}; {connections} connections to PostgreSQL, {sample.sockets} files;"
        f" p99 ms: {p99}",
        flush=True,
    )
    return sample


def _family(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _nobody_waits() -> bool:
    with db.transaction() as session:
        waits = "SELECT count(*) FROM payments p WHERE p.status = 'pending' AND p.hinted_at IS NOT NULL"
        dirty = "SELECT count(*) FROM seats WHERE dirty"
        return not session.scalar(text(waits)) and not session.scalar(text(dirty))


def _judged(samples: list[Sample]) -> list[str]:
    """What has grown."""
    before, after = samples[WARM : WARM + 3], samples[-3:]
    wrong = []
    for name in samples[0].megabytes:
        was, now = (min(one.megabytes[name] for one in some) for some in (before, after))
        if now > was * MORE_MEMORY:
            wrong.append(f"{name} has grown from {was:.0f} to {now:.0f} MB")
    for what in ("postgres", "sockets"):
        was, now = (max(getattr(one, what) for one in some) for some in (before, after))
        if now > was * 1.1 + 2:
            wrong.append(f"{what}: {was} have become {now}")
    bare_was, bare_is = (sorted(one.p99("bare") for one in some)[1] for some in (before, after))
    for kind in ("me", "sub", "buy"):
        was, now = (sorted(one.p99(kind) for one in some)[1] for some in (before, after))
        if now > was * MORE_P99 * max(bare_is / bare_was, 1):
            wrong.append(f"p99 of {kind} was {was:.0f} ms and is {now:.0f} ms")
    return wrong


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
