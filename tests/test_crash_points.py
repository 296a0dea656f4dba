"""kill -9 between every two steps of every verb that handles money: whatever is left, the sweeps bring it to the one right end.

For each point (see `crash_kit.Point`) somebody's process dies there. When all are dead the sweeps run, for all of them
together, and then each one's payments, refunds, days and seat are compared with how it has to be, here and at YooKassa.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import requests
from sqlalchemy import func, select, text

from krotray_core import billing, clock, ledger_audit, refunds, subscriptions, yookassa
from krotray_core.db import transaction
from krotray_core.errors import Conflict
from krotray_core.models import Entry, Notice, Payment, Refund, Seat, Server, Subscription, User
from krotray_tasks import access, money
from krotray_tasks.base import CoreTask
from sandbox.process import wait_until
from sandbox.world import World
from tests.conftest import at_checkout, buy
from tests.crash_kit import Deathbed, Point, Victim, deaths
from tests.notices.kit import give
from tests.refund_kit import in_the_cabinet
from tests.seats_kit import dirty, held

HANDS = 4
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
PART = 40_00  # of 100 roubles, in kopecks: less than half, so that it could be given back twice
ALIVE = 2  # whose verb comes to its end
ROUNDS = 3  # of trying to die at a point
FEWEST = 100  # points of a verb

Sweep = Callable[..., None]
_ITS_SEAT = Seat.subscription_id == Subscription.id
_telegram_ids = itertools.count(2 * 10**9)


@dataclass(frozen=True)
class State:
    """How things stand for one person.

    A payment and a refund are told as they stand here, then as often as YooKassa has them as they stand there, each with the
    money that is in it.
    """

    payments: tuple[tuple[str, ...], ...] = ()
    refunds: tuple[tuple[str, ...], ...] = ()
    open: int = 0  # payments that we have to ask about, or a person has to
    days: timedelta = timedelta(0)  # given for money, less what was taken for money
    subscription: str = ""
    expiries: int = 0
    seats: int = 0
    told: tuple[str, ...] = ()


PAID = State(
    payments=(("succeeded 10000", "succeeded 10000"),),
    days=30 * DAY,
    subscription="active",
    seats=1,
    told=("paid", "key_coming"),
)
UNPAID = State(payments=(("canceled 10000", "canceled 10000"),), told=("payment_ran_out",))
PARTLY_BACK = replace(
    PAID,
    payments=(("succeeded 6000", "succeeded 6000"),),
    refunds=(("succeeded 4000", "succeeded 4000"),),
    days=18 * DAY,
    told=(*PAID.told, "refunded"),
)
ALL_BACK = State(
    payments=(("refunded 0", "succeeded 0"),),
    refunds=(("succeeded 10000", "succeeded 10000"),),
    subscription="expired",
    told=(*PAID.told, "refunded"),
)


@pytest.fixture(scope="module")
def bed(world: World) -> Iterator[Deathbed]:
    """Where they die."""
    assert world
    with Deathbed() as made:
        yield made


@pytest.fixture
def silent(fresh: World) -> World:
    """The world with a YooKassa of which we hear only what we ask: no webhook helps us."""
    control(fresh, "webhooks", enabled=False)
    return fresh


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, pass_time: Callable[[timedelta], None]) -> Sweep:
    """Two ticks of the sweeps, a minute apart; the messages about seats are lost, and `repair` has to find those."""
    monkeypatch.setattr(CoreTask, "enqueue", lambda task, *arguments, **_: task(*arguments))
    monkeypatch.setattr(money, "follow_up", lambda _servers: None)

    def run(after: timedelta = MINUTE) -> None:
        bury()
        for pause in (after, MINUTE):
            pass_time(pause)
            money.sweep_payments()
        access.expire_due()
        access.repair()
        access.place()

    return run


def control(world: World, what: str, **body: object) -> None:
    """Plays payer, bank, time or mischief at YooKassa."""
    requests.post(f"{world.yookassa_url}/sandbox/{what}", json=body, timeout=10).raise_for_status()


def bury() -> None:
    """Waits until PostgreSQL has noticed all deaths and undone what they left."""
    open_ones = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
    )

    def none() -> bool:
        with transaction() as session:
            return session.scalar(open_ones) == 0

    wait_until(none, seconds=10, what="PostgreSQL to notice that its clients are dead")


def crowd(count: int) -> list[User]:
    """Somebody new, many times."""
    people = [User(telegram_id=next(_telegram_ids), first_name="Анна") for _ in range(count)]
    with transaction() as session:
        session.add_all(people)
    return people


def each(work: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
    """Calls `work` for each row, a few at once."""
    with ThreadPoolExecutor(HANDS) as pool:
        return list(pool.map(work, *columns))


def die(
    bed: Deathbed, verb: str, prepare: Callable[[User], Sequence[Any]], people: Sequence[User] = ()
) -> dict[User, Point | None]:
    """One person for each point of the verb, whose process died there, after two for whom it came to its end (None).

    `prepare` brings a person up to where the verb begins, and returns its arguments. `people` are taken before anybody new.
    """
    waiting = iter([*people])

    def some(count: int) -> list[User]:
        known = list(itertools.islice(waiting, count))
        return known + crowd(count - len(known))

    alive = some(ALIVE)
    first, second = each(prepare, alive)
    bed.warm_up(verb, *first)
    points = bed.points(verb, *second)
    assert len(points) > FEWEST, "hardly anything was traced"
    left = deaths(points)
    ends: dict[User, Point | None] = dict.fromkeys(alive)
    for _ in range(ROUNDS):
        victims = some(len(left))
        died = bed.kill(verb, list(map(Victim, each(prepare, victims), left)))
        ends |= {user: point if dead else None for user, point, dead in zip(victims, left, died, strict=True)}
        left = [point for point, dead in zip(left, died, strict=True) if not dead]
    assert not left, "nobody came there"
    bury()
    print(f"{verb}: {len(points)} points, {len(ends) - ALIVE} tries")
    return ends


def states() -> dict[int, State]:
    """How things stand for each user, here and at YooKassa."""
    now = clock.now()
    theirs: defaultdict[str | None, list[str]] = defaultdict(list)
    for found in yookassa.payments_between(now - DAY, now + DAY):
        theirs[found.payment_id] += [f"{found.status} {found.amount_kopecks - found.refunded_kopecks}"]
    for found in yookassa.refunds_between(now - DAY, now + DAY):
        theirs[found.external_id] += [f"{found.status} {found.amount_kopecks}"]
    seen: defaultdict[int, State] = defaultdict(State)

    def see(user_id: int, **more: Any) -> None:
        seen[user_id] = replace(seen[user_id], **{name: getattr(seen[user_id], name) + it for name, it in more.items()})

    with transaction() as session:
        users = {user.telegram_id: user.id for user in session.scalars(select(User))}
        owners = {}
        for row in session.scalars(select(Payment).order_by(Payment.created_at)):
            ours = f"{row.status} {row.amount_kopecks - row.refunded_kopecks}"
            owners[row.id] = row.user_id
            see(row.user_id, payments=((ours, *theirs.pop(str(row.id), [])),))
            if row.hinted_at or row.flagged_at:
                see(row.user_id, open=1)
        for row in session.scalars(select(Refund).order_by(Refund.created_at)):
            ours = f"{row.status} {row.amount_kopecks}"
            see(owners[row.payment_id], refunds=((ours, *theirs.pop(row.external_id, [])),))
        for row in session.scalars(select(Entry).where(Entry.subject == "subscription")):
            if row.payment_id:
                see(row.user_id, days=row.ends_at - row.starts_at)
            if row.event == "expired":
                see(row.user_id, expiries=1)
        for subscription, seats in session.execute(
            select(Subscription, func.count(Seat.id)).outerjoin(Seat, Seat.wanted & _ITS_SEAT).group_by(Subscription.id)
        ):
            see(subscription.user_id, subscription=subscription.status, seats=seats)
        for row in session.scalars(select(Notice).order_by(Notice.id)):
            see(users[row.telegram_id], told=(row.kind,))
    assert not theirs, f"YooKassa has made what we know nothing of: {theirs}"
    return seen


def all_are(right: State, people: Mapping[User, Point | None]) -> None:
    """It has ended like this for these people, and what is counted in two places is the same in both."""
    seen = states()
    wrong = {point or user.id: seen[user.id] for user, point in people.items() if seen[user.id] != right}
    assert not wrong, f"{len(wrong)} of {len(people)} did not end with {right}"
    assert ledger_audit.verify().faults == ()
    assert dirty() == 0
    with transaction() as session:
        for server in session.scalars(select(Server)).all():
            wanted = session.scalars(select(Seat.email).where(Seat.wanted, Seat.server_id == server.id)).all()
            assert server.active_users == len(wanted)
            assert held(server).keys() & set(session.scalars(select(Seat.email))) == set(wanted), "on the Xray server"


def paid(world: World, user: User) -> Payment:
    """A payment at YooKassa that has been paid, which we do not know yet."""
    payment = buy(user)
    at_checkout(world, payment)
    return payment


def counted(world: World, user: User) -> Payment:
    """The payment of this user that has counted; a new one if there is none."""
    with transaction() as session:
        payment = session.scalar(select(Payment).where(Payment.user_id == user.id))
    return payment or billing.settle(paid(world, user).id).payment


@pytest.mark.usefixtures("fleet")
def test_making_a_payment(silent: World, bed: Deathbed, sweep: Sweep) -> None:
    """A quarter each: asks again at once or when the sweep has been there, then pays or does not.

    Neighbouring points leave the same behind, so each of the four follows each kind of death.
    """
    people = die(bed, "start", lambda user: (user.id, "1m", "card"))
    at_once, later = [*people][::2], [*people][1::2]
    payments = each(buy, at_once)
    sweep()
    assert all(payment.confirmation_url for payment in billing.latest(limit=len(people)))
    payments += each(buy, later)
    assert all(payment.confirmation_url for payment in payments)
    payers = [payment for number, payment in enumerate(payments) if number % 4 < 2]
    each(lambda payment: at_checkout(silent, payment), payers)
    control(silent, "clock", advance_seconds=7200)
    sweep(timedelta(hours=2))
    paying = {payment.user_id for payment in payers}
    all_are(PAID, {user: point for user, point in people.items() if user.id in paying})
    all_are(UNPAID, {user: point for user, point in people.items() if user.id not in paying})


@pytest.mark.usefixtures("fleet")
def test_settling_the_first_payment_and_refunding_a_part_of_it(silent: World, bed: Deathbed, sweep: Sweep) -> None:
    """The admin whose refund was killed looks whether there is one, and starts it again only if there is none."""
    people = die(bed, "settle", lambda user: (str(paid(silent, user).id),))
    sweep()
    all_are(PAID, people)

    people = die(bed, "refund", lambda user: (str(counted(silent, user).id), PART), [*people])

    def try_again(user: User) -> None:
        payment = counted(silent, user)
        begun = refunds.of_payment(payment.id)
        if not begun:
            refunds.start(payment.id, PART)
        elif begun[0].status == "pending":
            with pytest.raises(Conflict):
                refunds.start(payment.id, PART)

    each(try_again, [*people])
    sweep()
    all_are(PARTLY_BACK, people)


@pytest.mark.usefixtures("fleet")
def test_settling_a_renewal_and_settling_again_when_the_cabinet_has_refunded_it(
    silent: World, bed: Deathbed, sweep: Sweep
) -> None:
    def renew(user: User) -> tuple[str]:
        give(user, 7)
        return (str(paid(silent, user).id),)

    people = die(bed, "settle", renew)
    sweep()
    all_are(PAID, people)

    def give_back(user: User) -> tuple[str]:
        payment = counted(silent, user)
        subscriptions.set_expiry(user.telegram_id, clock.now() + 29 * DAY)  # fewer than will be taken
        in_the_cabinet(payment, "100.00")
        billing.note_hint(payment.external_id or "", "refund.succeeded")
        return (str(payment.id),)

    people = die(bed, "settle", give_back, [*people])
    sweep()
    all_are(ALL_BACK, people)


@pytest.mark.usefixtures("alone")
def test_running_out(bed: Deathbed, sweep: Sweep) -> None:
    """One after the other, for whoever is due is everybody's work; on one server, for each takes a statement of its own."""

    def run_out(user: User) -> None:
        give(user, 1)
        subscriptions.set_expiry(user.telegram_id, clock.now() - MINUTE)

    people: dict[User, Point | None] = dict.fromkeys(crowd(ALIVE))
    for user, work in zip(people, (bed.warm_up, bed.points), strict=True):
        run_out(user)
        points = work("expire")
    assert len(points or ()) > FEWEST / 5, "hardly anything was traced"
    ends = deaths(points)
    print(f"expire: {len(points)} points, {len(ends)} tried")
    for user, point in zip(crowd(len(ends)), ends, strict=True):
        run_out(user)
        assert bed.kill("expire", [Victim((), point)]) == [True]
        people[user] = point
    sweep()
    all_are(State(subscription="expired", expiries=1, told=("ended", "ended_yesterday")), people)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(("when", "then"), [("before", "close"), ("before", "go_on"), ("after", "close")])
