"""How much one person may ask, and what counting it costs."""

from __future__ import annotations

import threading

from krotray_bot import pace
from krotray_bot.pace import MOST_REMEMBERED, SECONDS, SERVED, Pace, Turn


def test_twenty_in_ten_seconds_and_told_once() -> None:
    moment = [100.0]
    counted = Pace(lambda: moment[0])
    turns = []
    for _ in range(SERVED + 3):
        turns.append(counted.turn(7))
        moment[0] += 0.1
    assert turns == [Turn.SERVE] * SERVED + [Turn.TELL, Turn.IGNORE, Turn.IGNORE]
    assert counted.turn(8) is Turn.SERVE, "others are others"
    moment[0] = 100.0 + SECONDS
    assert [counted.turn(7), counted.turn(7)] == [Turn.SERVE, Turn.IGNORE], "one moment is over, the next is not"
    moment[0] += SECONDS
    assert counted.turn(7) is Turn.SERVE


def test_it_remembers_a_bounded_number_of_people_and_starts_no_threads() -> None:
    before = threading.active_count()
    counted = Pace()
    for person_id in range(MOST_REMEMBERED * 3):
        assert counted.turn(person_id) is Turn.SERVE
    assert len(counted._people) == MOST_REMEMBERED
    for _ in range(pace.SERVED * 2):
        counted.turn(1)
    assert len(counted._people[1].served) == SERVED
    assert threading.active_count() <= before
