"""Load from the loopback: Debian's `wrk` where it can be had, else threads of our own (slower, and it says so)."""

from __future__ import annotations

import functools
import http.client
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

INSTALL_SECONDS = 300
ANSWER_SECONDS = 10
# Connections come in groups. If all came in the same millisecond, the gunicorn worker that wakes first would take them all, and the
# other would have nothing to do as long as they are kept: half of what the service can do, or all of it, by chance.
# `once` has few connections and short work, and does without.
GROUPS, BETWEEN_GROUPS = 4, 0.1
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Shot:
    """What a few seconds of load gave: answers a second, the slowest group's p99 (s), and how many were refused or never came."""

    rate: float
    p99: float
    bad: int


@functools.cache
def generator() -> str | None:
    """The path of wrk, installed first if we may; None where it cannot be had."""
    found = shutil.which("wrk")
    if found or os.geteuid() != 0 or not shutil.which("apt-get"):
        return found
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qqy", "install", "--no-install-recommends", "wrk"]):
        try:
            subprocess.run(command, env=environment, capture_output=True, timeout=INSTALL_SECONDS, check=True)  # noqa: S603
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return None
    return shutil.which("wrk")


def shot(url: str, wanted: Sequence[Request], *, connections: int, seconds: float) -> Shot:
    """Asks for these in turn, over and over, from so many connections at once."""
    wrk = generator()
    return _wrk(wrk, url, wanted, connections, seconds) if wrk else _threads(url, wanted, connections, seconds)


def once(url: str, wanted: Sequence[Request], *, connections: int) -> int:
    """Sends each of these once. Returns how many were not answered with 200."""
    queue = iter(wanted)
    lock = threading.Lock()

    def work(_: int) -> int:
        bad, connection = 0, _connect(url)
        while True:
            with lock:
                one = next(queue, None)
            if one is None:
                connection.close()
                return bad
            bad += _ask(connection, one) != 200

    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(work, range(connections)))


def _wrk(wrk: str, url: str, wanted: Sequence[Request], connections: int, seconds: float) -> Shot:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_script(wanted))
        script.flush()
        command = [wrk, "-t1", f"-c{max(connections // GROUPS, 1)}", f"-d{max(round(seconds), 1)}s", "--latency"]
        command += ["--timeout", f"{ANSWER_SECONDS}s", "-s", script.name, url]
        started, began = [], time.monotonic()
        try:
            for _ in range(GROUPS):
                started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))  # noqa: S603 - ours
                time.sleep(BETWEEN_GROUPS)
            said = [one.communicate(timeout=seconds + 60)[0] for one in started]
            took = time.monotonic() - began
        finally:
            for one in started:
                one.kill()
    groups = list(map(_read, said))
    return Shot(sum(one.rate for one in groups) / took, max(one.p99 for one in groups), sum(one.bad for one in groups))


def _read(said: str) -> Shot:
    """What one wrk says; its `rate` is the number of all its answers."""
    answers = re.search(r"([0-9]+) requests in", said)
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s|m)", said)
    if answers is None or p99 is None:
        raise RuntimeError(f"wrk has measured nothing: {said[:200]}")
    lost = re.search(r"connect ([0-9]+), read ([0-9]+), write ([0-9]+), timeout ([0-9]+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: ([0-9]+)", said)
    bad = sum(map(int, lost.groups())) if lost else 0
    bad += int(refused[1]) if refused else 0
    return Shot(float(answers[1]), float(p99[1]) * _UNITS[p99[2]], bad)


def _script(wanted: Sequence[Request]) -> str:
    def quoted(text: str) -> str:
        return "[==[" + text + "]==]"

    lines = ["local made = {}"]
    for one in wanted:
        headers = ", ".join(f"[ {quoted(name)} ] = {quoted(value)}" for name, value in one.headers.items())
        body = quoted(one.body) if one.body is not None else "nil"
        lines.append(f"made[#made + 1] = {{{quoted(one.method)}, {quoted(one.path)}, {{{headers}}}, {body}}}")
    lines += [
        "local ready, turn = {}, 0",
        "function init() for i, m in ipairs(made) do ready[i] = wrk.format(m[1], m[2], m[3], m[4]) end end",
        "function request() turn = turn % #ready + 1 return ready[turn] end",
    ]
    return "\n".join(lines)


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)


def _ask(connection: http.client.HTTPConnection, one: Request) -> int:
    try:
        connection.request(one.method, one.path, one.body, one.headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0
    return answer.status


def _threads(url: str, wanted: Sequence[Request], connections: int, seconds: float) -> Shot:
    took: list[float] = []
    bad, end, began = itertools.count(), time.monotonic() + seconds, time.monotonic()

    def work(number: int) -> None:
        connection = _connect(url)
        for one in itertools.islice(itertools.cycle(wanted), number, None):
            asked = time.monotonic()
            if asked > end:
                return
            if _ask(connection, one) == 200:
                took.append(time.monotonic() - asked)
            else:
                next(bad)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    p99 = took[int(len(took) * 0.99)] if took else 0.0
    return Shot(len(took) / (time.monotonic() - began), p99, next(bad))
