"""How many requests a second the web process answers, beside a bare view on the same gunicorn line. No worker runs meanwhile."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import redis
from sqlalchemy import text

from benchmarks import load, table
from benchmarks.load import Request
from benchmarks.stage import PEOPLE, Stage
from krotray_api import auth
from krotray_core import db
from sandbox.person import Person

SECONDS, CONNECTIONS = 3, 16
CROWDS = (16, 64, 256)
ASKERS = 200  # different people
PAYMENTS = 1000  # that webhooks speak of


def rows(stage: Stage) -> Iterator[table.Row]:
    """The lines about HTTP."""
    url = stage.world.web_url
    with stage.service("web"), stage.bare_web() as (bare, _):
        row = [Request(f"/row/{1 + number * 37 % 10_000}") for number in range(ASKERS)]
        people = [Person(stage.world, 10**10 + 1 + number * 41 % PEOPLE) for number in range(ASKERS)]
        login = [{auth.HEADER: person.init_data()} for person in people]
        for address, wanted in ((url, [Request("/api/me", headers=one) for one in login]), (bare, row)):
            load.shot(address, wanted, connections=CONNECTIONS, seconds=1)  # warm
        ours, limit = against(url, webhooks(), bare, hooks(), CONNECTIONS)
        yield line("webhook intake", ours, limit, 0.70)
        forget(stage)
        for path in ("/api/me", "/api/key"):
            ours, limit = against(url, [Request(path, headers=one) for one in login], bare, row, CONNECTIONS)
            yield line(f"`{path}`", ours, limit, 0.60)
        program = {"User-Agent": "v2rayNG/1.9.5"}
        tokens = [Request(f"/sub/token-{1 + number * 43 % PEOPLE}", headers=program) for number in range(ASKERS)]
        for crowd in CROWDS:
            ours, limit = against(url, tokens, bare, row, crowd)
            yield line(f"`/sub/<token>`, {crowd} connections", ours, limit, 0.60)
        (hello,) = table.in_turns(
            lambda: load.shot(bare, [Request("/hello")], connections=CONNECTIONS, seconds=SECONDS).rate, rounds=1
        )
        yield table.Row("(bare hello, for comparison)", "", f"{hello:,.0f}/s", None, "", None)


def against(
    url: str, wanted: list[Request], bare: str, limit: list[Request], connections: int
) -> tuple[list[load.Shot], list[load.Shot]]:
    """Shots at ours and at the bare one, in turns."""
    shots: tuple[list[load.Shot], list[load.Shot]] = [], []

    def shoot(number: int) -> float:
        url_, wanted_ = ((url, wanted), (bare, limit))[number]
        shots[number].append(load.shot(url_, wanted_, connections=connections, seconds=SECONDS))
        return shots[number][-1].rate

    table.in_turns(lambda: shoot(0), lambda: shoot(1))
    return shots


def line(what: str, ours: list[load.Shot], limit: list[load.Shot], share: float) -> table.Row:
    """Medians; whoever was refused or kept waiting for seconds is told, and means that the goal is not met."""
    rates = [sorted(shot.rate for shot in shots)[len(shots) // 2] for shots in (ours, limit)]
    made = table.at_least(what, *rates, share)
    p99 = [sorted(shot.p99 for shot in shots)[len(shots) // 2] * 1000 for shots in (ours, limit)]
    if sum(shot.bad for shot in limit):
        raise RuntimeError(f"{what}: the bare view did not answer all that it was asked")
    bad = sum(shot.bad for shot in ours)
    lost = f", {bad} lost" if bad else ""
    return table.Row(
        *(what, f"{made.ours}, p99 {p99[0]:.0f} ms{lost}", f"{made.limit}, p99 {p99[1]:.0f} ms"),
        *(made.ratio, made.goal, bool(made.met) and not bad),
    )


def webhooks() -> list[Request]:
    """Notifications about payments that wait to be paid."""
    with db.transaction() as session:
        session.execute(
            text(
                "INSERT INTO payments (id, user_id, external_id, status, plan_code, months, days, amount_kopecks, currency,"
                " method, request) SELECT gen_random_uuid(), u.id, gen_random_uuid()::text, 'pending', '1m', 1, 30, 10000,"
                " 'RUB', 'card', '{}' FROM (SELECT id FROM users ORDER BY id LIMIT :many) u"
            ),
            {"many": PAYMENTS},
        )
        known = session.execute(text("SELECT id, external_id FROM payments WHERE status = 'pending'")).all()
    return [notification(external_id, str(payment_id)) for payment_id, external_id in known]


def hooks() -> list[Request]:
    """As many for the bare view, of the same size."""
    return [
        Request("/hook", "POST", one.headers, one.body)
        for one in (notification(str(uuid.uuid4()), str(uuid.uuid4())) for _ in range(PAYMENTS))
    ]


def notification(external_id: str, payment_id: str) -> Request:
    """What YooKassa says when a payment has been paid."""
    thing = {
        "id": external_id,
        "status": "succeeded",
        "paid": True,
        "amount": {"value": "100.00", "currency": "RUB"},
        "metadata": {"payment_id": payment_id},
    }
    body = json.dumps({"type": "notification", "event": "payment.succeeded", "object": thing})
    return Request("/api/payments/webhook", "POST", {"Content-Type": "application/json"}, body)


def forget(stage: Stage) -> None:
    """Nobody has made these payments at YooKassa, and nobody is to work on the messages."""
    with redis.Redis.from_url(stage.world.redis.url) as client:
        client.flushdb()
    with db.transaction() as session:
        session.execute(text("DELETE FROM payments"))
        session.execute(text("TRUNCATE bare RESTART IDENTITY"))
        session.execute(text("INSERT INTO bare (data) SELECT md5(n::text) FROM generate_series(1, 10000) n"))
