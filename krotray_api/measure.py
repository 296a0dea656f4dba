"""Counts and times every request, in all web processes together, and gives each an id and a line in the log.

gunicorn's workers come and go; each counts in a file of the place that it has among them, which the next one in that place goes
on with. So there are never more files than workers, and none of the counts is lost when one is killed. See docs/adr/0012.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import shutil
import tempfile
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, multiprocess, values

from krotray_api import addresses
from krotray_core import settings, tracing

log = logging.getLogger("krotray_api.access")

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUIET = ("/healthz", "/readyz", "/metrics")  # asked every few seconds

PREFIX, MASTER = "krotray-metrics-", "master.lock"

_folder: Path | None = None
_place: tuple[int, int, int] | None = None  # process, place, the lock that holds it


def _my_place() -> int:
    """This process's place among those of the folder: the first that is free. The kernel frees it when the process ends."""
    global _place  # noqa: PLW0603 - one a process
    if _place is not None and _place[0] == os.getpid():
        return _place[1]
    if _folder is None:
        return 0
    for place in count():
        lock = _lock(_folder / f"{place}.lock")
        if lock is not None:
            _place = os.getpid(), place, lock
            return place
    raise AssertionError("count() does not end")


def _leave_place() -> None:
    """A child shares its parent's lock through the fork: it lets go of its own copy, or the place would outlive the parent."""
    global _place  # noqa: PLW0603 - likewise
    if _place is not None:
        os.close(_place[2])
        _place = None


os.register_at_fork(after_in_child=_leave_place)


def _lock(path: Path) -> int | None:
    """The lock of a file, kept until it is closed or this process ends; None while somebody else has it."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _clean(master: int) -> None:
    if os.getpid() == master and _folder is not None:  # its children inherit this call
        shutil.rmtree(_folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Takes away what masters have left behind that were killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's
            ours = folder.lstat().st_uid == os.getuid() and (folder / MASTER).exists()
            if ours and (lock := _lock(folder / MASTER)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _share() -> None:
    """Has the library count in files, in a folder of this gunicorn's own that goes when its master does."""
    global _folder  # noqa: PLW0603 - likewise
    _folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_folder)
    atexit.register(_clean, os.getpid())
    _sweep(_folder.parent)
    _lock(_folder / MASTER)  # held by us and our children: as long as it is, the folder is in use
    values.ValueClass = values.MultiProcessValue(_my_place)


class _Figures:
    """Made once, in gunicorn's master; with labels, so that no file is opened before somebody counts."""

    def __init__(self) -> None:
        if "SERVER_SOFTWARE" in os.environ and "gunicorn" in os.environ["SERVER_SOFTWARE"]:
            _share()
        disable_created_metrics()  # as many series again, that nobody looks at
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter(
            "krotray_http_requests_total",
            "Requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "krotray_http_request_duration_seconds",
            "How long an answer took to make",
            ["method", "route"],
            buckets=BOUNDS,
            registry=self.registry,
        )


_figures = _Figures()


def registry() -> CollectorRegistry:
    """What was counted, in all processes together. Raises OSError and others when the folder cannot be read."""
    if _folder is None:
        return _figures.registry
    _folder.mkdir(0o700, exist_ok=True)
    made = CollectorRegistry(auto_describe=False)
    multiprocess.MultiProcessCollector(made, path=str(_folder))
    return made


def install(app: Flask) -> None:
    """Before all others: what they refuse is counted too."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(lambda _error: tracing.end())


def _begin() -> None:
    g.began = time.perf_counter()
    given = request.headers.get(tracing.HEADER)
    if given is not None and not addresses.from_proxy(request, settings.get().trusted_proxies):
        given = None  # a stranger's: they could have it stand for something else in our log
    tracing.begin(given)


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began if "began" in g else 0.0
    method = request.method if request.method in METHODS else "other"
    # The template, not the path: that holds tokens, and whatever strangers try.
    route = request.url_rule.rule if request.url_rule else "unknown"
    try:
        _figures.requests.labels(method, route, str(response.status_code)).inc()
        _figures.seconds.labels(method, route).observe(seconds)
    except Exception as error:  # somebody has tidied up /tmp, the disk is full: nobody's answer may depend on that
        log.warning("a request was not counted: %s", type(error).__name__)
        if _folder is not None:
            with suppress(OSError):
                _folder.mkdir(0o700, exist_ok=True)
    response.headers[tracing.HEADER] = tracing.current() or ""
    level = logging.DEBUG if route in QUIET and response.status_code < 500 else logging.INFO
    shown = {"method": method, "route": route, "status": response.status_code, "ms": round(seconds * 1000, 1)}
    log.log(level, "%s %s %s", method, route, response.status_code, extra=shown)
    return response
