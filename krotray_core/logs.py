"""Logging for every process of ours: one line a record, on stderr, as text or as JSON, with our secrets blotted out."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import traceback
from typing import Any

from krotray_core import blotting, settings, tracing

# Characters. A line is a line also where somebody sends us ten megabytes; of a traceback the end says most.
LONGEST_MESSAGE, LONGEST_TRACEBACK, LONGEST_FIELD = 8_000, 16_000, 1_000
MOST_FIELDS = 20

# Everything that a terminal, or a reader of lines, could take for the end of one: also what only some of them do.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED_IN_JSON = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# What Celery adds to its lines: the arguments of tasks, and objects.
_UNWANTED = frozenset({"data", "args", "kwargs", "context", "websocket"})
_PROCESS = {"wsgi": "web", "gunicorn": "web", "flask": "command", "beat": "beat"}


class _Formatter(logging.Formatter):
    """What both forms share."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def _said(self, record: logging.LogRecord) -> str:
        try:
            said = record.getMessage()
        except Exception as error:  # a line with a wrong placeholder is still a line
            said = f"{record.msg!r} ({type(error).__name__} while it was written)"
        return _shortened(blotting.text(said), LONGEST_MESSAGE)

    def _traceback(self, record: logging.LogRecord) -> str:
        text = ""
        if record.exc_info and record.exc_info[0]:
            text = "".join(traceback.format_exception(*record.exc_info))
        if record.stack_info:
            text += record.stack_info
        text = blotting.text(text).strip()
        return text if len(text) <= LONGEST_TRACEBACK else f"[...] {text[-LONGEST_TRACEBACK:]}"

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What was given as `extra=`, as far as it is plain."""
        fields = {
            name: _shortened(blotting.text(value), LONGEST_FIELD) if isinstance(value, str) else value
            for name, value in vars(record).items()
            if name not in _USUAL and name not in _UNWANTED and isinstance(value, str | int | float | bool)
        }
        return dict(list(fields.items())[:MOST_FIELDS])


class Text(_Formatter):
    """For people: 2026-11-23T12:00:00.000Z INFO krotray_core.billing [id]: words."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows in lines that are set in."""
        follows = tracing.current()
        about = f" [{follows}]" if follows else ""
        fields = "".join(f" {name}={value}" for name, value in self._fields(record).items())
        line = _one_line(f"{self._said(record)}{fields}")
        line = f"{self.formatTime(record)} {record.levelname} {_one_line(record.name)}{about}: {line}"
        below = self._traceback(record)
        return line + "".join(f"\n    {_one_line(part)}" for part in below.split("\n")) if below else line


class Json(_Formatter):
    """For programs: one object a line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in it."""
        line: dict[str, Any] = {
            "ts": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self._said(record),
            "process": self._process,
            "pid": os.getpid(),
        }
        if follows := tracing.current():
            line["request_id"] = follows
        if below := self._traceback(record):
            line["traceback"] = below
        line = self._fields(record) | line
        written = json.dumps(line, ensure_ascii=False, allow_nan=True)
        return _ESCAPED_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} [... {len(text) - longest} more]"


def _one_line(text: str) -> str:
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def process_name() -> str:
    """Which of the Procfile's processes this is: web, worker, beat, bot, flower or command."""
    name = os.path.basename(sys.argv[0] or "")
    if name == "-m":  # what `python -m` runs is still being found
        name = sys.orig_argv[sys.orig_argv.index("-m") + 1].rpartition(".")[2]
    words = [os.path.basename(os.path.dirname(sys.argv[0])) if name == "__main__.py" else name, *sys.argv[1:]]
    known = ("worker", "beat", "flower")
    if "celery" in words[0]:
        return next((word for word in words if word in known), "celery")
    if words[0] == "krotray_bot":
        return "bot"
    if "flower" in words[0]:
        return "flower"
    return _PROCESS.get(words[0].removesuffix(".py"), words[0] or "python")


def configure() -> None:
    """Sets up the root logger of this process, and has gunicorn's go the same way. Raises SettingsError."""
    chosen = settings.get().log_format
    as_json = chosen == "json" or (chosen is None and not sys.stderr.isatty())
    blotting.forget()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json(process_name()) if as_json else Text())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)  # Python's own would be lines of another form
    # Each of these would say at INFO what nobody needs to read, or name addresses with secrets in them.
    for name in ("urllib3", "alembic", "TeleBot", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("gunicorn.error", "gunicorn.access"):
        theirs = logging.getLogger(name)
        if theirs.handlers:  # it is gunicorn that we run under
            theirs.handlers, theirs.propagate = [], True
