"""Where the sandbox keeps everything: JSON documents in one SQLite table, on disk or in memory.

One lock guards it, so a transaction sees and changes a state that nobody else touches meanwhile. That is all the
concurrency control there is; a stand-in for one shop needs no more.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    due TEXT,
    body TEXT NOT NULL,
    UNIQUE (kind, id)
);
CREATE INDEX IF NOT EXISTS documents_due ON documents (kind, due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS documents_order ON documents (kind, position);
"""


class Store:
    """Documents by kind and id, in the order of their making; `due` says when one wants attention."""

    def __init__(self, path: Path | str | None = None) -> None:
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        # Reentrant, because a transaction calls verbs that open one themselves and then simply join it.
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        """Holds the store's lock; notified when there is something new to do or to see."""
        self._db = sqlite3.connect(str(path) if path else ":memory:", check_same_thread=False, isolation_level=None)
        # The log lets a state file survive a killed process without the cost of a disk flush for each change.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, alone: a nested one joins the outer one."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def put(self, kind: str, document_id: str, body: Document, *, due: str | None = None) -> None:
        """Write a document; an existing one keeps its place in the order."""
        with self._lock:
            self._db.execute(
                "INSERT INTO documents (kind, id, due, body) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (kind, id) DO UPDATE SET due = excluded.due, body = excluded.body",
                (kind, document_id, due, json.dumps(body, ensure_ascii=False)),
            )

    def get(self, kind: str, document_id: str) -> Document | None:
        """The document, or None."""
        with self._lock:
            row = self._db.execute(
                "SELECT body FROM documents WHERE kind = ? AND id = ?", (kind, document_id)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def remove(self, kind: str, document_id: str) -> None:
        """Forget a document if there is one."""
        with self._lock:
            self._db.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, document_id))

    def remove_due(self, kind: str, now: str) -> None:
        """Forget every document whose time has come."""
        with self._lock:
            self._db.execute("DELETE FROM documents WHERE kind = ? AND due <= ?", (kind, now))

    def remove_all(self, kind: str) -> None:
        """Forget a whole kind."""
        with self._lock:
            self._db.execute("DELETE FROM documents WHERE kind = ?", (kind,))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._db.execute("DELETE FROM documents")

    def all(self, kind: str, *, newest_first: bool = False) -> list[Document]:
        """Every document of a kind in the order of their making."""
        order = "DESC" if newest_first else "ASC"
        with self._lock:
            rows = self._db.execute(
                f"SELECT body FROM documents WHERE kind = ? ORDER BY position {order}",  # noqa: S608 - one of two words
                (kind,),
            ).fetchall()
        return [json.loads(body) for (body,) in rows]

    def count(self, kind: str) -> int:
        """How many documents of a kind there are."""
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM documents WHERE kind = ?", (kind,)).fetchone()[0])

    def due(self, kind: str, now: str) -> list[Document]:
        """The documents whose time has come, the longest waiting first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT body FROM documents WHERE kind = ? AND due <= ? ORDER BY due, position", (kind, now)
            ).fetchall()
        return [json.loads(body) for (body,) in rows]

    def never_due(self, kind: str) -> list[Document]:
        """The documents that wait for something else than a moment, in the order of their making."""
        with self._lock:
            rows = self._db.execute(
                "SELECT body FROM documents WHERE kind = ? AND due IS NULL ORDER BY position", (kind,)
            ).fetchall()
        return [json.loads(body) for (body,) in rows]

    def next_due(self, *kinds: str, after: str) -> str | None:
        """The earliest moment after the given one at which a document of these kinds wants attention."""
        with self._lock:
            moments = [
                self._db.execute("SELECT min(due) FROM documents WHERE kind = ? AND due > ?", (kind, after)).fetchone()[
                    0
                ]
                for kind in kinds
            ]
        return min((moment for moment in moments if moment), default=None)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()
