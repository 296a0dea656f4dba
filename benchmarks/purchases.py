"""From YooKassa's webhook to the user in Xray: how many a second, and how long one takes while nothing else happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from statistics import median

import redis
import requests
from sqlalchemy import text

from benchmarks import load, table, web, xray
from benchmarks.bare import stamp
from benchmarks.stage import Stage
from krotray_core import checkout, db, users, yookassa
from krotray_core.models import Payment
from sandbox.process import wait_until

AT_ONCE, ALONE = 200, 34  # payments a round
ADDS = 1000
_people = count(1)


def rows(stage: Stage) -> Iterator[table.Row]:
    """The lines about purchases. YooKassa's own notifications are off: we send them, to know when."""
    hush = requests.post(f"{stage.world.yookassa_url}/sandbox/webhooks", json={"enabled": False}, timeout=5)
    hush.raise_for_status()
    bare = xray.stub(stage.world.nodes[0].grpc_port)
    url = stage.world.web_url
    with stage.service("web", "worker", "beat"):
        _settled(stage, url, 40)  # warm
        ours, limit = table.in_turns(lambda: _settled(stage, url, AT_ONCE), lambda: _added(bare))
        yield table.at_least("payments settled and provisioned", ours, limit, 0.12)
        _tell_nobody()
        with stage.bare_worker():
            taken: list[float] = []
            parts: list[float] = []
            table.in_turns(lambda: median(_alone(stage, url, taken)), lambda: _parts(stage, bare, parts))
    taken.sort()
    limit, p50, p99 = median(parts) * 1000, median(taken) * 1000, taken[int(len(taken) * 0.99)] * 1000
    yield table.at_most("webhook to user in Xray, idle, p50", p50, limit, 1.5, "ms")
    yield table.at_most("webhook to user in Xray, idle, p99", p99, limit, 4, "ms")


def _paid(stage: Stage, many: int) -> list[Payment]:
    """New people who have paid, and nobody has told us."""

    def one(number: int) -> Payment:
        user = users.greet(users.Person(2 * 10**10 + number, first_name="Анна", language_code="ru"))
        payment = checkout.start(user.id, "1m", "card")
        url = f"{stage.world.yookassa_url}/sandbox/payments/{payment.external_id}/pay"
        requests.post(url, json={}, timeout=10).raise_for_status()
        return payment

    numbers = [next(_people) for _ in range(many)]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, numbers))


def _settled(stage: Stage, url: str, many: int) -> float:
    """Payments a second, from the first webhook until the last user is in."""
    payments = _paid(stage, many)
    hints = [web.notification(payment.external_id or "", str(payment.id)) for payment in payments]
    user_ids = [payment.user_id for payment in payments]

    def all_in() -> bool:
        confirmed = text(
            "SELECT count(*) FROM seats t JOIN subscriptions s ON s.id = t.subscription_id"
            " WHERE s.user_id = ANY(:ids) AND t.wanted AND NOT t.dirty"
        )
        with db.transaction() as session:
            return session.scalar(confirmed, {"ids": user_ids}) == many

    began = time.perf_counter()
    bad = load.once(url, hints, connections=8)
    if bad:
        raise RuntimeError(f"{bad} webhooks were refused")
    wait_until(all_in, seconds=120, what="all payments to be settled and provisioned", pause=0.05)
    return many / (time.perf_counter() - began)


def _added(bare: object) -> float:
    """AddUser calls a second, while nobody is told anything."""
    _tell_nobody()
    return xray.one_at_a_time(bare, ADDS)  # type: ignore[arg-type]


def _tell_nobody() -> None:
    """At 25 messages a second it would take a minute until everybody knows, and idle means idle."""
    with db.transaction() as session:
        session.execute(text("DELETE FROM notices"))


def _alone(stage: Stage, url: str, taken: list[float]) -> list[float]:
    """Seconds from a webhook until the user is in, one after the other."""
    servers = {server.id: xray.stub(server.grpc_port) for server in stage.servers}
    mine: list[float] = []
    for payment in _paid(stage, ALONE):
        hint = [web.notification(payment.external_id or "", str(payment.id))]
        began = time.perf_counter()
        load.once(url, hint, connections=1)
        email, server_id = None, None
        while server_id is None:
            if time.perf_counter() - began > 30:
                raise RuntimeError("a payment was not settled")
            time.sleep(0.001)
            with db.transaction() as session:
                found = session.execute(
                    text(
                        "SELECT t.email, t.server_id FROM seats t JOIN subscriptions s ON s.id = t.subscription_id"
                        " WHERE s.user_id = :user"
                    ),
                    {"user": payment.user_id},
                ).one_or_none()
            if found:
                email, server_id = found
        while not xray.holds(servers[server_id], email):
            time.sleep(0.001)
        mine.append(time.perf_counter() - began)
        time.sleep(0.15)  # until the worker has told them: idle is idle
    taken += mine
    return mine


def _parts(stage: Stage, bare: object, sums: list[float]) -> float:
    """The parts of one purchase alone, added up: two messages until a worker has them, YooKassa's answer, four commits, one add."""
    (payment,) = _paid(stage, 1)
    mine = []
    with redis.Redis.from_url(stage.world.redis.url) as client:
        for number in range(ALONE):
            total = 2 * _message(client, f"stamp-{number}")
            total += table.timed(lambda: yookassa.fetch(payment.external_id or ""))
            total += table.timed(_four_commits)
            total += 1 / xray.one_at_a_time(bare, 1)  # type: ignore[arg-type]
            mine.append(total)
    sums += mine
    return median(mine)


def _message(client: redis.Redis, key: str) -> float:
    began = time.time()
    stamp.delay(key)
    answer = client.brpop([key], timeout=10)
    if answer is None:
        raise RuntimeError("the bare worker did not answer")
    return float(answer[1]) - began


def _four_commits() -> None:
    for _ in range(4):
        with db.engine().begin() as connection:
            connection.execute(text("INSERT INTO bare (data) VALUES ('x') RETURNING id"))
