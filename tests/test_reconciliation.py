"""Reconciliation: what YooKassa and we do not agree on is found, set right where that is safe, and told where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import requests
from sqlalchemy import delete, select, update

from krotray_core import billing, clock, reconciliation, refunds, settings, yookassa
from krotray_core.db import transaction
from krotray_core.errors import GatewayUnavailable, GatewayUnreadable
from krotray_core.models import Lease, Notice, Payment, User
from krotray_core.reconciliation import Report
from sandbox.world import World
from tests.conftest import at_checkout, at_once, believe_dead, buy, new_user
from tests.refund_kit import arm, in_the_cabinet, paid
from tests.test_billing import about, days_of

pytestmark = pytest.mark.usefixtures("fleet")


def compared() -> Report:
    """All of the last hour and what is being made now."""
    return reconciliation.compare(clock.now() - timedelta(hours=1), clock.now() + timedelta(minutes=1))


def found(report: Report) -> list[tuple[str, bool]]:
    """Which differences, and whether they are gone."""
    return [(one.what, one.repaired) for one in report.differences]


def test_where_all_is_well_nothing_is_found(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    refunds.start(payment.id, 30_00)
    buy(user, "3m")
    lost = buy(new_user())
    at_checkout(fresh, lost, "cancel", reason="card_expired")
    billing.settle(lost.id)
    report = compared()
    assert (report.payments, report.refunds, report.incomplete) == (3, 1, None)
    assert found(report) == []


def test_a_success_that_nobody_told_us_of_counts(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    believe_dead(payment)  # so that the sweep does not ask either
    report = compared()
    assert found(report) == [("state", True)]
    assert len(report.servers) == 1
    assert days_of(user) == about(30)
    assert found(compared()) == []


def test_a_refund_that_nobody_told_us_of_takes_its_days(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    in_the_cabinet(payment, "50.00")
    assert [repaired for _, repaired in found(compared())] == [True]
    assert days_of(user) == about(15)
    assert found(compared()) == []


def test_a_refund_is_found_by_itself_where_its_payment_is_too_old(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    since = clock.now() + timedelta(seconds=1)
    advance(fresh, 2)
    in_the_cabinet(payment, "50.00")
    report = reconciliation.compare(since, since + timedelta(minutes=5))
    assert (report.payments, report.refunds) == (0, 1)
    assert found(report) == [("refund", True)]
    assert days_of(user) == about(15)


def test_a_failed_refund_is_learnt_of(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    arm(fresh, operation="refund", kind="pending")
    refund = refunds.start(payment.id).refund
    url = f"{fresh.yookassa_url}/sandbox/refunds/{refund.external_id}/cancel"
    requests.post(url, json={"reason": "insufficient_funds"}, timeout=5).raise_for_status()
    assert found(compared()) == [("refund", True)]
    assert refunds.find(refund.id).status == "canceled"


def test_a_payment_whose_creation_we_never_heard_of_gets_its_id(fresh: World, user: User) -> None:
    arm(fresh, operation="POST /v3/payments", kind="drop", when="after")
    with pytest.raises(GatewayUnavailable):
        buy(user)
    assert found(compared()) == [("external id", True)]
    assert billing.latest()[0].external_id


def test_money_that_is_not_from_here_is_reported_and_left_alone(fresh: World) -> None:
    body = {
        "amount": {"value": "10.00", "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": "https://example.com"},
    }
    for metadata in ({}, {"payment_id": str(uuid4())}, {"payment_id": "x"}):
        made = yookassa.create(body | {"metadata": metadata}, str(uuid4()))
        at_checkout(fresh, Payment(external_id=made.external_id))
    yookassa.create(body, str(uuid4()))  # nobody has paid this one: it is nobody's business
    assert found(compared()) == [("unknown here", False)] * 3


def test_another_amount_is_reported(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    at_checkout(fresh, payment, "tamper", amount="1.00")
    report = compared()
    assert found(report) == [("amount", False)]
    assert (report.open[0].ours, report.open[0].theirs) == ("pending 100.00 RUB", "succeeded 1.00 RUB")
    assert days_of(user) == 0


def test_paid_a_second_time_is_reported(fresh: World, user: User) -> None:
    payment = paid(fresh, user)
    twin = yookassa.create(payment.request | {"description": "by hand"}, str(uuid4()))
    assert found(compared()) == []
    at_checkout(fresh, Payment(external_id=twin.external_id))
    assert found(compared()) == [("paid a second time", False)]
    assert billing.find(payment.id).flag_reason


def test_what_yookassa_does_not_have_is_reported(fresh: World, user: User) -> None:
    refunds.start(paid(fresh, user).id, 10_00)
    requests.post(f"{fresh.yookassa_url}/sandbox/reset", timeout=5).raise_for_status()
    assert found(compared()) == [("unknown there", False)] * 2


def test_a_payment_at_the_edge_of_the_list_is_asked_for_itself(fresh: World, user: User) -> None:
    """Made here before the end of the window and there after it."""
    advance(fresh, 300)
    payment = buy(user)
    at_checkout(fresh, payment)
    report = reconciliation.compare(clock.now() - timedelta(hours=1), clock.now() + timedelta(minutes=1))
    assert report.payments == 0
    assert found(report) == [("state", True)]


def advance(world: World, seconds: float) -> None:
    """Moves YooKassa's clock."""
    requests.post(
        f"{world.yookassa_url}/sandbox/clock", json={"advance_seconds": seconds}, timeout=5
    ).raise_for_status()


