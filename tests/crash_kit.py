"""Sudden death at a chosen step: children of one process do a verb of the core until a point, and there they are gone, kill -9.

`Deathbed` is the test's side. This file run as a program is the other one: it imports the core once, has no threads, and forks
a child for each death. A child that dies flushes, closes and rolls back nothing; a `finally` of ours does not run.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from http.client import HTTPConnection
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parent.parent
CORE = f"{ROOT / 'krotray_core'}{os.sep}"
# Whatever writes, commits or sends, and those who tell it to. The rest of the core only computes.
STEPS = (
    *(
        "billing",
        "checkout",
        "cutoff",
        "db",
        "ledger",
        "notices",
        "placement",
        "provisioning",
        "refunds",
        "subscriptions",
    ),
    *("users", "xray", "yookassa"),
)
AT_ONCE = 2
# Of the steps between which the world hears nothing new so many are died at: the first, the last, two between. All leave the same
# behind; `make crash` dies at every single one.
OF_A_KIND = None if os.environ.get("CRASH_EVERYWHERE") else 4


class Point(NamedTuple):
    """A place to die: before this statement of the core goes on, with so much of the verb's work out in the world.

    The lines of one statement are one step. A statement that comes again (a loop, a helper called twice) while all three numbers
    are what they were is the same death: PostgreSQL and YooKassa have heard the same, and the rest dies with the process.
    """

    file: str
    line: int  # the first one of the statement
    commits: int
    requests: int  # that have been answered
    statements: int  # of SQL, this transaction's and those before


class Victim(NamedTuple):
    """A child: the arguments of its verb, and where it dies. Without a point it lives, or is killed from outside."""

    arguments: Sequence[Any]
    point: Point | None = None


def deaths(points: Sequence[Point]) -> list[Point]:
    """Those of the points to die at."""
    chosen: list[Point] = []
    for _, alike in groupby(points, key=lambda point: point[2:]):
        group = list(alike)
        last, many = len(group) - 1, min(OF_A_KIND or len(group), len(group))
        chosen += [group[round(last * number / max(many - 1, 1))] for number in range(many)]
    return chosen


class Deathbed:
    """The process whose children die."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash_kit"],
            cwd=ROOT,
            env=os.environ.copy(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=10)
        finally:
            self._process.kill()

    def warm_up(self, verb: str, *arguments: Any) -> None:
        """Does the verb to its end and keeps the filled caches: those who die are workers that have been at it for a while."""
        self._send(verb, arguments)
        assert self._outcomes(1) == [{"done": True}]

    def points(self, verb: str, *arguments: Any) -> list[Point]:
        """Does the verb to its end and returns the points that it passed, in their order."""
        self._send(verb, victims=[Victim(arguments)])
        (lived,) = self._outcomes(1)
        return [Point(*point) for point in lived["points"]]

    def kill(self, verb: str, victims: Sequence[Victim]) -> list[bool]:
        """Has each victim do the verb and die at its point; tells of each whether it came there.

        One who had to wait for another's lock may have gone another way, past its point.
        """
        self._send(verb, victims=victims, at_once=AT_ONCE)
        killed = {said.get("killed") for said in self._outcomes(len(victims))}
        return [number in killed for number in range(len(victims))]

    def begin(self, verb: str, *arguments: Any) -> int:
        """Starts a child that does the verb, and returns its process id when it waits for the answer to its first request.

        To be followed by `kill_now`.
        """
        self._send(verb, victims=[Victim(arguments)], tell_when_asked=True)
        return int(self._read()["asked"])

    def kill_now(self, pid: int) -> None:
        """kill -9 from outside, in the middle of whatever it does."""
        os.kill(pid, signal.SIGKILL)
        assert self._outcomes(1) == [{"killed": 0}], "it was not in the middle of anything"

    def _send(self, verb: str, first: Sequence[Any] | None = None, **job: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"verb": verb, "first": first} | job) + "\n")
        self._process.stdin.flush()

    def _outcomes(self, count: int) -> list[dict[str, Any]]:
        """How so many lives have ended. All are read before any of them is complained of."""
        outcomes = [self._read() for _ in range(count)]
        errors = [said["error"] for said in outcomes if "error" in said]
        assert not errors, errors
        return outcomes

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the process that forks has ended with {self._process.poll()}"
        said: dict[str, Any] = json.loads(line)
        return said


