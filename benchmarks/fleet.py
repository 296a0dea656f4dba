"""Many at once: 10,000 who expire on five Xrays, 10,000 whose Xray has restarted, 30 servers of which 3 are dead."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import grpc
from sqlalchemy import text

from benchmarks import table, xray
from benchmarks.stage import PEOPLE, WATCH_SECONDS, Stage, add
from krotray_core import clock, db, health, servers
from krotray_core.xray import client
from krotray_core.xray.stubs import stats_pb2, stats_pb2_grpc
from krotray_tasks import access
from sandbox.process import wait_until
from sandbox.simulated_xray import SimulatedXray

LONGEST = 120
WATCHED, DEAD = 30, 3

_DIRTY = "SELECT count(*) FROM seats WHERE dirty"


def rows(stage: Stage) -> Iterator[table.Row]:
    """The lines about many at once."""
    with stage.service("worker", "beat"):
        yield from _expiry(stage)
        yield from _restart(stage)


def _expiry(stage: Stage) -> Iterator[table.Row]:
    nodes = [xray.stub(node.grpc_port) for node in stage.world.nodes]
    bare = [[(f"bare_{number}", str(uuid4())) for number in range(PEOPLE // len(nodes))] for _ in nodes]

    def removed() -> float:
        for node, people in zip(nodes, bare, strict=True):
            xray.pipelined(node, people)
        took = table.timed(
            lambda: [
                xray.pipelined(node, [email for email, _ in people]) for node, people in zip(nodes, bare, strict=True)
            ]
        )
        return PEOPLE / took

    def expired() -> float:
        seat_everybody(stage)
        with db.transaction() as session:
            over = "UPDATE subscriptions SET expires_at = now() - interval '1 second' WHERE token LIKE 'token-%'"
            session.execute(text(over))
        began = time.perf_counter()
        access.expire_due.enqueue()
        wait_until(lambda: _all_gone(stage), seconds=LONGEST, what="everybody to be gone", pause=0.05)
        return PEOPLE / (time.perf_counter() - began)

    ours, limit = table.in_turns(expired, removed)
    yield table.at_least("10,000 expire at once on 5 Xrays: gone and cut", ours, limit, 0.60)


def seat_everybody(stage: Stage, *, on: int | None = None) -> None:
    """All 10,000 have their seats again, confirmed, and are in Xray; all on one server, if its id is named."""
    with db.transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in (
            "UPDATE subscriptions SET status = 'active', expires_at = now() + interval '30 days' WHERE token LIKE 'token-%'",
            "UPDATE seats SET wanted = true, removed_at = NULL, gone_at = NULL, cut_off = false, leased_until = NULL,"
            " paused_until = NULL, attempts = 0, observed_generation = generation,"
            " server_id = coalesce(CAST(:only AS bigint), (CAST(:servers AS bigint[]))[1 + subscription_id % :many])"
            " WHERE subscription_id IN (SELECT id FROM subscriptions WHERE token LIKE 'token-%')",
            "DELETE FROM notices",
            "UPDATE servers SET active_users = (SELECT count(*) FROM seats WHERE server_id = servers.id AND wanted)",
        ):
            values = {"only": on, "servers": [server.id for server in stage.servers], "many": len(stage.servers)}
            session.execute(text(statement), values)
        seats = session.execute(
            text(
                "SELECT server_id, email, t.uuid::text FROM seats t JOIN subscriptions s ON s.id = t.subscription_id"
                " WHERE s.token LIKE 'token-%'"
            )
        ).all()
    with db.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE seats, subscriptions, notices"))
    for server in stage.servers:
        people = [(email, key) for server_id, email, key in seats if server_id == server.id]
        xray.pipelined(xray.stub(server.grpc_port), people, lenient=True)  # an audit may have been quicker
    expected = len(seats)

    def settled() -> bool:
        return not _dirty() and sum(_held(node.grpc_port) for node in stage.world.nodes) >= expected

    wait_until(settled, seconds=LONGEST, what="everybody to be in", pause=0.1)


def _all_gone(stage: Stage) -> bool:
    """No Xray holds one of the 10,000, and no seat waits: also the cut-off rules are written."""
    with db.transaction() as session:
        still = "SELECT count(*) FROM subscriptions WHERE status = 'active' AND token LIKE 'token-%'"
        if session.scalar(text(still)) or session.scalar(text(_DIRTY)):
            return False
        left = "SELECT count(*) FROM seats WHERE wanted"
        wanted = session.scalar(text(left))
    held = sum(xray.count(xray.stub(node.grpc_port)) for node in stage.world.nodes)
    rules = [client.XrayClient(f"127.0.0.1:{node.grpc_port}", xray.TAG).rules() for node in stage.world.nodes]
    return held == wanted and all(rules)


def _restart(stage: Stage) -> Iterator[table.Row]:
    node, server = stage.world.nodes[0], stage.servers[0]
    people = [(f"bare_{number}", str(uuid4())) for number in range(PEOPLE)]
    detection: list[float] = []

    def added() -> float:
        """On another one: this one's channel is to come back by itself."""
        other = xray.stub(stage.world.nodes[1].grpc_port)
        took = table.timed(lambda: xray.pipelined(other, people))
        xray.pipelined(other, [email for email, _ in people])
        return PEOPLE / took

    def back() -> float:
        node.crash()
        node.start()
        up = time.perf_counter()
        wait_until(
            lambda: _dirty() or _held(node.grpc_port) >= PEOPLE, seconds=LONGEST, what="to be noticed", pause=0.01
        )
        detected = time.perf_counter()
        detection.append(detected - up)
        wait_until(
            lambda: not _dirty() and _held(node.grpc_port) >= PEOPLE,
            seconds=LONGEST,
            what="everybody to be back",
            pause=0.05,
        )
        return PEOPLE / (time.perf_counter() - detected)

    before = clock.now() - timedelta(seconds=2)  # Xray says for how many whole seconds it has been up
    for other in stage.world.nodes:  # nobody is left over from before
        other.crash()
        other.start()
    seat_everybody(stage, on=server.id)
    wait_until(
        lambda: all(one.started_at and one.started_at > before for one in servers.everyone()),
        seconds=LONGEST,
        what="the five restarts to be seen",
        pause=0.1,
    )
    wait_until(lambda: not _dirty(), seconds=LONGEST, what="all servers to be up to date", pause=0.1)
    ours, limit = table.in_turns(back, added)
    yield table.at_least("10,000 users of one restarted Xray back, once it is detected", ours, limit, 0.60)
    yield table.Row(
        "its restart detected (WATCH_SECONDS=2)",
        *(f"{max(detection):.1f} s at most", f"{WATCH_SECONDS + 1} s", max(detection) / (WATCH_SECONDS + 1)),
        *("WATCH_SECONDS + 1", max(detection) <= WATCH_SECONDS + 1),
    )


