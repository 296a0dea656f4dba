"""`python -m benchmarks.soak [MINUTES]`: mixed work at about half of what the machine can do, for as long as that.

People look at the Mini App, programs fetch their links, people buy, renew and get their keys, as many run out, an Xray restarts now
and then. Ten times on the way memory, connections, CPU and durations are written down; at the end all must be what they were, and
every purchase must have counted once. The exit code is 1 if not.

Beside the service stands a bare view with one SELECT, asked a few times a second: where a request to it takes more CPU or more time
than before, the machine has become slower, and ours may have by as much.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil
import requests
from sqlalchemy import func, select, text

from benchmarks.stage import PEOPLE, Stage, pss
from krotray_api import auth
from krotray_core import clock, db, ledger, ledger_audit, subscriptions
from krotray_core.models import Payment, Subscription
from sandbox.person import Person
from sandbox.process import Process, wait_until

# A second: together about one of two cores, load and sandbox included. As many run out as buy, so that the work stays the same.
RATES = {"me": 60.0, "sub": 40.0, "buy": 4.5, "end": 4.5, "bare": 12.0}
# How long these took is looked at: from the moment at which an answer was due to be asked for; `buy` from its first call to the
# payment, `key` from there until the Mini App, which looks every 50 ms, shows a key that works.
TOLD = ("me", "sub", "buy", "key", "bare")
SAMPLES = 10
# The first samples are of caches that fill; what comes then is compared with the end.
WARM = 3
MORE_MEMORY, MORE_CPU, MORE_P99 = 1.05, 1.15, 1.6
# A millisecond that the bare view's slowest answers take longer may be so many of ours, which take several turns for a core.
BARE_MS = 4
KEY_SECONDS = 60
_PROGRAM = {"User-Agent": "v2rayNG/1.9.5"}


@dataclass
class Sample:
    """How things stood at one moment, and what was used since the last."""

    megabytes: Mapping[str, float]
    postgres: int
    files: int
    took: Mapping[str, list[float]]
    cpu: float  # of one core, by the service, PostgreSQL and Redis
    bare_cpu: float  # seconds for each request to the bare view
    busy: float  # the whole machine, in percent

    def p99(self, kind: str) -> float:
        """Milliseconds."""
        took = sorted(self.took[kind])
        return took[int(len(took) * 0.99)] * 1000 if took else 0.0

    def __str__(self) -> str:
        megabytes = " ".join(f"{name} {size:.0f}" for name, size in self.megabytes.items())
        p99 = " ".join(f"{kind} {self.p99(kind):.0f}" for kind in TOLD)
        return (
            f"machine {self.busy:.0f} %, ours {self.cpu:.2f} of a core, bare {self.bare_cpu * 1000:.2f} ms of CPU each;"
            f" MB: {megabytes}; {self.postgres} connections to PostgreSQL, {self.files} files; p99 ms: {p99}"
        )


class Crowd:
    """The people and their programs: threads that do one kind of thing each, so many times a second."""

    def __init__(self, stage: Stage, bare_url: str) -> None:
        self._stage, self._bare_url = stage, bare_url
        self.faults: list[str] = []
        self.bought = 0
        self._took: dict[str, list[float]] = {kind: [] for kind in TOLD}
        self._drawn = random.Random(7)  # noqa: S311 - plays, keeps no secrets
        # Telegram ids, and the paths of their links.
        self._active = [(10**10 + number, f"/sub/token-{number}") for number in range(1, PEOPLE + 1)]
        self._ended: deque[int] = deque()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._local = threading.local()
        # The bare view has threads of its own: it is to feel the machine, not our answers.
        self._pools = {kind: ThreadPoolExecutor(8 if kind == "bare" else 24) for kind in RATES}
        self._drivers = [threading.Thread(target=self._forever, args=(kind,), daemon=True) for kind in RATES]

    def go(self) -> None:
        """Begins."""
        for driver in self._drivers:
            driver.start()

    def stop(self) -> None:
        """Ends, when what was begun has ended."""
        self._over.set()
        for driver in self._drivers:
            driver.join()
        for pool in self._pools.values():
            pool.shutdown()

    def took(self) -> Mapping[str, list[float]]:
        """Seconds of each answer since this was last asked."""
        with self._lock:
            took, self._took = self._took, {kind: [] for kind in TOLD}
        return took

    def _forever(self, kind: str) -> None:
        began = time.monotonic()
        for number in itertools.count(1):
            # By the clock and not after each answer: a slow answer must not make the load lighter, and to wait for it counts.
            due = began + number / RATES[kind]
            if self._over.wait(max(due - time.monotonic(), 0)):
                return
            self._pools[kind].submit(self._timed, kind, due)

    def _timed(self, kind: str, due: float) -> None:
        works = {"me": self._me, "sub": self._sub, "buy": self._buy, "end": self._end, "bare": self._bare}
        try:
            works[kind]()
        except Exception as error:  # each one is told at the end
            self.faults.append(f"{kind}: {type(error).__name__}: {error}"[:200])
        if kind not in ("buy", "end"):
            self._took[kind].append(time.monotonic() - due)

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        return self._local.session

    def _me(self) -> None:
        headers = {auth.HEADER: Person(self._stage.world, self._drawn.choice(self._active)[0]).init_data()}
        url = f"{self._stage.world.web_url}/api/me"
        self._session().get(url, headers=headers, timeout=10).raise_for_status()

    def _sub(self) -> None:
        url = f"{self._stage.world.web_url}{self._drawn.choice(self._active)[1]}"
        self._session().get(url, headers=_PROGRAM, timeout=10).raise_for_status()

    def _bare(self) -> None:
        self._session().get(f"{self._bare_url}/row/{self._drawn.randint(1, 10_000)}", timeout=10).raise_for_status()

    def _buy(self) -> None:
        """Somebody new, or who ran out a while ago."""
        with self._lock:
            again = self._ended.popleft() if self._ended and self._drawn.random() < 0.5 else None
        person = Person(self._stage.world, again or 3 * 10**10 + self._drawn.randrange(10**9))
        began = time.monotonic()
        made = person.buy()
        person.pay(made["confirmation_url"])
        paid = time.monotonic()
        with self._lock:
            self.bought += 1
        me = person.wait_for("active", seconds=KEY_SECONDS)
        self._took["buy"].append(paid - began)
        self._took["key"].append(time.monotonic() - paid)
        with self._lock:
            self._active.append((person.telegram_id, urlsplit(me["subscription"]["subscription_url"]).path))

    def _end(self) -> None:
        with self._lock:
            place = self._drawn.randrange(len(self._active))
            self._active[place], self._active[-1] = self._active[-1], self._active[place]
            telegram_id, _ = self._active.pop()
        subscriptions.set_expiry(telegram_id, clock.now() - timedelta(seconds=1))
        with self._lock:
            self._ended.append(telegram_id)


def main(minutes: float) -> int:
    """Works for so many minutes. Returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="krotray-soak-") as folder:
        stage = Stage(Path(folder))
        try:
            _open_the_ledger()
            with (
                stage.bare_web() as (bare_url, bare),
                stage.service("web", "worker", "beat", "bot", "flower") as service,
            ):
                crowd = Crowd(stage, bare_url)
                crowd.go()
                try:
                    scene = Scene(stage, service, bare, crowd)
                    samples = [scene.sample(minutes * 60 / SAMPLES, number) for number in range(SAMPLES)]
                finally:
                    crowd.stop()
                wait_until(_nobody_waits, seconds=60, what="everybody who has paid to be let in", pause=0.2)
            faults = [*ledger_audit.verify().faults, *crowd.faults]
            counted = _counted()
        finally:
            stage.close()
    wrong = _judged(samples)
    if counted != crowd.bought:
        wrong.append(f"{crowd.bought} purchases were paid, {counted} have counted")
    print(f"{crowd.bought} purchases, {len(faults)} faults", *sorted(map(str, faults))[:5], *wrong, sep="\n")
    return 1 if faults or wrong else 0


