"""Reminders in whatever order things happen: what is said is true at that moment, once a period, and nobody is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, text

from krotray_core import clock, reminders, subscriptions, telegram_api
from krotray_core.db import transaction
from krotray_core.models import Entry, Notice, Subscription
from sandbox.world import World
from tests.conftest import new_user
from tests.notices.kit import ends_in, give, move, rows, send_now

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
pytestmark = pytest.mark.usefixtures("fleet", "at_any_pace")

STEP = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([HOUR, 5 * HOUR, 11 * HOUR, 23 * HOUR, 25 * HOUR, 3 * DAY])),
    st.tuples(st.just("renew"), st.sampled_from([1, 3, 30])),
    st.tuples(st.just("set"), st.sampled_from([-DAY, -HOUR, HOUR, 23 * HOUR, 2 * DAY, 3 * DAY, 4 * DAY])),
    st.tuples(st.just("move"), st.sampled_from([-30 * HOUR, -HOUR, HOUR, 30 * HOUR])),
    st.tuples(st.sampled_from(["note", "expire", "send", "send"]), st.none()),
)


class Life:
    """One person, any order of events, and all that they have heard."""

    def __init__(self, shift: Callable[[timedelta], None]) -> None:
        self._shift = shift
        self.user = new_user()
        self.heard: list[tuple[str, int]] = []
        give(self.user, 4)

    def do(self, what: str, how: Any) -> None:
        """One step; a message that goes out is true at that moment."""
        match what:
            case "pass":
                self._shift(how)
            case "renew":
                give(self.user, how)
            case "set":
                ends_in(self.user, how)
                with transaction() as session:  # `granted` is not what this is about
                    session.execute(delete(Notice).where(Notice.kind == "granted"))
            case "move":
                if self.row().status == "active":
                    move(self.user, by=how)
            case "note":
                reminders.note_due()
            case "expire":
                subscriptions.expire_due()
            case "send":
                send_now()

    def row(self) -> Subscription:
        with transaction() as session:
            return session.scalars(select(Subscription).where(Subscription.user_id == self.user.id)).one()

    def period(self) -> int:
        """The line that gave the present days."""
        with transaction() as session:
            given = select(func.max(Entry.id)).where(
                Entry.user_id == self.user.id, Entry.event.in_(("paid", "granted", "set"))
            )
            return session.scalars(given).one()

    def true_now(self) -> str | None:
        """Of what they are to be reminded at this moment, by the calendar alone."""
        left = self.row().expires_at - clock.now()
        for kind, until in (
            ("ends_in_3_days", DAY),
            ("ends_in_1_day", 0 * DAY),
            ("ended", -DAY),
            ("ended_yesterday", -2 * DAY),
        ):
            if left > until:
                return kind if left <= 3 * DAY else None
        return None

    def spared(self, kind: str) -> bool:
        """Whether they were told of so few days when these were given."""
        period = self.period()
        with transaction() as session:
            line = session.get_one(Entry, period)
        more = line.ended_at is None or (line.ends_at is not None and line.ends_at > line.ended_at)
        reach = {"ends_in_3_days": 3 * DAY, "ends_in_1_day": DAY}.get(kind)
        return more and reach is not None and line.at + reach >= self.row().expires_at

    def hear(self, html: str) -> None:
        """A message has arrived."""
        said = {"закончится": ("ends_in_3_days", "ends_in_1_day"), "закончилась": ("ended", "ended_yesterday")}
        kind = self.true_now()
        assert kind is not None, html
        assert any(word in html and kind in kinds for word, kinds in said.items()), (kind, html)
        assert (kind == "ended_yesterday") == ("Напоминаем" in html)
        assert (kind == "ends_in_1_day") == ("по Москве" in html)
        self.heard.append((kind, self.period()))


@contextmanager
def own_clock() -> Iterator[Callable[[timedelta], None]]:
    """A clock that this example may move."""
    with pytest.MonkeyPatch.context() as patch:
        real, moved = clock.now, [timedelta(0)]
        patch.setattr(clock, "now", lambda: real() + moved[0])

        def shift(by: timedelta) -> None:
            moved[0] += by

        yield shift


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@example(
    steps=[("set", -DAY), ("expire", None), ("set", -DAY)]
)  # of two ends in the past the second was told to nobody
@given(steps=st.lists(STEP, min_size=4, max_size=14))
def test_in_whatever_order_things_happen_only_the_truth_is_told_and_once(
    fresh: World, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, Any]]
) -> None:
    assert fresh
    with transaction() as session:
        session.execute(text("TRUNCATE notices"))
        session.execute(text("DELETE FROM leases"))
    with own_clock() as shift:
        life = Life(shift)
        monkeypatch.setattr(telegram_api, "send_message", lambda _chat, html, _rows: life.hear(html))
        for step in [*steps, ("note", None), ("expire", None), ("send", None)]:
            life.do(*step)
        assert len(life.heard) == len(set(life.heard)), "once a period"
        due, told = life.true_now(), {(row.kind, row.data["period"]) for row in rows() if row.sent_at}
        if due and life.row().status != "revoked" and not life.spared(due):
            assert (due, life.period()) in told, "and nobody is forgotten"
        subscriptions.revoke(life.user.telegram_id)
    with transaction() as session:
        assert session.scalar(select(func.count()).where(Notice.last_error.startswith("no words"))) == 0
