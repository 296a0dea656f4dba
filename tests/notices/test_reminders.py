"""Reminders: each person hears exactly what is true, once a period, and never what is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, text, update

from krotray_core import clock, delivery, ledger, reminders, subscriptions, telegram_api
from krotray_core.db import transaction
from krotray_core.models import Entry, Notice, Subscription, User
from krotray_tasks import notices as tasks
from sandbox.process import Process, wait_until
from sandbox.world import ROOT, World
from tests.conftest import at_once, new_user
from tests.notices.kit import NOW, Telegram, give, night, rows, texts, wait_over

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
pytestmark = pytest.mark.usefixtures("fleet", "at_any_pace")


def ends_in(user: User, left: timedelta) -> None:
    """An admin sets the end."""
    subscriptions.set_expiry(user.telegram_id, clock.now() + left)


def somebody(telegram: Telegram, left: timedelta) -> tuple[Any, User]:
    """A person whose days end so soon."""
    person, user = telegram.user()
    give(user, 30)
    ends_in(user, left)
    return person, user


def tick() -> None:
    """All that the beat does about days that run out, and the sending."""
    reminders.note_due()
    subscriptions.expire_due()
    delivery.send_due(5)


def kinds() -> list[str]:
    """What has gone out, in that order."""
    return [row.kind for row in sorted(rows(), key=lambda row: row.sent_at or row.created_at) if row.sent_at]


def test_all_four_each_once(telegram: Telegram, pass_time: Callable[[timedelta], None]) -> None:
    person, _ = somebody(telegram, 3 * DAY + HOUR)
    heard = []
    for _ in range(6 * 8):
        tick()
        tick()
        heard.append(len(texts(person)))
        pass_time(3 * HOUR)
    assert kinds() == ["ends_in_3_days", "ends_in_1_day", "ended", "ended_yesterday"]
    assert [heard.index(number) * 3 for number in (1, 2, 3, 4)] == [3, 51, 75, 99], "hours after the beginning"
    words = texts(person)
    assert "осталось 3 дня" in words[0]
    assert "по Москве" in words[1]
    assert "закончилась" in words[2]
    assert "Больше напоминать не будем" in words[3]


@pytest.mark.parametrize(
    ("left", "kind"),
    [
        (3 * DAY + MINUTE, None),
        (3 * DAY - MINUTE, "ends_in_3_days"),
        (DAY + MINUTE, "ends_in_3_days"),
        (DAY - MINUTE, "ends_in_1_day"),
        (MINUTE, "ends_in_1_day"),
        (-MINUTE, "ended"),
        (-DAY + MINUTE, "ended"),
        (-DAY - MINUTE, "ended_yesterday"),
        (-2 * DAY + MINUTE, "ended_yesterday"),
        (-2 * DAY - MINUTE, None),
        (-30 * DAY, None),
    ],
)
def test_a_beat_that_was_away_finds_what_is_true_now(telegram: Telegram, left: timedelta, kind: str | None) -> None:
    somebody(telegram, left)
    tick()
    assert kinds() == ([kind] if kind else [])


@pytest.mark.parametrize("left", [2 * DAY, 5 * HOUR, -HOUR, -DAY - HOUR])
@pytest.mark.parametrize("how", ["grant", "set", "revoke"])
def test_who_renewed_or_was_turned_out_meanwhile_hears_nothing(telegram: Telegram, left: timedelta, how: str) -> None:
    person, user = somebody(telegram, left)
    reminders.note_due()
    subscriptions.expire_due()
    assert rows()
    if how == "grant":
        subscriptions.grant(user.telegram_id, 30)
    elif how == "set":
        ends_in(user, 10 * DAY)
    else:
        subscriptions.revoke(user.telegram_id)
    wait_over()
    delivery.send_due(0.5)
    assert texts(person) == []
    if how != "revoke":
        assert {row.last_error for row in rows(*reminders.WINDOWS)} == {"dropped: renewed"}


@pytest.mark.parametrize(
    ("days", "kinds_told"),
    [
        (1, ["ended", "ended_yesterday"]),
        (2, ["ends_in_1_day", "ended", "ended_yesterday"]),
        (3, ["ends_in_1_day", "ended", "ended_yesterday"]),
        (4, ["ends_in_3_days", "ends_in_1_day", "ended", "ended_yesterday"]),
    ],
)
@pytest.mark.parametrize("how", ["grant", "set"])
def test_who_is_given_few_days_is_not_told_at_once_that_they_are_few(
    telegram: Telegram, pass_time: Callable[[timedelta], None], how: str, days: int, kinds_told: list[str]
) -> None:
    _, user = telegram.user()
    if how == "grant":
        subscriptions.grant(user.telegram_id, days)
    else:
        give(user, 1)
        subscriptions.revoke(user.telegram_id)
        ends_in(user, days * DAY)
    for _ in range(4 * days + 5):
        reminders.note_due()
        subscriptions.expire_due()
        delivery.send_due(0.2)
        pass_time(6 * HOUR)
    delivery.send_due(0.2)
    told = [row.kind for row in sorted(rows(*reminders.WINDOWS), key=lambda row: row.sent_at or NOW) if row.sent_at]
    assert told == kinds_told


def test_a_few_days_on_top_of_many_are_no_short_period(
    telegram: Telegram, pass_time: Callable[[timedelta], None]
) -> None:
    _, user = somebody(telegram, 10 * DAY)
    subscriptions.grant(user.telegram_id, 1)
    pass_time(8 * DAY + HOUR)
    tick()
    assert kinds() == ["ends_in_3_days"]


def test_a_renewal_begins_anew(telegram: Telegram, pass_time: Callable[[timedelta], None]) -> None:
    _, user = somebody(telegram, 2 * DAY)
    tick()
    subscriptions.grant(user.telegram_id, 30)
    pass_time(30 * DAY)
    tick()
    assert kinds() == ["ends_in_3_days"] * 2


def test_an_end_that_a_refund_or_a_wait_has_moved_is_the_same_period(
    telegram: Telegram, pass_time: Callable[[timedelta], None]
) -> None:
    person, user = somebody(telegram, 2 * DAY + 12 * HOUR)
    tick()
    move(user, by=-6 * HOUR)
    tick()
    move(user, by=6 * HOUR)
    tick()
    assert kinds() == ["ends_in_3_days"]
    pass_time(DAY + 13 * HOUR)
    reminders.note_due()
    move(user, by=12 * HOUR)
    delivery.send_due(0.3)
    assert kinds() == ["ends_in_3_days"], "it is not one day yet, any more"
    pass_time(12 * HOUR)
    tick()
    assert kinds() == ["ends_in_3_days", "ends_in_1_day"], "and then it is"
    assert len(texts(person)) == 2


def move(user: User, *, by: timedelta) -> None:
    """The end moves as it does for a wait, with its line in the ledger."""
    now = clock.now()
    with transaction() as session:
        row = session.scalars(select(Subscription).where(Subscription.user_id == user.id).with_for_update()).one()
        ended_at, row.expires_at = row.expires_at, row.expires_at + by
        ledger.subscription(session, row, "waited", now, ended_at=ended_at)


def test_whose_days_stand_still_is_not_hurried(telegram: Telegram, pass_time: Callable[[timedelta], None]) -> None:
    _, user = somebody(telegram, 2 * DAY)
    with transaction() as session:
        session.execute(update(Subscription).values(waiting_since=clock.now()))
    tick()
    assert rows() == []
    with transaction() as session:
        session.execute(update(Subscription).values(waiting_since=None))
    reminders.note_due()
    with transaction() as session:
        session.execute(update(Subscription).values(waiting_since=clock.now()))
    delivery.send_due(0.3)
    assert kinds() == []
    with transaction() as session:
        session.execute(update(Subscription).values(waiting_since=None))
    pass_time(HOUR)
    tick()
    assert kinds() == ["ends_in_3_days"]
    assert user


def test_a_refund_that_ended_it_is_no_reason_to_remind(telegram: Telegram) -> None:
    person, user = telegram.user()
    now = clock.now()
    give(user, 1)
    ends_in(user, -MINUTE)
    subscriptions.expire_due()
    with transaction() as session:
        row = session.scalars(select(Subscription).where(Subscription.user_id == user.id)).one()
        ledger.subscription(session, row, "refunded", now, ended_at=row.expires_at)
    delivery.send_due(0.3)
    assert texts(person) == []
    assert rows("ended")[0].last_error == "dropped: ended in another way"


def test_who_cannot_be_reached_is_not_noted_until_they_are_back(telegram: Telegram) -> None:
    person, user = somebody(telegram, 2 * DAY)
    unreachable(user, clock.now())
    tick()
    assert rows() == []
    unreachable(user, None)
    tick()
    assert len(texts(person)) == 1


def unreachable(user: User, since: datetime | None) -> None:
    """The person has blocked the bot, or takes it back."""
    with transaction() as session:
        session.execute(update(User).where(User.id == user.id).values(unreachable_since=since))


def test_a_reminder_of_the_night_is_looked_at_again_in_the_morning(
    telegram: Telegram, says: Callable[..., None], pass_time: Callable[[timedelta], None]
) -> None:
    person, user = somebody(telegram, DAY + HOUR)
    _, other = somebody(telegram, DAY + HOUR)
    says(quiet_hours=night(clock.now()))
    tick()
    assert kinds() == []
    subscriptions.grant(other.telegram_id, 30)
    pass_time(23 * HOUR + MINUTE)
    tick()
    assert kinds() == ["ends_in_1_day"], "what the row of the evening would say is not true any more"
    assert len(texts(person)) == 1
    assert user


def test_a_clock_that_goes_back_repeats_nothing(telegram: Telegram, pass_time: Callable[[timedelta], None]) -> None:
    person, _ = somebody(telegram, 2 * DAY)
    tick()
    for by in (-DAY, DAY + 2 * HOUR, -3 * HOUR, HOUR):
        pass_time(by)
        tick()
    assert kinds() == ["ends_in_3_days"]
    assert len(texts(person)) == 1


def test_many_at_once_in_batches_and_two_ticks_at_the_same_moment(
    fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fresh
    monkeypatch.setattr(reminders, "BATCH", 7)
    for _ in range(40):
        user = new_user()
        give(user, 30)
        ends_in(user, 2 * DAY)
    assert sum(at_once(3, lambda _: reminders.note_due())) == 40  # type: ignore[arg-type]
    assert len({row.telegram_id for row in rows()}) == len(rows()) == 40
    assert reminders.note_due() == 0


def test_the_task(telegram: Telegram) -> None:
    somebody(telegram, 2 * DAY)
    tasks.remind()
    assert len(rows("ends_in_3_days")) == 1


def test_killed_in_the_middle_of_a_batch_it_begins_again(telegram: Telegram, tmp_path: Path) -> None:
    """Somebody holds the row that the second insert waits for: the tick is killed there."""
    people = [somebody(telegram, 2 * DAY)[0] for _ in range(3)]
    with transaction() as session:
        session.execute(text("LOCK TABLE notices IN ACCESS EXCLUSIVE MODE"))
        code = "from krotray_core import reminders; reminders.note_due()"
        victim = Process(
            "the tick", [sys.executable, "-c", code], log=tmp_path / "tick.log", env=dict(os.environ), cwd=ROOT
        )

        def waits() -> bool:
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'notices'::regclass")
            return bool(session.scalar(waiting))

        wait_until(waits, seconds=20, what="the tick to wait")
        victim.kill()
    assert rows() == []
    assert reminders.note_due() == 3
    delivery.send_due(1)
    assert [len(texts(person)) for person in people] == [1, 1, 1]


def test_the_search_goes_by_the_index_of_ends(fresh: World) -> None:
    """However many have ended long ago or end in a year, only those of the next days are read."""
    assert fresh
    with transaction() as session:
        now = clock.now()
        session.execute(
            text("INSERT INTO users (telegram_id) SELECT 5000000000 + n FROM generate_series(1, 4000) n"),
        )
        session.execute(
            text(
                "INSERT INTO subscriptions (user_id, status, expires_at, uuid)"
                " SELECT id, 'active', now() + interval '100 days' + id * interval '1 second', gen_random_uuid()"
                " FROM users WHERE telegram_id > 5000000000"
            )
        )
        session.execute(text("ANALYZE users, subscriptions"))
        seen: list[str] = []

        def explain(statement: Any) -> Any:
            compiled = statement.compile(session.get_bind(), compile_kwargs={"render_postcompile": True})
            plan = session.connection().exec_driver_sql(f"EXPLAIN {compiled}", compiled.params)
            seen.extend(line for (line,) in plan)

        session_like = type("Explaining", (), {"execute": staticmethod(lambda s: (explain(s), _NoRows())[1])})()
        reminders._due(session_like, now)
        session.rollback()
    plan = "\n".join(seen)
    assert "ix_subscriptions_due" in plan, plan
    assert "Seq Scan on subscriptions" not in plan


class _NoRows:
    """An answer without rows."""

    def all(self) -> list[Any]:
        return []


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
                delivery.send_due(0.2)

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
