"""Logging for every process of ours: one line a record, on stderr, with our secrets blotted out whatever library wrote them."""

from __future__ import annotations

import logging
import re
import sys
import time
from urllib.parse import urlsplit

from krotray_core import settings

_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"

# Anything of the form of a bot token, of initData's signature, or of a key in a VLESS link.
_PATTERNS = (
    (re.compile(r"\b[0-9]{6,}:[A-Za-z0-9_-]{30,}"), "[token]"),
    (re.compile(r"\b(hash|signature)=[0-9A-Za-z_%-]{20,}"), r"\1=[hidden]"),
    (re.compile(r"vless://[0-9a-fA-F-]{36}@"), "vless://[key]@"),
    (re.compile(r"(/sub/)[A-Za-z0-9_-]{20,}"), r"\1[token]"),
    # PostgreSQL quotes the whole row that broke a rule, with the e-mail address in it.
    (re.compile(r"DETAIL:  .*"), "DETAIL:  [hidden]"),
)


SHORTEST = 4  # hiding every "a" would hide the log


class _Discreet(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%S")
        s = settings.get()
        secrets = [s.bot_token, s.yookassa_secret_key, s.secret_key, s.flower_basic_auth, s.metrics_token]
        passwords = [urlsplit(url).password for url in (s.database_url, s.redis_url, s.broker_url)]
        shown = [secret.get_secret_value() for secret in secrets if secret is not None] + passwords
        self._hidden = [text for text in shown if text and len(text) >= SHORTEST]

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self._hidden:
            line = line.replace(secret, "[hidden]")
        for pattern, shown in _PATTERNS:
            line = pattern.sub(shown, line)
        return line


def configure() -> None:
    """Sets up the root logger of this process. Raises SettingsError."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Discreet())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Each of these would say at INFO what nobody needs to read, or name addresses with secrets in them.
    for name in ("urllib3", "alembic", "TeleBot", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
