"""Nobody is woken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krotray_core import clock, delivery, quiet, settings, speech
from krotray_core.errors import SettingsError
from tests.notices.kit import Telegram, night, note, rows, texts

HOUR = timedelta(hours=1)


def moscow(text: str) -> datetime:
    """A moment by Moscow's clock, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=speech.MOSCOW).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-23T21:59:59.999999", None),
        ("2026-11-23T22:00:00", "2026-11-24T09:00"),
        ("2026-11-23T23:59:59", "2026-11-24T09:00"),
        ("2026-11-24T00:00:00", "2026-11-24T09:00"),
        ("2026-11-24T08:59:59.999999", "2026-11-24T09:00"),
        ("2026-11-24T09:00:00", None),
        ("2026-12-31T23:30:00", "2027-01-01T09:00"),
        ("2028-02-28T22:30:00", "2028-02-29T09:00"),
    ],
)
def test_from_ten_to_nine(now: str, until: str | None) -> None:
    assert quiet.until(moscow(now), (22, 9)) == (moscow(until) if until else None)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ((1, 6), "2026-11-23T00:59", None),
        ((1, 6), "2026-11-23T01:00", "2026-11-23T06:00"),
        ((1, 6), "2026-11-23T06:00", None),
        ((20, 0), "2026-11-23T23:00", "2026-11-24T00:00"),
        ((20, 0), "2026-11-24T00:00", None),
        ((0, 0), "2026-11-23T03:00", None),
        ((5, 5), "2026-11-23T05:30", None),
    ],
)
def test_other_hours(hours: tuple[int, int], now: str, until: str | None) -> None:
    assert quiet.until(moscow(now), hours) == (moscow(until) if until else None)


@given(
    now=st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1)),  # noqa: DTZ001 - Hypothesis adds the zone
    begins=st.integers(0, 23),
    ends=st.integers(0, 23),
)
def test_the_night_ends_within_a_day_and_it_is_day_then(now: datetime, begins: int, ends: int) -> None:
    morning = quiet.until(now, (begins, ends))
    if morning is not None:
        assert now < morning <= now + 24 * HOUR
        assert morning.astimezone(speech.MOSCOW).strftime("%H:%M:%S.%f") == f"{ends:02}:00:00.000000"
        assert quiet.until(morning, (begins, ends)) is None
        assert quiet.until(morning - timedelta(microseconds=1), (begins, ends)) == morning


def test_by_night_only_what_cannot_wait_goes_out(
    telegram: Telegram, says: Callable[..., None], pass_time: Callable[[timedelta], None]
) -> None:
    hours = night(clock.now())
    says(quiet_hours=hours)
    person, admin = telegram.somebody(), telegram.somebody()
    note(person, kind="refunded", ago=1, amount_kopecks=100, taken_seconds=0, ends_at=None)
    note(admin, ago=1)
    before = telegram.calls()
    assert delivery.send_due() == 1
    assert telegram.calls() == before + 1
    assert (len(texts(person)), len(texts(admin))) == (0, 1)
    waits = rows("refunded")[0]
    assert (waits.attempts, waits.given_up_at) == (0, None)
    assert waits.next_try_at == quiet.until(clock.now(), hours)
    pass_time(waits.next_try_at - clock.now() + timedelta(seconds=1))
    assert delivery.send_due() == 1
    assert len(texts(person)) == 1


@pytest.mark.parametrize(("text", "hours"), [("22-9", (22, 9)), ("0-0", (0, 0)), (" 9-23 ", (9, 23)), ("", (22, 9))])
def test_the_setting(monkeypatch: pytest.MonkeyPatch, text: str, hours: tuple[int, int]) -> None:
    monkeypatch.setenv("QUIET_HOURS", text)
    assert settings.load().quiet_hours == hours


@pytest.mark.parametrize("text", ["22", "22-24", "22:00-9:00", "-1-9", "22-9-10", "ночь", "٢٢-9", "[22, 9]"])
def test_hours_that_are_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("QUIET_HOURS", text)
    with pytest.raises(SettingsError, match="QUIET_HOURS: should be two full hours such as 22-9, or 0-0"):
        settings.load()