def test_a_list_that_cannot_be_read_to_its_end_says_so(fresh: World, user: User) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    arm(fresh, operation="GET /v3/refunds", kind="502", when="before", times=1)
    report = compared()
    assert report.incomplete
    assert found(report) == [("state", True)], "what could be read is set right"


@pytest.fixture
def admins(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is somebody to tell."""
    wanted = settings.get().model_copy(update={"admin_telegram_ids": (77,)})
    monkeypatch.setattr(settings, "get", lambda: wanted)


@pytest.mark.usefixtures("admins")
def test_once_a_day_by_one_of_many(fresh: World, user: User, pass_time: Callable[[timedelta], None]) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    at_checkout(fresh, payment, "tamper", amount="1.00")
    pass_time(timedelta(minutes=2))
    reports = at_once(4, lambda _: reconciliation.daily())
    assert len([report for report in reports if report]) == 1
    assert reconciliation.daily() is None
    assert [notice.telegram_id for notice in told()] == [77]
    assert "1.00" in told()[0].data["lines"][0]


def told() -> list[Notice]:
    """The reports that wait to be sent."""
    with transaction() as session:
        return list(session.scalars(select(Notice).where(Notice.kind == "reconciliation")))


@pytest.mark.usefixtures("admins")
def test_a_day_on_which_yookassa_was_away_is_made_up_for(
    fresh: World, user: User, pass_time: Callable[[timedelta], None]
) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    pass_time(timedelta(minutes=2))
    arm(fresh, operation="GET /v3/payments", kind="500", when="before", times=1)
    report = reconciliation.daily()
    assert report
    assert report.incomplete
    again = reconciliation.daily()
    assert again
    assert again.incomplete is None
    assert billing.find(payment.id).status == "succeeded"


def test_a_run_that_dies_is_taken_up_by_the_next(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh

    class _DiedError(BaseException):
        pass

    def die(*_: object) -> None:
        raise _DiedError

    monkeypatch.setattr(reconciliation, "compare", die)
    with pytest.raises(_DiedError):
        reconciliation.daily()
    monkeypatch.undo()
    assert reconciliation.daily()


def test_who_pays_while_the_list_is_being_read_is_no_difference(
    fresh: World, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = buy(user)
    refunded = paid(fresh, new_user())
    real = yookassa.payments_between

    def slow(since: datetime, until: datetime) -> Iterator[yookassa.Found]:
        listed = list(real(since, until))
        at_checkout(fresh, payment)
        billing.settle(payment.id)
        refunds.start(refunded.id)
        yield from listed

    monkeypatch.setattr(yookassa, "payments_between", slow)
    assert found(compared()) == []


@pytest.mark.usefixtures("admins")
def test_what_can_never_be_read_is_told_once_and_stops_nothing(
    fresh: World, user: User, monkeypatch: pytest.MonkeyPatch, pass_time: Callable[[timedelta], None]
) -> None:
    payment = buy(user)
    at_checkout(fresh, payment)
    pass_time(timedelta(minutes=2))
    real = yookassa.payments_between

    def spoilt(since: datetime, until: datetime) -> Iterator[yookassa.Found]:
        yield from real(since, until)
        raise GatewayUnreadable("one cannot be read")

    monkeypatch.setattr(yookassa, "payments_between", spoilt)
    assert reconciliation.daily()
    assert reconciliation.daily() is None
    assert billing.find(payment.id).status == "succeeded"
    assert len(told()) == 1


@pytest.mark.usefixtures("admins")
def test_what_is_found_later_on_the_same_day_is_told_too(
    fresh: World, pass_time: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        payment = buy(new_user())
        at_checkout(fresh, payment)
        at_checkout(fresh, payment, "tamper", amount="1.00")
        pass_time(timedelta(minutes=2))
        reconciliation.daily()
        with transaction() as session:
            session.execute(delete(Lease))
    assert monkeypatch
    assert [len(notice.data["lines"]) for notice in told()] == [1, 2]


def test_it_looks_back_to_the_last_run_that_came_to_its_end(
    fresh: World, pass_time: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fresh
    asked: list[timedelta] = []
    real = reconciliation.compare

    def noted(since: datetime) -> Report:
        asked.append(clock.now() - since)
        return real(since)

    monkeypatch.setattr(reconciliation, "compare", noted)
    for days in (0, 1, 9):
        pass_time(timedelta(days=days))
        assert reconciliation.daily()
        with transaction() as session:
            session.execute(delete(Lease))  # whose time is PostgreSQL's
    assert [about.days for about in asked] == [3, 3, 11]


def test_more_than_a_page(fresh: World) -> None:
    payments = [buy(new_user()) for _ in range(105)]
    for payment in payments[::20]:
        at_checkout(fresh, payment)
    with transaction() as session:
        session.execute(update(Payment).values(next_check_at=clock.now() + timedelta(days=1)))
    report = compared()
    assert report.payments == 105
    assert found(report) == [("state", True)] * 6