def _dirty() -> int:
    with db.transaction() as session:
        return session.scalar(text(_DIRTY)) or 0


def _held(grpc_port: int) -> int:
    with contextlib.suppress(grpc.RpcError):
        return xray.count(xray.stub(grpc_port))
    return 0


def watching(stage: Stage) -> Iterator[table.Row]:
    """A look at 30 simulated servers, of which 3 are frozen: they accept and never answer. In a database of its own."""
    stage.use("watching")
    # The threads stay until the end: a child is tied to the life of the thread that has started it.
    pool = ThreadPoolExecutor(4)
    made = list(pool.map(lambda one: _simulated(stage, *one), enumerate(free_ports(WATCHED))))
    try:
        for node in made:
            add(node)
        health.watch()
        for node in made[:DEAD]:
            node.process.signal(signal.SIGSTOP)
        frozen = stats_pb2_grpc.StatsServiceStub(grpc.insecure_channel(f"127.0.0.1:{made[0].grpc_port}"))

        def deadline() -> None:
            with contextlib.suppress(grpc.RpcError):
                frozen.GetSysStats(stats_pb2.SysStatsRequest(), timeout=client.DEADLINE_SECONDS)

        ours, limit = table.in_turns(lambda: table.timed(health.watch), lambda: table.timed(deadline))
        up = sum(server.is_up is True for server in servers.everyone())
    finally:
        for node in made:
            node.crash()
        pool.shutdown()
    row = table.at_most("watching 30 servers, 3 of them dead", ours, limit, 1.2, "s", digits=2)
    if up != WATCHED - DEAD:
        raise RuntimeError(f"{up} of {WATCHED} servers were seen up")
    yield row


def _simulated(stage: Stage, number: int, grpc_port: int) -> SimulatedXray:
    return SimulatedXray(f"Sim{number}", stage.world.logs, grpc_port=grpc_port, vless_port=1)


def free_ports(many: int) -> list[int]:
    """So many free ones, no two the same: all are held before any is let go."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(many)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
