"""What the state machine over money is made of: a YooKassa whose time stands still, a way to die anywhere, a book of its own."""

from __future__ import annotations

import ast
import contextlib
import contextvars
import copy
import functools
import gc
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from uuid import UUID

import pytest
from celery import Task

from krotray_api import limits
from krotray_core import (
    asking,
    billing,
    checkout,
    clock,
    db,
    ledger,
    placement,
    reconciliation,
    refunds,
    settings,
    subscriptions,
    yookassa,
)
from krotray_core.yookassa import client
from krotray_tasks import access, money
from sandbox.serving import listen, serve_on
from sandbox.yookassa import Config, create_app
from sandbox.yookassa.api import OPERATIONS
from sandbox.yookassa.core import Sandbox
from sandbox.yookassa.faults import parse
from sandbox.yookassa.incoming import RefundRequest
from sandbox.yookassa.outbox import notification
from sandbox.yookassa.payer import NotPayableError
from sandbox.yookassa.records import PaymentRecord

START = datetime(2031, 3, 1, 12, tzinfo=UTC)
MOST_APART = timedelta(minutes=10)


class Bank:
    """YooKassa in this process: the real HTTP doors for our client, and its insides for whoever plays payer, bank and time.

    Both clocks stand still unless they are moved, so that a step takes no time and means the same whenever it is repeated.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.ours = self.theirs = START
        self.told: list[dict[str, Any]] = []
        """Bodies of all notifications so far."""
        self.messages: list[tuple[Task, tuple[str, ...]]] = []
        """What was put into the queue."""
        self.broker_is_up = True
        self.after_request: Callable[[str], None] = lambda _path: None
        sandbox.clock.now = lambda: self.theirs  # type: ignore[method-assign]
        sandbox.outbox.add = lambda event, wire: self.told.append(notification(event, copy.deepcopy(wire)))  # type: ignore[method-assign]

    def reset(self) -> None:
        """As new."""
        self.sandbox.reset()
        self.ours = self.theirs = START
        self.told, self.messages, self.broker_is_up, self.after_request = [], [], True, lambda _path: None

    def pass_time(self, ours: timedelta, theirs: timedelta | None = None) -> None:
        """Moves the clocks on; they stay minutes apart at most."""
        self.ours += ours
        self.theirs += ours if theirs is None else theirs
        self.theirs = max(self.theirs, self.ours - MOST_APART)
        self.ours = max(self.ours, self.theirs - MOST_APART)
        self.sandbox.payments.expire_due()

    def payments(self) -> list[PaymentRecord]:
        """All payments at YooKassa, oldest first."""
        return self.sandbox.payments.records()[::-1]

    def refunds(self) -> list[dict[str, Any]]:
        """All refunds at YooKassa, oldest first."""
        return self.sandbox.refunds.all()[::-1]

    def at_the_till(self, record: PaymentRecord, what: str) -> None:
        """The payer does something, if it is still possible."""
        payer = self.sandbox.payer
        deeds = {"pays": payer.pay, "declined": payer.decline, "fails": payer.fail}
        reasons = () if what == "pays" else ("insufficient_funds",)
        with contextlib.suppress(NotPayableError):
            deeds[what](record.id, *reasons)

    def give_back(self, record: PaymentRecord, part: Decimal, outcome: str) -> None:
        """Somebody refunds a part of what is left in YooKassa's cabinet."""
        left = (
            record.amount
            - record.refunded
            - sum(
                (
                    Decimal(one["amount"]["value"])
                    for one in self.refunds()
                    if one["payment_id"] == record.id and one["status"] == "pending"
                ),
                Decimal(),
            )
        )
        amount = (left * part).quantize(Decimal("0.01"))
        if record.status == "succeeded" and amount > 0:
            with self.next_refund(outcome):
                self.sandbox.refunds.create(RefundRequest(record.id, amount, None, None))

    @contextlib.contextmanager
    def next_refund(self, outcome: str) -> Iterator[None]:
        """The bank's answer to a refund that is made inside: succeeded, pending or canceled."""
        armed = None
        if outcome != "succeeded":
            armed = self.sandbox.faults.arm(parse({"operation": "refund", "kind": outcome}, ()))["id"]
        try:
            yield
        finally:
            if armed is not None:
                self.sandbox.faults.clear(armed)

    @contextlib.contextmanager
    def answer_lost(self, operation: str, how: str | None) -> Iterator[None]:
        """The answer to the first such request inside does not arrive."""
        armed = None
        if how is not None:
            armed = self.break_next({"operation": operation, "kind": how, "when": "after"})
        try:
            yield
        finally:
            if armed is not None:
                self.sandbox.faults.clear(armed)

    def break_next(self, fault: dict[str, Any]) -> int:
        """The next request that the fault is about goes wrong; the fault's id."""
        return int(self.sandbox.faults.arm(parse(fault, [operation.name for operation in OPERATIONS]))["id"])


