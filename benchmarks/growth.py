"""What a subscriber costs: `python -m benchmarks.growth [SUBSCRIBERS] [MONTHS]` prints the figures of docs/scaling.md.

It makes purchases with the real code against the sandbox, copies their rows until there are SUBSCRIBERS with a payment a month for
MONTHS, and measures tables, indexes, sweeps, an Xray's memory and Redis. Minutes, and some gigabytes in a temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from uuid import uuid4

import psutil
import redis
import requests
from sqlalchemy import text

from krotray_core import (
    billing,
    checkout,
    clock,
    db,
    figures,
    placement,
    provisioning,
    reminders,
    servers,
    settings,
    subscriptions,
    users,
)
from krotray_core.xray.client import XrayClient
from krotray_core.xray.operations import Add
from sandbox.world import World

TABLES = ("users", "subscriptions", "seats", "payments", "ledger", "notices")
PURCHASES, USERS_IN_XRAY, MESSAGES = 30, 20_000, 10_000


def main(subscribers: int, months: int) -> None:
    """Measures, and prints a table for each thing measured."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        world = World(Path(folder) / "world")
        try:
            world.postgres.create("growth")
            os.environ.update(world.environment("growth"))
            settings.get.cache_clear()
            upgrade()
            purchases(world)
            fill(subscribers, months)
            sizes(subscribers, months)
            sweeps()
            xray(world)
            queue(world)
            db.engine().dispose()
        finally:
            world.stop()


def upgrade() -> None:
    """The tables."""
    from flask_migrate import upgrade as to_head  # noqa: PLC0415 - needs the settings made above

    from krotray_api.app import create_app  # noqa: PLC0415

    with create_app().app_context():
        to_head()


def purchases(world: World) -> None:
    """Real ones, one after the other, on one thread."""
    node = world.nodes[0]
    servers.add(
        name=node.name,
        host="127.0.0.1",
        grpc_port=node.grpc_port,
        max_users=1000,
        inbound_tag=None,
        vless_url_template=node.vless_url_template,
    )
    took: dict[str, list[float]] = {"checkout.start": [], "billing.settle": [], "provisioning.converge": []}
    for number in range(PURCHASES):
        user = users.greet(users.Person(10**9 + number, first_name="Анна", username="anna_from_tver"))
        began = time.perf_counter()
        payment = checkout.start(user.id, "1m", "card")
        took["checkout.start"].append(time.perf_counter() - began)
        requests.post(f"{world.yookassa_url}/sandbox/payments/{payment.external_id}/pay", timeout=10).raise_for_status()
        for name, work in (
            ("billing.settle", lambda payment=payment: billing.settle(payment.id)),
            ("provisioning.converge", lambda: [provisioning.converge(one) for one in provisioning.dirty_servers()]),
        ):
            began = time.perf_counter()
            work()
            took[name].append(time.perf_counter() - began)
    print("\n## One purchase, a thread, the sandbox's YooKassa on loopback (median of", PURCHASES, "in ms)")
    for name, times in took.items():
        print(f"{name:24}{median(times) * 1000:8.1f}")


COPIES = {
    "users": {"id": "n", "telegram_id": "10000000000 + n", "invite_code": "NULL"},
    "subscriptions": {"id": "n", "user_id": "n", "uuid": "gen_random_uuid()", "token": "gen_random_uuid()::text"},
    "seats": {"id": "n", "subscription_id": "n", "email": "'user_' || n", "uuid": "gen_random_uuid()"},
    "payments": {"id": "gen_random_uuid()", "user_id": "n", "external_id": "gen_random_uuid()::text"},
}
PER_PAYMENT = {
    "ledger": {
        "id": None,
        "user_id": "p.user_id",
        "payment_id": "CASE WHEN t.payment_id IS NOT NULL THEN p.id END",
        "subscription_id": "CASE WHEN t.subscription_id IS NOT NULL THEN p.user_id END",
    },
    "notices": {
        "id": None,
        "telegram_id": "10000000000 + p.user_id",
        "key": "t.key || p.id",
        "sent_at": "coalesce(t.sent_at, now())",
    },
}


def fill(subscribers: int, months: int) -> None:
    """Copies the first buyer's rows; ids from a million on are theirs."""
    first, last = 1_000_001, 1_000_000 + subscribers
    with db.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(text("SET LOCAL session_replication_role = replica"))
        template = session.scalar(text("SELECT min(user_id) FROM payments"))
        own = {
            "users": "id = :u",
            "subscriptions": "user_id = :u",
            "seats": "subscription_id = (SELECT id FROM subscriptions WHERE user_id = :u)",
            "payments": "user_id = :u",
            "ledger": "user_id = :u",
            "notices": "telegram_id = (SELECT telegram_id FROM users WHERE id = :u)",
        }
        for table, changed in COPIES.items():
            names, values = columns(session, table, changed)
            times = months if table == "payments" else 1
            session.execute(
                text(
                    f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {table} t,"  # noqa: S608
                    f" generate_series(:first, :last) n, generate_series(1, {times}) WHERE t.{own[table]}"
                ),
                {"u": template, "first": first, "last": last},
            )
        for table, changed in PER_PAYMENT.items():
            names, values = columns(session, table, changed)
            session.execute(
                text(
                    f"INSERT INTO {table} ({names}) SELECT {values} FROM payments p,"  # noqa: S608
                    f" (SELECT * FROM {table} WHERE {own[table]}) t WHERE p.user_id >= :first"
                ),
                {"u": template, "first": first},
            )
    with db.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.invalidate()


