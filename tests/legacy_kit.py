"""The earlier KrotRay: its database in SQLite or PostgreSQL, as it was or as bad as one likes, and ours before and after."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
from sqlalchemy import select, text

from krotray_core import clock
from krotray_core.db import transaction
from krotray_core.legacy import Report, take_over
from krotray_core.models import Base, Payment, Seat, Server, Subscription, User
from sandbox.parts import XrayNode
from sandbox.world import World

DAY = timedelta(days=1)
Row = Mapping[str, Any]
# As the old service's own models made them: no time zones, numeric money, its keys as texts.
TABLES = {
    "users": "id {serial}, telegram_id BIGINT, username VARCHAR, first_name VARCHAR, created_at TIMESTAMP",
    "servers": "id {serial}, name VARCHAR, host VARCHAR, grpc_port INTEGER, active_users INTEGER, max_users INTEGER,"
    " enabled BOOLEAN, vless_url_template VARCHAR",
    "subscriptions": "id {serial}, user_id INTEGER, status VARCHAR, expires_at TIMESTAMP, tariff_months INTEGER,"
    " uuid VARCHAR(40), server_id INTEGER",
    "payments": "id {serial}, user_id INTEGER, amount NUMERIC(10, 2), currency VARCHAR, status VARCHAR, tariff_months INTEGER,"
    " payment_method VARCHAR, external_id VARCHAR, created_at TIMESTAMP",
}
# Ids go on from test to test, as those of our own tables do: no two tests share an e-mail in Xray.
_ids = count(5_000_000)


class Old:
    """An old database that rows are put into."""

    def __init__(self, url: str, connection: Any, mark: str) -> None:
        self.url, self.connection, self._mark = url, connection, mark

    def make(self, tables: Mapping[str, str] = TABLES) -> Old:
        """Makes the tables."""
        serial = "INTEGER PRIMARY KEY" if self._mark == "?" else "SERIAL PRIMARY KEY"
        cursor = self.connection.cursor()
        for name, columns in tables.items():
            cursor.execute(f"CREATE TABLE {name} ({columns.format(serial=serial)})")
        self.connection.commit()
        return self

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Puts rows in."""
        cursor = self.connection.cursor()
        for row in rows:
            marks = ", ".join([self._mark] * len(row))
            statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608 - our own names
            cursor.execute(statement, list(row.values()))
        self.connection.commit()

    def change(self, table: str, rows: Iterable[Row], **values: Any) -> None:
        """Gives these rows (known by their `id`) other values."""
        names = ", ".join(f"{name} = {self._mark}" for name in values)
        for row in rows:
            statement = f"UPDATE {table} SET {names} WHERE id = {self._mark}"  # noqa: S608 - our own names
            self.connection.cursor().execute(statement, [*values.values(), row["id"]])
        self.connection.commit()

    def run(self, statement: str) -> None:
        """Does something to it."""
        self.connection.cursor().execute(statement)
        self.connection.commit()

    def person(self, *, runs: timedelta = 20 * DAY, status: str = "active", **more: Any) -> Row:
        """Somebody with a subscription; `user` and other fields of it may be given. Returns its row and `telegram_id`."""
        user_id = more.pop("user", None) or next(_ids)
        telegram_id = more.pop("telegram_id", 7_000_000_000 + user_id)
        self.add("users", [{"id": user_id, "telegram_id": telegram_id, "username": f"u{user_id}", "first_name": "Яна"}])
        row = {
            "id": next(_ids),
            "user_id": user_id,
            "status": status,
            "expires_at": naive(clock.now() + runs),
            "tariff_months": 1,
            "uuid": str(uuid.uuid4()),
            "server_id": None,
        } | more
        self.add("subscriptions", [row])
        return row | {"telegram_id": telegram_id}


def naive(moment: datetime) -> str:
    """A moment as the old service wrote it: UTC without saying so, cut to seconds."""
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat(" ")


def aware(text_: str) -> datetime:
    """The same, read."""
    return datetime.fromisoformat(text_).replace(tzinfo=UTC)


@contextmanager
def sqlite(folder: Path) -> Iterator[Old]:
    """One in a file."""
    path = folder / f"old {uuid.uuid4().hex[:6]}.db"
    connection = sqlite3.connect(path)
    yield Old(f"sqlite:///{path}", connection, "?")
    connection.close()


@contextmanager
def postgres(world: World) -> Iterator[Old]:
    """One in the world's PostgreSQL, gone afterwards."""
    name = f"old_{uuid.uuid4().hex[:8]}"
    url = world.postgres.create(name)
    connection = psycopg2.connect(url)
    yield Old(url, connection, "%s")
    connection.close()
    admin = psycopg2.connect(world.postgres.url("postgres"))
    admin.autocommit = True
    admin.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


def server_row(node: XrayNode, **more: Any) -> Row:
    """A server of the world as the old service knew it."""
    template = node.vless_url_template.replace("KrotRay", "{server_name}")
    return {
        "id": 1,
        "name": node.name,
        "host": "127.0.0.1",
        "grpc_port": node.grpc_port,
        "active_users": 0,
        "max_users": 50,
        "enabled": True,
        "vless_url_template": template,
    } | more


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Our whole database, and where its sequences stand."""
    with transaction() as session:
        tables = {
            name: sorted((tuple(row) for row in session.execute(select(table))), key=repr)
            for name, table in Base.metadata.tables.items()
        }
        rows = session.execute(text("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"))
        return tables | {"sequences": [tuple(row) for row in rows]}


def again(old: Old) -> Report:
    """Takes over once more: nothing may change."""
    before = everything()
    report = take_over(old.url, without_refused=True)
    after = everything()
    assert report.news == 0
    assert {name: rows for name, rows in after.items() if name != "servers"} == {
        name: rows for name, rows in before.items() if name != "servers"
    }
    return report


def by_telegram(telegram_id: int) -> tuple[User, Subscription | None, Seat | None]:
    """A person here, with their subscription and wanted seat."""
    with transaction() as session:
        user = session.scalars(select(User).where(User.telegram_id == telegram_id)).one()
        subscription = session.scalar(select(Subscription).where(Subscription.user_id == user.id))
        seat = subscription and session.scalar(select(Seat).where(Seat.subscription_id == subscription.id, Seat.wanted))
        return user, subscription, seat or None


def our_payments() -> list[Payment]:
    """All of them."""
    with transaction() as session:
        return list(session.scalars(select(Payment).order_by(Payment.created_at, Payment.amount_kopecks)))


def our_servers() -> list[Server]:
    """All of them."""
    with transaction() as session:
        return list(session.scalars(select(Server).order_by(Server.name)))


def said(report: Report, table: str, level: str = "changed") -> list[str]:
    """The reasons in a report."""
    return [one.reason for one in report.remarks if (one.table, one.level) == (table, level)]
