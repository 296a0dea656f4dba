"""Reminders: each person hears exactly what is true, once a period, and never what is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from krotray_core import clock, delivery, ledger, quiet, reminders, subscriptions
from krotray_core.db import transaction
from krotray_core.models import Subscription, User
from krotray_tasks import notices as tasks
from sandbox.process import Process, wait_until
from sandbox.world import ROOT, World
from tests.conftest import at_once, new_user
from tests.notices.kit import NOW, Telegram, ends_in, give, move, night, rows, texts, wait_over

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
pytestmark = pytest.mark.usefixtures("fleet", "at_any_pace")


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
    hours = night(clock.now())
    says(quiet_hours=hours)
    tick()
    assert kinds() == []
    subscriptions.grant(other.telegram_id, 30)
    morning = quiet.until(clock.now(), hours)
    assert morning
    pass_time(morning - clock.now() + MINUTE)
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