def test_waiting_for_yookassas_answer(silent: World, bed: Deathbed, sweep: Sweep, when: str, then: str) -> None:
    """Each request gets no answer; it is never done, done after the death, or was done before. Then the process is killed."""
    (user,) = crowd(1)

    def die_waiting(operation: str, verb: str, *arguments: Any) -> None:
        control(silent, "faults", operation=operation, kind="hang", when=when, then=then)
        pid = bed.begin(verb, *arguments)
        hangs = requests.get(f"{silent.yookassa_url}/sandbox/faults?wait=20", timeout=30).json()
        assert hangs["hanging"] == 1
        bed.kill_now(pid)
        bury()
        control(silent, "faults/release")
        control(silent, "faults/clear")

    die_waiting("POST /v3/payments", "start", user.id, "1m", "card")
    if then == "go_on":
        wait_until(lambda: asked_for(silent), seconds=10, what="the dead process's payment")
    sweep()
    payment = buy(user)
    at_checkout(silent, payment)
    die_waiting("GET /v3/payments/{id}", "settle", str(payment.id))
    sweep()
    all_are(PAID, {user: None})
    die_waiting("POST /v3/refunds", "refund", str(payment.id), PART)
    with pytest.raises(Conflict):
        refunds.start(payment.id, PART)
    sweep()
    all_are(PARTLY_BACK, {user: None})


def asked_for(world: World) -> bool:
    """Whether YooKassa has made a payment."""
    assert world
    now = clock.now()
    return any(yookassa.payments_between(now - DAY, now + DAY))
