"""How many statements the busiest ways through the house send: whoever adds one has to say so here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from krotray_api import auth
from krotray_core import billing, cabinet, db, leases, placement, provisioning, subscriptions, users
from krotray_core.models import Server, User
from sandbox.person import Person
from sandbox.world import World
from tests.conftest import at_checkout, buy, converge_all, new_user

# The payment, read and then locked; its new state, in the ledger too; the counters; the subscription, looked for and made; the
# ledger; the seats; who else waits; a place on a server between SAVEPOINT and RELEASE; the seat;
# who reads the two notices, and both of them in one.
SETTLE_FIRST = 16
# The same for somebody who has a seat: neither a place nor a chair, and the period of their traffic begins anew.
SETTLE_AGAIN = 12
# The server; the claim; the seats, locked; the counters; who is in; and a second claim, which finds nobody.
CONVERGE_ADDS = 6
# The same without counters, and for the cut-off rule: its lease, its e-mails, its lease's end.
CONVERGE_REMOVALS = 8
# What a page of the Mini App or a VPN program reads.
ME = KEY = SUB = 1
# The hint itself.
WEBHOOK = 1
# Statements that a test sends seven times: what a page, a VPN program and a webhook ask for, and a lease.
SEVEN_TIMES = (
    *("cabinet by id", "cabinet by telegram_id", "cabinet by token"),
    *("hint unless succeeded or refunded", "lease taken"),
)
# After a purchase: does anybody wait, or is stuck?
NOBODY_TO_PLACE = 1


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is sent to the database meanwhile; a statement that is planned once is there twice that time."""
    sent: list[str] = []
    dialect = db.engine().dialect  # through which all must pass, also what is prepared

    def noting(execute: Callable[..., Any]) -> Callable[..., Any]:
        def noted(cursor: object, statement: str, *arguments: Any, **options: Any) -> Any:
            sent.append(statement)
            return execute(cursor, statement, *arguments, **options)

        return noted

    with pytest.MonkeyPatch.context() as patches:
        for name in ("do_execute", "do_executemany", "do_execute_no_params"):
            patches.setattr(dialect, name, noting(getattr(dialect, name)))
        yield sent


@contextmanager
def asked() -> Iterator[list[str]]:
    """The same without what is planned, which is once for each connection."""
    found: list[str] = []
    with statements() as sent:
        yield found
    found += [one for one in sent if not one.startswith("PREPARE")]


def many(sent: list[str]) -> str:
    """For the message of a test that fails."""
    return "\n\n".join(f"{number}: {' '.join(one.split())[:160]}" for number, one in enumerate(sent, 1))


@pytest.mark.usefixtures("fleet")
def test_a_settled_payment(fresh: World, user: User) -> None:
    for expected in (SETTLE_FIRST, SETTLE_AGAIN):
        payment = buy(user, "1m" if expected == SETTLE_FIRST else "3m")
        at_checkout(fresh, payment)
        with asked() as sent:
            assert billing.settle(payment.id).payment.status == "succeeded"
        assert len(sent) == expected, many(sent)
        converge_all()
    with asked() as sent:
        assert not placement.anybody_to_place()
    assert len(sent) == NOBODY_TO_PLACE


def test_a_batch_of_converge_whatever_its_size(alone: Server, pass_time: Callable[[timedelta], None]) -> None:
    for people in (1, 40):
        for telegram_id in [new_user().telegram_id for _ in range(people)]:
            subscriptions.grant(telegram_id, 5)
        with asked() as sent:
            assert provisioning.converge(alone.id).confirmed == people
        assert len(sent) == CONVERGE_ADDS, many(sent)
    pass_time(timedelta(days=6))
    assert subscriptions.expire_due()[0] == 41
    with asked() as sent:
        assert provisioning.converge(alone.id).confirmed == 41
    assert len(sent) == CONVERGE_REMOVALS, many(sent)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(("path", "expected"), [("/api/me", ME), ("/api/key", KEY), ("/sub/", SUB)])
def test_what_is_read(client: FlaskClient, person: Person, path: str, expected: int) -> None:
    headers = {auth.HEADER: person.init_data(), "User-Agent": "v2rayNG/1.9.5"}
    assert client.get("/api/me", headers=headers).status_code == 200
    subscriptions.grant(person.telegram_id, 5)
    converge_all()
    if path == "/sub/":
        with db.transaction() as session:
            path += str(session.scalar(text("SELECT token FROM subscriptions")))
    client.get(path, headers=headers)  # the first fetch is written down
    with asked() as sent:
        assert client.get(path, headers=headers).status_code == 200
    assert len(sent) == expected, many(sent)


def test_a_webhook(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    with asked() as sent:
        assert billing.note_hint(payment.external_id or "", "payment.succeeded").look == payment.id
    assert len(sent) == WEBHOOK, many(sent)
    assert cabinet.of_user(user.id).payment_id == payment.id


def test_the_cabinet_is_planned_once_for_each_connection(user: User) -> None:
    def prepared() -> int:
        with statements() as sent:
            for _ in range(4):
                assert cabinet.of_user(user.id).state == "no_subscription"
        assert sum(one.startswith("EXECUTE") for one in sent) == 4
        return sum(one.startswith("PREPARE") for one in sent)

    db.engine().dispose()
    assert prepared() == 1
    assert prepared() == 0
    db.engine().dispose()  # as after an outage
    assert prepared() == 1
    with db.transaction() as session:  # a migration that adds something
        session.execute(text("ALTER TABLE users ADD COLUMN colour text"))
    assert prepared() == 0
    with db.transaction() as session:
        session.execute(text("ALTER TABLE users DROP COLUMN colour"))
    assert prepared() == 0


@pytest.mark.usefixtures("fleet")
def test_what_is_sent_most_often_is_run_by_a_plan_that_is_kept(fresh: World, user: User) -> None:
    """PostgreSQL plans the first five anew, and would go on with that if it thought the kept plan dearer, here on small tables."""
    payment = buy(user)
    subscriptions.grant(user.telegram_id, 5)
    converge_all()
    with db.transaction() as session:
        token = session.scalar(text("SELECT token FROM subscriptions"))
    db.engine().dispose()
    for _ in range(7):
        assert cabinet.of_user(user.id).payment_id == payment.id
        assert cabinet.of_person(users.Person(user.telegram_id, first_name="Анна"))[1].state == "active"
        assert cabinet.of_token(token)
        assert billing.note_hint(payment.external_id or "", "payment.succeeded", payment.id).look == payment.id
        assert leases.take("queries", "one", timedelta(minutes=1))
    with db.transaction() as session:
        kept = session.execute(text("SELECT name, generic_plans FROM pg_prepared_statements")).all()
    assert fresh
    seven = {name: plans > 0 for name, plans in kept if name in SEVEN_TIMES}
    assert seven == dict.fromkeys(SEVEN_TIMES, True)