@contextlib.contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """A bank that this process takes for YooKassa, with our clock in its hands and the queue in a list."""
    s = settings.get()
    secret = s.yookassa_secret_key.get_secret_value()
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = create_app(Config(shop_id=s.yookassa_shop_id, secret_key=secret, public_url=url))
    sandbox: Sandbox = app.extensions["yookassa_sandbox"]
    sandbox.courier.stop()  # what it would send is delivered by the machine
    bank = Bank(sandbox)
    server = serve_on(listening, app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    ours = client.Client(f"{url}/v3", s.yookassa_shop_id, secret)
    monkeypatch.setattr(ours, "request", functools.partial(_request, bank, ours.request))
    monkeypatch.setattr(yookassa, "_client", lambda: ours)
    monkeypatch.setattr(clock, "now", lambda: bank.ours)
    monkeypatch.setattr(limits.limiter, "enabled", False)  # it goes by the real time
    monkeypatch.setattr(access.converge, "enqueue", lambda *_: True)
    for task in vars(money).values():
        if isinstance(task, Task):
            monkeypatch.setattr(task, "enqueue", functools.partial(_enqueue, bank, task))
    try:
        yield bank
    finally:
        ours._session.close()
        server.shutdown()
        thread.join()
        server.server_close()
        sandbox.close()


def _request(bank: Bank, real: Callable[..., Any], method: str, path: str, *args: Any, **options: Any) -> Any:
    """A request of ours; whatever is to happen before its answer is used happens then."""
    try:
        return real(method, path, *args, **options)
    finally:
        bank.after_request(path)


def _enqueue(bank: Bank, task: Task, *args: str, **_: object) -> bool:
    assert not db.in_transaction()
    if bank.broker_is_up:
        bank.messages.append((task, args))
    return bank.broker_is_up


class Killed(BaseException):
    """The process ends here."""


class Killer:
    """Ends the process at the nth step of the code about money: before a statement, or on the way back out of a function.

    Once only, over all that is run under it; without a number never.
    """

    FILES = frozenset(
        module.__file__
        for module in (
            asking,
            billing,
            checkout,
            ledger,
            placement,
            reconciliation,
            refunds,
            subscriptions,
            yookassa,
            money,
        )
    )

    def __init__(self, at: int | None = None) -> None:
        self.left = at
        self.asleep = False
        self.has_struck = False

    def run(self, verb: Callable[[], Any]) -> Any:
        """Calls the verb as a process of its own would. Raises Killed when that has come to its end."""
        return contextvars.copy_context().run(self._run, verb)

    def _run(self, verb: Callable[[], Any]) -> Any:
        if self.left is None:
            return verb()
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return verb()
        except Killed:
            self.has_struck = True
        finally:
            sys.settrace(before)
        # Some of its frames may have been left without their farewells; what they held is let go of here, as by the kernel.
        if db.engine().pool.checkedout():
            gc.collect()
        raise Killed

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Any:
        return self._step if not self.asleep and _is_ours(frame.f_code) else None

    def _step(self, frame: FrameType, event: str, _arg: object) -> Any:
        is_step = event == "return" or (event == "line" and frame.f_lineno in _statements(frame.f_code.co_filename))
        if is_step and not self.asleep and self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Killed
        return self._step

    @contextlib.contextmanager
    def sleeping(self) -> Iterator[None]:
        """What others do meanwhile is not its affair."""
        before, self.asleep = self.asleep, True
        try:
            yield
        finally:
            self.asleep = before


@functools.cache
def _is_ours(code: CodeType) -> bool:
    # A generator that dies while it hands something over is not how processes die; and comprehensions do nothing.
    return (
        code.co_filename in Killer.FILES
        and not code.co_flags & inspect.CO_GENERATOR
        and not code.co_name.startswith("<")
    )


@functools.cache
def _statements(file: str) -> frozenset[int]:
    """The lines on which statements begin."""
    tree = ast.parse(Path(file).read_bytes())
    return frozenset(node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt))