def columns(session: object, table: str, changed: dict[str, str | None]) -> tuple[str, str]:
    """The names of a table's columns and what a copy holds in each; what PostgreSQL makes by itself is left out."""
    found = session.scalars(  # type: ignore[attr-defined]
        text(
            "SELECT column_name FROM information_schema.columns WHERE table_name = :t AND is_generated = 'NEVER'"
            " AND table_schema = 'public' ORDER BY ordinal_position"
        ),
        {"t": table},
    ).all()
    kept = [name for name in found if changed.get(name, "") is not None]
    return ", ".join(kept), ", ".join(changed.get(name) or f"t.{name}" for name in kept)


def sizes(subscribers: int, months: int) -> None:
    """Rows and bytes of tables and indexes."""
    print(f"\n## {subscribers} subscribers, {months} payments each: rows, and bytes a row")
    print(f"{'':32}{'rows':>10}{'MB':>9}{'bytes/row':>11}")
    with db.transaction() as session:
        for table in TABLES:
            rows = session.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608
            heap = session.scalar(text("SELECT pg_table_size(CAST(:t AS text)::regclass)"), {"t": table})
            print(f"{table:32}{rows:>10}{heap / 1e6:>9.1f}{heap / rows:>11.0f}")
            found = session.execute(
                text(
                    "SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes"
                    " WHERE relname = :t ORDER BY 2 DESC"
                ),
                {"t": table},
            )
            for name, size in found:
                print(f"  {name:30}{'':>10}{size / 1e6:>9.1f}{size / rows:>11.0f}")
        print("whole database, MB:", round(session.scalar(text("SELECT pg_database_size(current_database())")) / 1e6))


def sweeps() -> None:
    """What the periodic work costs when there is nothing to do."""
    asked: dict[str, Callable[[], object]] = {
        "subscriptions.expire_due": subscriptions.expire_due,
        "billing.claim_open": billing.claim_open,
        "provisioning.dirty_servers": provisioning.dirty_servers,
        "placement.seat_waiting": lambda: placement.seat_waiting(clock.now()),
        "reminders.note_due": reminders.note_due,
        "figures.totals (/metrics)": figures.totals,
        "figures.unprovisioned (/metrics)": figures.unprovisioned,
        "figures.hinted (/metrics)": figures.hinted,
    }
    print("\n## Sweeps that find nothing (median of 5, ms)")
    for name, work in asked.items():
        times = []
        for _ in range(5):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        print(f"{name:28}{median(times) * 1000:8.1f}")


def xray(world: World) -> None:
    """Memory and time of an Xray with many users."""
    node = world.nodes[1]
    process = psutil.Process(node.process.pid)
    client = XrayClient(f"127.0.0.1:{node.grpc_port}", "vless-in")
    before, began = process.memory_info().rss, time.perf_counter()
    for start in range(0, USERS_IN_XRAY, 500):
        client.apply([Add(f"user_{n}", str(uuid4()), "") for n in range(start, start + 500)])
    added = time.perf_counter() - began
    began = time.perf_counter()
    client.users()
    listed, after = time.perf_counter() - began, process.memory_info().rss
    print(f"\n## An Xray with {USERS_IN_XRAY} users")
    print(
        f"memory before, after: {before / 1e6:.0f} MB, {after / 1e6:.0f} MB: {(after - before) / USERS_IN_XRAY:.0f} bytes a user"
    )
    print(
        f"added in {added:.1f} s ({USERS_IN_XRAY / added:.0f}/s); all listed, as an audit does, in {listed * 1000:.0f} ms"
    )


def queue(world: World) -> None:
    """Memory of messages that nobody takes."""
    from krotray_tasks import money  # noqa: PLC0415 - needs the settings made above

    with redis.Redis.from_url(world.redis.url) as client:
        before, began = client.info("memory")["used_memory"], time.perf_counter()
        for _ in range(MESSAGES):
            money.settle.enqueue(str(uuid4()))
        took, after = time.perf_counter() - began, client.info("memory")["used_memory"]
    print(f"\n## Redis: {MESSAGES} messages")
    print(f"{(after - before) / MESSAGES:.0f} bytes each; published {MESSAGES / took:.0f}/s by one thread")


if __name__ == "__main__":
    asked = [int(value) for value in sys.argv[1:]]
    main(*(asked + [100_000, 3][len(asked) :]))
