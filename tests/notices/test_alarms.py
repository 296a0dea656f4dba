"""What the admins are warned of: once when it begins, and not each time that a number crosses a line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from krotray_core import alarms, clock, delivery
from krotray_core.db import transaction
from krotray_core.models import Server
from sandbox.world import World
from tests.conftest import at_once
from tests.notices.kit import Telegram, rows, texts, wait_over

SOON = timedelta(minutes=5)


pytestmark = pytest.mark.usefixtures("at_any_pace")


@pytest.fixture(autouse=True)
def _an_admin(fresh: World, says: Callable[..., None]) -> None:
    assert fresh
    says(admin_telegram_ids=(77,))


def server(name: str, *, room: int, **more: object) -> None:
    """A server that answers, without anybody on it."""
    where = {"host": "127.0.0.1", "grpc_port": 1000 + len(name), "inbound_tag": "vless-in"}
    with transaction() as session:
        session.add(Server(name=name, max_users=room, state_since=clock.now(), **{"is_up": True} | where | more))


def look(**taken: int) -> None:
    """Looks when that many people are on these servers; often, and by two at once, for neither says anything twice."""
    with transaction() as session:
        for name, people in taken.items():
            session.execute(update(Server).where(Server.name == name).values(active_users=people))
    at_once(2, lambda _: alarms.look())
    alarms.look()


def told(kind: str) -> list[dict[str, Any]]:
    """What the admin was told of this kind."""
    return [row.data for row in rows(kind)]


class TestFleet:
    """All servers together."""

    def test_around_the_line_nothing_flaps(self, pass_time: Callable[[timedelta], None]) -> None:
        server("a", room=100)
        for _ in range(5):
            for people in (89, 90, 85, 91, 86):
                look(a=people)
                pass_time(SOON)
        assert told("fleet_full") == [{"taken": 90, "room": 100}]
        look(a=84)
        look(a=89)
        pass_time(alarms.REST)
        look(a=89)
        assert len(told("fleet_full")) == 1, "there is room again"
        look(a=90)
        assert len(told("fleet_full")) == 2

    def test_from_one_line_to_the_other_and_back_it_is_told_seldom(
        self, pass_time: Callable[[timedelta], None]
    ) -> None:
        server("a", room=100)
        for _ in range(48):  # for a day
            look_once(95)
            look_once(80)
            pass_time(timedelta(minutes=30))
        assert len(told("fleet_full")) == timedelta(days=1) / alarms.REST

    def test_what_began_anew_in_the_rest_is_told_after_it(self, pass_time: Callable[[timedelta], None]) -> None:
        server("a", room=100)
        look(a=95)
        look(a=10)
        look(a=97)
        assert len(told("fleet_full")) == 1
        pass_time(alarms.REST)
        look()
        assert told("fleet_full")[1:] == [{"taken": 97, "room": 100}]
        pass_time(timedelta(hours=23))
        look()
        assert len(told("fleet_full")) == 2
        pass_time(timedelta(hours=1))
        look()
        assert len(told("fleet_full")) == 3, "and again after a day"

    def test_a_fleet_without_servers_is_not_full(self) -> None:
        look()
        assert rows() == []


class TestServer:
    """One of several."""

    def test_one_that_is_full_while_others_have_room_is_told_of_once(
        self, pass_time: Callable[[timedelta], None]
    ) -> None:
        server("a", room=10)
        server("bb", room=90)
        look(a=9, bb=20)
        assert rows() == []
        for people in (10, 9, 10, 9, 10):
            look(a=people)
            pass_time(SOON)
        expected = {"name": "a", "taken": 10, "room": 10, "free": 70}
        assert told("server_full") == [expected]
        pass_time(timedelta(days=40))
        look()
        assert told("server_full") == [expected], "nothing is broken: once is enough"
        look(a=8)
        look(a=10)
        assert told("server_full") == [expected] * 2, "a new time"
        look(a=8)
        look(a=10)
        assert told("server_full") == [expected] * 2, "but not so soon"
        assert told("fleet_full") == []

    def test_each_has_its_own(self) -> None:
        for name in ("a", "bb", "ccc"):
            server(name, room=10)
        look(a=10)
        look(bb=10)
        assert [data["name"] for data in told("server_full")] == ["a", "bb"]

    def test_when_all_is_full_it_is_said_once_for_all(self, pass_time: Callable[[timedelta], None]) -> None:
        server("a", room=10)
        server("bb", room=10)
        look(a=10, bb=9)
        look(bb=10)
        assert (len(told("fleet_full")), told("server_full")) == (1, [])
        pass_time(SOON)
        look(bb=2)
        assert [data["name"] for data in told("server_full")] == ["a"], "which is news now"

    @pytest.mark.parametrize("how", [{"enabled": False}, {"draining": True}, {"is_up": False}])
    def test_who_takes_nobody_anyway_is_not_told_of(self, how: dict[str, bool]) -> None:
        server("a", room=10, **how)
        server("bb", room=10)
        look(a=10)
        assert told("server_full") == []


class TestDown:
    """One that does not answer, and does again."""

    def test_the_last_word_is_the_true_one_however_late_it_comes(
        self, telegram: Telegram, says: Callable[..., None]
    ) -> None:
        admin = telegram.somebody()
        says(admin_telegram_ids=(admin.id,))
        server("a", room=10)
        state("a", is_up=False)
        telegram.trouble(error_code=503)
        assert delivery.send_due() == 0
        state("a", is_up=True)
        assert delivery.send_due() == 1
        wait_over()
        delivery.send_due()
        assert texts(admin) == ["Сервер a снова отвечает."]
        assert rows("server_down")[0].last_error == "dropped: not so any more"
        state("a", is_up=False)
        assert delivery.send_due() == 1
        assert "не отвечает" in texts(admin)[1]

    def test_one_that_is_switched_off_and_empty_may_be_silent(self) -> None:
        server("off", room=10, enabled=False)
        server("left", room=10, enabled=False, active_users=1)
        state("off", is_up=False)
        state("left", is_up=False)
        assert [data["name"] for data in told("server_down")] == ["left"], "somebody is still on it"
        with transaction() as session:
            session.execute(update(Server).where(Server.name == "off").values(enabled=True))
        alarms.look()
        assert [data["name"] for data in told("server_down")] == ["left", "off"]


def state(name: str, *, is_up: bool) -> None:
    """It has been like this for a while, and the admins are to hear of it."""
    with transaction() as session:
        since = func.now() - timedelta(minutes=1)
        session.execute(update(Server).where(Server.name == name).values(is_up=is_up, state_since=since))
    alarms.look()


def look_once(people: int) -> None:
    """The same, quickly."""
    with transaction() as session:
        session.execute(update(Server).values(active_users=people))
    alarms.look()