@dataclass(frozen=True)
class Has:
    """What somebody has, as far as money and time decide it. Who is active and does not wait has a seat."""

    status: str
    ends_at: datetime
    waiting_since: datetime | None = None


Deed = Callable[[Has | None, datetime], set[Has | None]]


def given(seconds: int) -> Deed:
    """Time is added to the end, or to now if that has passed; there may be a seat or not."""

    def deed(has: Has | None, now: datetime) -> set[Has | None]:
        has = has or Has("expired", now)
        starts_at = has.ends_at if has.waiting_since else max(has.ends_at, now)
        longer = Has("active", starts_at + timedelta(seconds=seconds), has.waiting_since)
        if has.status == "active" and not has.waiting_since:
            return {longer}
        return seated(longer, now) | {replace(longer, waiting_since=has.waiting_since or now)}

    return deed


def taken(seconds: int) -> Deed:
    """Time is taken off the end; when none is left, that was it."""

    def deed(has: Has | None, now: datetime) -> set[Has | None]:
        assert has is not None, "there is nothing to take from"
        ends_at = has.ends_at - timedelta(seconds=seconds)
        if has.status == "active" and ends_at <= (has.waiting_since or now):
            return {Has("expired", ends_at)}
        return {replace(has, ends_at=ends_at)}

    return deed


def seated(has: Has | None, now: datetime) -> set[Has | None]:
    """Who waited gets a seat, and the time waited on top."""
    if has is None or has.waiting_since is None:
        return {replace(has, waiting_since=None) if has else None}
    return {Has(has.status, has.ends_at + (now - has.waiting_since))}


def may_be_seated(has: Has | None, now: datetime) -> set[Has | None]:
    """A place may be free, or not."""
    return {has} | seated(has, now)


def looked_at(has: Has | None, now: datetime) -> set[Has | None]:
    """A new key: a chance of a seat for who waits."""
    return may_be_seated(has, now) if has and has.status == "active" else {has}


def revoked(has: Has | None, now: datetime) -> set[Has | None]:
    """Over at once."""
    return {Has("revoked", min(has.ends_at, now)) if has else None}


def run_out(has: Has | None, now: datetime) -> set[Has | None]:
    """Over, if it is time."""
    due = has is not None and has.status == "active" and not has.waiting_since and has.ends_at < now
    return {Has("expired", has.ends_at) if has and due else has}


def after(has: Has | None, events: Iterable[tuple[UUID, str, Deed]], now: datetime) -> set[Has | None]:
    """All that may have become of somebody: the events in any order, except that a payment comes before what is taken of it."""
    left = tuple(events)
    if not left:
        return {has}
    possible: set[Has | None] = set()
    for position, (payment_id, kind, deed) in enumerate(left):
        if kind == "taken" and any(other == payment_id and of == "given" for other, of, _ in left):
            continue
        rest = left[:position] + left[position + 1 :]
        for then in deed(has, now):
            possible |= after(then, rest, now)
    return possible