class _Tracer:
    """Notes the points of the core that a verb passes; at `end` it ends the process.

    A victim is traced only from when the world has heard as much as at its end: until then it runs at its usual speed.
    """

    def __init__(self, end: Point | None) -> None:
        self.passed: dict[Point, None] = {}
        self._end = end
        self._heard = (0, 0, 0)
        self._concerned: dict[CodeType, bool] = {}

    def hear(self, *, commits: int = 0, requests: int = 0, statements: int = 0) -> None:
        """The world hears of something."""
        heard = self._heard
        self._heard = heard[0] + commits, heard[1] + requests, heard[2] + statements
        self.follow()

    def follow(self) -> None:
        """Begins to trace if it is time, also in the functions that run already."""
        if self._end and self._heard != self._end[2:]:
            sys.settrace(None)
            return
        sys.settrace(self)
        frame: FrameType | None = sys._getframe()
        while frame:
            if self._concerns(frame.f_code):
                frame.f_trace = self._line
            frame = frame.f_back

    def __call__(self, frame: FrameType, _what: str, _value: object) -> Callable[..., Any] | None:
        code = frame.f_code
        if code not in self._concerned:
            self._concerned[code] = self._concerns(code)
        return self._line if self._concerned[code] else None

    def _concerns(self, code: CodeType) -> bool:
        if not code.co_filename.startswith(tuple(CORE + name for name in STEPS)):
            return False
        starts = _starts(code.co_filename)
        return self._end is None or (
            code.co_filename == CORE + self._end.file
            and any(starts.get(line or 0, line) == self._end.line for _, _, line in code.co_lines())
        )

    def _line(self, frame: FrameType, what: str, _value: object) -> Callable[..., Any]:
        if what == "line":
            file, line = frame.f_code.co_filename, frame.f_lineno
            point = Point(file.removeprefix(CORE), _starts(file).get(line, line), *self._heard)
            if point == self._end:
                os.kill(os.getpid(), signal.SIGKILL)
            self.passed[point] = None
        return self._line


def _listen(tracer: _Tracer) -> None:
    """Has the tracer hear what goes out of this process."""
    from requests import Session
    from sqlalchemy import Engine, event

    send = Session.send

    def sent(*arguments: Any, **options: Any) -> Any:
        try:
            return send(*arguments, **options)
        finally:
            tracer.hear(requests=1)

    Session.send = sent  # type: ignore[method-assign]
    # Both are told just before it happens; no statement of the core runs in between.
    event.listen(Engine, "commit", lambda _connection: tracer.hear(commits=1))
    event.listen(Engine, "before_cursor_execute", lambda *_: tracer.hear(statements=1))


@cache
def _starts(file: str) -> dict[int, int]:
    """For each line of a file the first line of the innermost statement that it belongs to."""
    starts: dict[int, int] = {}
    for node in ast.walk(ast.parse(Path(file).read_text())):
        if isinstance(node, ast.stmt | ast.excepthandler):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno  # what it contains are statements of their own
            for line in range(node.lineno, (last or node.lineno) + 1):
                starts[line] = max(starts.get(line, 0), node.lineno)
    return starts


def _verbs() -> dict[str, Callable[..., object]]:
    from uuid import UUID

    from krotray_core import billing, checkout, provisioning, refunds, subscriptions

    return {
        "start": checkout.start,
        "settle": lambda payment: billing.settle(UUID(payment)),
        "refund": lambda payment, kopecks: refunds.start(UUID(payment), kopecks),
        "settle_refund": lambda refund: refunds.settle(UUID(refund)),
        "expire": subscriptions.expire_due,
        "converge": provisioning.converge,
    }


def _live(verb: Callable[..., object], victim: Victim) -> None:
    """The life of a child. Does not return."""
    tracer = _Tracer(Point(*victim.point) if victim.point else None)
    _listen(tracer)
    try:
        tracer.follow()
        verb(*victim.arguments)
        sys.settrace(None)
        _say(points=list(tracer.passed))
    except BaseException as error:  # it must not go on as a second parent
        sys.settrace(None)
        _say(error=f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _say(**what: Any) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


def _tell_when_asked() -> None:
    """Says when a request has been sent to its last byte."""
    get_response = HTTPConnection.getresponse

    def asked(connection: HTTPConnection) -> Any:
        _say(asked=os.getpid())
        return get_response(connection)

    HTTPConnection.getresponse = asked  # type: ignore[method-assign]


def _reap(running: dict[int, int]) -> None:
    pid, status = os.wait()
    victim, code = running.pop(pid), os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        _say(killed=victim)
    elif code:
        _say(error=f"a child ended with {code}")


def _fork(verb: Callable[..., object], job: dict[str, Any]) -> None:
    """A child for each victim of a job, a few of them at once."""
    from krotray_core import db

    engine = db.engine()
    running: dict[int, int] = {}
    for number, victim in enumerate(job["victims"]):
        if len(running) == job.get("at_once", 1):
            _reap(running)
        pid = os.fork()
        if pid == 0:
            if job.get("tell_when_asked"):
                _tell_when_asked()
            db.engine = lambda: engine  # its connections are forgotten, what it knows of its statements is not
            _live(verb, Victim(*victim))
        running[pid] = number
    while running:
        _reap(running)


def main() -> None:
    """Takes jobs, a line of JSON each, until there are no more."""
    import krotray_core.xray.client  # noqa: F401 - workers have it before they fork

    verbs = _verbs()
    for file in Path(CORE).rglob("*.py"):
        _starts(str(file))  # for all children, who would each have to find out
    gc.disable()  # a collection would touch, and so copy, all the memory that a child shares with us
    for line in sys.stdin:
        job = json.loads(line)
        verb = verbs[job["verb"]]
        if job["first"] is None:
            _fork(verb, job)
            continue
        try:
            verb(*job["first"])
        except Exception as error:
            _say(error=f"{type(error).__name__}: {error}")
        else:
            _say(done=True)
        gc.freeze()


if __name__ == "__main__":
    main()