def _open_the_ledger() -> None:
    """Those who are there from the start have no lines: they are taken as they stand, so that it can be verified at the end."""
    with db.transaction() as session:
        for subscription in session.scalars(select(Subscription)):
            ledger.adopt_subscription(session, subscription, "there from the start", clock.now())


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is looked at."""

    stage: Stage
    service: Mapping[str, Process]
    bare: Process
    crowd: Crowd

    def sample(self, seconds: float, number: int) -> Sample:
        """Waits for so long, in every third case with a crash in the middle, and says what that time was like."""
        world = self.stage.world
        pids = [one.pid for one in (*self.service.values(), world.postgres.process, world.redis.process)]
        self.crowd.took()
        psutil.cpu_percent()
        began, cpu, bare_cpu = time.monotonic(), _cpu(*pids), _cpu(self.bare.pid)
        time.sleep(seconds / 2)
        if number % 3 == 1:
            node = world.nodes[number % len(world.nodes)]
            node.crash()
            node.start()
        time.sleep(max(began + seconds - time.monotonic(), 0))
        took = self.crowd.took()
        made = Sample(
            megabytes={name: pss(process.pid)[0] for name, process in self.service.items()},
            postgres=_connections(),
            files=sum(_files(one) for process in self.service.values() for one in _family(process.pid)),
            took=took,
            cpu=(_cpu(*pids) - cpu) / (time.monotonic() - began),
            bare_cpu=(_cpu(self.bare.pid) - bare_cpu) / max(len(took["bare"]), 1),
            busy=psutil.cpu_percent(),
        )
        print(f"{number + 1}: {made}", flush=True)
        return made


def _connections() -> int:
    with db.transaction() as session:
        return session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")) or 0


def _family(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _cpu(*pids: int) -> float:
    """Seconds of CPU of these processes and all that they have started, those included that have ended since."""
    total = 0.0
    for one in [one for pid in pids for one in _family(pid)]:
        # One that has ended this very moment is in its parent's count from the next look on.
        with suppress(psutil.NoSuchProcess):
            total += sum(one.cpu_times()[:4])
    return total


def _files(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return process.num_fds()
    return 0


def _nobody_waits() -> bool:
    with db.transaction() as session:
        waits = "SELECT count(*) FROM payments p WHERE p.status = 'pending' AND p.hinted_at IS NOT NULL"
        dirty = "SELECT count(*) FROM seats WHERE dirty"
        return not session.scalar(text(waits)) and not session.scalar(text(dirty))


def _counted() -> int:
    with db.transaction() as session:
        return session.scalar(select(func.count()).where(Payment.status == "succeeded")) or 0


def _judged(samples: list[Sample]) -> list[str]:
    """What has grown, from the middle of the run to its end."""
    before, after = samples[WARM : WARM + 3], samples[-3:]
    wrong = []

    def compared(of: Callable[[Sample], float]) -> tuple[float, float]:
        return median(map(of, before)), median(map(of, after))

    for name in samples[0].megabytes:
        was, now = compared(lambda one, name=name: one.megabytes[name])
        if now > was * MORE_MEMORY:
            wrong.append(f"{name} has grown from {was:.0f} to {now:.0f} MB")
    for what in ("postgres", "files"):
        was, now = compared(lambda one, what=what: getattr(one, what))
        if now > was * 1.1 + 2:
            wrong.append(f"{what}: {was:.0f} have become {now:.0f}")
    was, now = compared(lambda one: one.cpu)
    bare_was, bare_now = compared(lambda one: one.bare_cpu)
    if now > was * MORE_CPU * max(bare_now / bare_was, 1.0):
        wrong.append(f"the same work took {was:.2f} of a core and takes {now:.2f}")
    bare_was, bare_now = compared(lambda one: one.p99("bare"))
    for kind in ("me", "sub", "buy", "key"):
        was, now = compared(lambda one, kind=kind: one.p99(kind))
        if now > was * MORE_P99 + BARE_MS * max(bare_now - bare_was, 0.0):
            wrong.append(f"p99 of {kind} was {was:.0f} ms and is {now:.0f} ms")
    return wrong


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
