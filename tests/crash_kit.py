"""Sudden death at a chosen line: children of one process do a verb of the core and are gone, kill -9, on reaching a point.

`Deathbed` is the test's side. This file run as a program is the other one: it imports the core once, has no threads, and forks
a child for each death. Nothing is flushed, closed or rolled back by a child that dies.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parent.parent
CORE = str(ROOT / "krotray_core") + os.sep
AT_ONCE = 2


class Point(NamedTuple):
    """A place to die: before this line runs, with so much of the verb's work out in the world.

    What a process has not committed or sent dies with it, so a line that comes again with both numbers unchanged (a loop, a helper
    called twice in one transaction) is the same death, and is died once.
    """

    file: str
    line: int
    commits: int
    requests: int


class Victim(NamedTuple):
    """A child: the arguments of its verb, and where it dies; without a point it is killed from outside, or lives."""

    arguments: tuple[Any, ...]
    point: Point | None = None


class Deathbed:
    """The process whose children die."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-m", "tests.crash_kit"],
            cwd=ROOT,
            env=os.environ.copy(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        if self._process.stdout:
            self._process.stdout.close()
        self._process.wait(10)

    def points(self, verb: str, *arguments: Any) -> list[Point]:
        """Does the verb to its end and returns every point on the way, in their order."""
        self._send(verb, [Victim(arguments)])
        pid = self._read()["pid"]
        points = [Point(*point) for point in self._read()["points"]]
        assert self._read() == {"pid": pid, "code": 0}
        return points

    def kill(self, verb: str, victims: Iterable[Victim], *, at_once: int = AT_ONCE) -> None:
        """Has each victim do the verb up to its point. All of them must get there."""
        waiting = list(victims)
        self._send(verb, waiting, at_once)
        ended = 0
        late = []
        while ended < len(waiting):
            said = self._read()
            if "code" in said:
                ended += 1
                late += [said] if said["code"] != -signal.SIGKILL else []
        assert not late, "some never came to the point where they were to die"

    def begin(self, verb: str, *arguments: Any) -> int:
        """Starts a child that does the verb, and returns its process id: `kill_now` it, or wait for its `end`."""
        self._send(verb, [Victim(arguments)])
        return int(self._read()["pid"])

    def kill_now(self, pid: int) -> None:
        """kill -9, from outside."""
        os.kill(pid, signal.SIGKILL)
        assert self._read() == {"pid": pid, "code": -signal.SIGKILL}

    def _send(self, verb: str, victims: list[Victim], at_once: int = 1) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"verb": verb, "victims": victims, "at_once": at_once}) + "\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the process that forks is gone: {self._process.poll()}"
        said: dict[str, Any] = json.loads(line)
        assert "error" not in said, said["error"]
        return said


class _Tracer:
    """Notes each point of the core that is about to run, and ends the process at one of them."""

    def __init__(self, end: Point | None) -> None:
        from requests import Session
        from sqlalchemy import Engine, event

        self.seen: dict[Point, None] = {}
        self._end, self._commits, self._requests = end, 0, 0
        self._names: dict[str, str | None] = {}
        event.listen(Engine, "commit", self._committed)
        send = Session.send

        def counted(*arguments: Any, **options: Any) -> Any:
            try:
                return send(*arguments, **options)
            finally:
                self._requests += 1

        Session.send = counted  # type: ignore[method-assign]

    def __call__(self, frame: FrameType, _what: str, _value: Any) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if file not in self._names:
            self._names[file] = file.removeprefix(CORE) if file.startswith(CORE) else None
        return self._line if self._names[file] else None

    def _line(self, frame: FrameType, what: str, _value: Any) -> Callable[..., Any]:
        if what == "line":
            name = self._names[frame.f_code.co_filename] or ""
            point = Point(name, frame.f_lineno, self._commits, self._requests)
            if point == self._end:
                os.kill(os.getpid(), signal.SIGKILL)
            self.seen[point] = None
        return self._line

    def _committed(self, _connection: object) -> None:
        self._commits += 1  # no line of the core runs between here and PostgreSQL's own commit


def _verbs() -> dict[str, Callable[..., object]]:
    from uuid import UUID

    from krotray_core import billing, checkout, refunds, subscriptions

    return {
        "start": checkout.start,
        "settle": lambda payment: billing.settle(UUID(payment)),
        "settle_external": billing.settle_external,
        "refund": lambda payment, kopecks: refunds.start(UUID(payment), kopecks),
        "settle_refund": lambda refund: refunds.settle(UUID(refund)),
        "expire": subscriptions.expire_due,
    }


def _die(verb: Callable[..., object], victim: Victim) -> None:
    """The child."""
    tracer = _Tracer(Point(*victim.point) if victim.point else None)
    sys.settrace(tracer)
    try:
        verb(*victim.arguments)
    except BaseException as error:  # noqa: BLE001
        sys.settrace(None)
        _say(error=f"{type(error).__name__}: {error}")
        os._exit(1)
    sys.settrace(None)
    _say(points=list(tracer.seen))
    os._exit(0)


def _say(**what: Any) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


def _reap() -> None:
    pid, status = os.wait()
    _say(pid=pid, code=os.waitstatus_to_exitcode(status))


def main() -> None:
    """Takes jobs, a line of JSON each, until there are no more."""
    verbs = _verbs()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        running = 0
        for victim in job["victims"]:
            if running == job["at_once"]:
                _reap()
                running -= 1
            pid = os.fork()
            if pid == 0:
                _die(verbs[job["verb"]], Victim(*victim))
            running += 1
            _say(pid=pid)
        for _ in range(running):
            _reap()


if __name__ == "__main__":
    main()
